# SPDX-License-Identifier: Apache-2.0
"""All of KongMing's options, for oslo-config-generator."""

from typing import Any

from kongming.conf import MODULES


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return each group with its options."""
    return [entry for module in MODULES for entry in module.list_opts()]
