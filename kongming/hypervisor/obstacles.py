# SPDX-License-Identifier: Apache-2.0
"""What keeps the memory of a process from moving, or from staying where it was moved."""

import os

from kongming.hypervisor import files

# Who has one of these open lets a device, or the firmware, use memory by its physical address.
# Locked memory (mlock) is no obstacle: it stays in memory, but moves.
_PINNING = {
    "/dev/vfio/": "a passed-through device (VFIO)",
    "/dev/iommu": "a passed-through device (IOMMUFD)",
    "/dev/vhost-vdpa-": "a vDPA device",
    "/dev/infiniband/": "an RDMA device",
    "/dev/sev": "memory encryption (SEV)",
}


def pinning(pid: int, proc: str = "/proc") -> list[str]:
    """Return what pins memory of a process, in words; such memory cannot move.

    :raises OSError: the process is gone, or is not to be looked at
    """
    found = set()
    directory = f"{proc}/{pid}/fd"
    for number in os.listdir(directory):
        try:
            target = os.readlink(f"{directory}/{number}")
        except FileNotFoundError:
            continue
        found |= {
            f"{words}, {target}" for path, words in _PINNING.items() if target.startswith(path)
        }
    return sorted(found)


def movers(proc: str = "/proc") -> list[str]:
    """Return who else moves memory between the NUMA nodes of this machine, in words.

    Each moves it to where it is used, in spite of what was asked for, as long as the
    process may use more than one node.
    """
    found = []
    try:
        if files.read(f"{proc}/sys/kernel/numa_balancing").strip() != "0":
            found.append("the kernel's NUMA balancing (kernel.numa_balancing)")
    except FileNotFoundError:
        pass  # a kernel without it
    if any(_name(f"{proc}/{pid}") == "numad" for pid in os.listdir(proc) if pid.isdigit()):
        found.append("numad")
    return found


def _name(process: str) -> str:
    try:
        return files.read(f"{process}/comm").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
