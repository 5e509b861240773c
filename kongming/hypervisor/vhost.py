# SPDX-License-Identifier: Apache-2.0
"""The kernel's own threads that carry packets and blocks for an instance (vhost).

Since Linux 6.4 they are threads of QEMU. Before, they are threads of the kernel, which have just
their name in common with the process (drivers/vhost/vhost.c); with control groups of version 1
they share QEMU's, with version 2 no pin of libvirt reaches them.
"""

import contextlib
import os
import re

from kongming.hypervisor import files

_IN_QEMU = (6, 4)


def threads(pid: int, proc: str = "/proc", release: str = os.uname().release) -> list[int]:
    """Return the ids of the kernel's threads that work for a process, and are not its own.

    :param release: of the kernel, such as ``6.1.0-31-amd64``
    :raises OSError: the process is gone
    """
    if _version(release) >= _IN_QEMU or not _has_device(f"{proc}/{pid}/fd"):
        return []
    name = f"vhost-{pid}"
    found = []
    for entry in os.listdir(proc):
        with contextlib.suppress(OSError):
            if entry.isdigit() and files.read(f"{proc}/{entry}/comm").rstrip("\n") == name:
                found.append(int(entry))
    return found


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def _has_device(directory: str) -> bool:
    for descriptor in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{directory}/{descriptor}").startswith("/dev/vhost-"):
                return True
    return False
