# SPDX-License-Identifier: Apache-2.0
"""move_pages(2), which Python's library does not have."""

import ctypes
import errno
import os
from array import array

_NUMBERS = {"x86_64": 279, "aarch64": 239, "ppc64le": 301, "s390x": 310}
_MPOL_MF_MOVE_ALL = 1 << 2  # pages that other processes map too, such as those of a memfd

_libc = ctypes.CDLL(None, use_errno=True)


def where(pid: int, addresses: "array[int]") -> "array[int]":
    """Return for each page of a process its NUMA node, or a negative errno.

    -ENOENT is a page that is not there, -EFAULT one that is all zero or not mapped.

    :param addresses: type code Q, one address of each page
    :raises OSError: ESRCH, the process is gone; EPERM
    """
    _, status = _move_pages(pid, addresses, None)
    return status


def move(pid: int, addresses: "array[int]", node: int) -> "array[int]":
    """Move pages of a process to a NUMA node, and return where each is then, as `where` does.

    Needs CAP_SYS_NICE, and the thread with this id must be allowed to use the node. The
    process goes on meanwhile. A busy page stays, and so may all that come after it.

    :raises OSError: ENOMEM, the node has no such page left; EACCES, it is not allowed; ESRCH; EPERM
    """
    left, status = _move_pages(pid, addresses, array("i", [node]) * len(addresses))
    # the kernel does not tell which ones failed to move, and calls the rest of a huge page busy
    return where(pid, addresses) if left or -errno.EBUSY in status else status


def _move_pages(
    pid: int, addresses: "array[int]", nodes: "array[int] | None"
) -> tuple[int, "array[int]"]:
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(f"move_pages is not known for {os.uname().machine}")
    status = array("i", bytes(4 * len(addresses)))
    result = _libc.syscall(
        ctypes.c_long(number),
        ctypes.c_long(pid),
        ctypes.c_ulong(len(addresses)),
        ctypes.c_void_p(addresses.buffer_info()[0]),
        ctypes.c_void_p(nodes.buffer_info()[0] if nodes is not None else None),
        ctypes.c_void_p(status.buffer_info()[0]),
        ctypes.c_long(0 if nodes is None else _MPOL_MF_MOVE_ALL),
    )
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result, status
