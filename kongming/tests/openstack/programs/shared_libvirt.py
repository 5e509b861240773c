# SPDX-License-Identifier: Apache-2.0
"""Nova's libvirt driver, for hosts that share the directory of their instances."""

import libvirt
from nova.virt.libvirt import driver


class Driver(driver.LibvirtDriver):
    """The driver that says so to libvirt.

    libvirt takes a directory for shared only if it is on a network file system, and without that
    refuses to migrate an instance.
    """

    def init_host(self, host: str) -> None:
        """Allow what only looks unsafe."""
        super().init_host(host)
        self._live_migration_flags |= libvirt.VIR_MIGRATE_UNSAFE
