# SPDX-License-Identifier: Apache-2.0
"""Read the files that the kernel makes up when they are read: of procfs, sysfs, control groups."""


def read(path: str) -> str:
    """Return what such a file says, in UTF-8, with what is no text replaced.

    An instance may have hundreds of them, which are read while it waits for its place: a buffer
    would cost more than the reading.

    :raises OSError: it cannot be read, or what it speaks of is gone
    """
    with open(path, "rb", buffering=0) as file:
        return file.read().decode(errors="replace")
