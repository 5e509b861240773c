# SPDX-License-Identifier: Apache-2.0
"""What a process does at this moment, for those who look into a program that hangs."""

from importlib import metadata

from oslo_reports import guru_meditation_report as guru


class _Package:
    """What a report says of the package."""

    def vendor_string(self) -> str:
        return "KongMing"

    def product_string(self) -> str:
        return "KongMing"

    def version_string_with_package(self) -> str:
        return metadata.version("kongming")


def report_on_signal() -> None:
    """Have SIGUSR2 write the stack of each thread, and the options, to standard error.

    Child processes inherit that. Options that are secret are not shown.
    """
    guru.TextGuruMeditation.setup_autorun(_Package())
