# SPDX-License-Identifier: Apache-2.0
"""What the kernel of this machine says of its CPUs: which are isolated, when one comes or goes."""

import os
import pathlib
import select
import socket
import threading
from collections.abc import Callable

from oslo_log import log as logging

from kongming.topology import cpuset

LOG = logging.getLogger(__name__)

#: Those of ``isolcpus`` at boot, and those of isolated partitions, which this file need not list.
_LISTS = ("devices/system/cpu/isolated", "fs/cgroup/cpuset.cpus.isolated")
# linux/netlink.h, and the only group to which the kernel itself sends
_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1
_MAX_MESSAGE = 16384


def isolated(root: pathlib.Path = pathlib.Path("/sys")) -> int:
    """Return the bitmask of the pCPUs among which the kernel balances no load.

    :param root: where sysfs is mounted; a list that is not there, as with older kernels, is empty
    """
    mask = 0
    for name in _LISTS:
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        mask |= cpuset.parse(text) if text else 0
    return mask


class Watch:
    """Calls back whenever a CPU of this machine is plugged, or goes on- or offline.

    The callback runs in a thread of its own and must only take note.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._wake = os.eventfd(0)
        self._thread: threading.Thread | None = None
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT
            )
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError as error:
            LOG.warning("CPUs that go on- or offline are noticed by the sweep alone: %s", error)
            return
        self._thread = threading.Thread(target=self._run, name="cpu-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call back no more."""
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
            self._socket.close()
        os.close(self._wake)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket.fileno(), self._wake], [], [])
            if self._wake in ready:
                return
            try:
                about_cpu = b"\0SUBSYSTEM=cpu\0" in self._socket.recv(_MAX_MESSAGE)
            except OSError:
                about_cpu = True  # ENOBUFS: some messages were lost
            if about_cpu:
                self._callback()
