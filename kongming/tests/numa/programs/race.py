# SPDX-License-Identifier: Apache-2.0
"""Move the memory of an instance to and fro, in turn by KongMing and as migratepages(8) does.

Runs in the lab. Reads a JSON object from standard input with the ``uuid``, and the number of
``rounds``, each of which is a move of each side between nodes 0 and 1, once in either order.
Writes an object with the ``seconds`` of all moves, ``{"kongming": [...], "migratepages": [...]}``,
and those that KongMing's ``checks`` took before each of its own.
"""

import ctypes
import json
import os
import sys
import time
from typing import Any

from kongming import backend as backend
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.tests.numa.programs import where

#: Its number for x86-64; all that migratepages does is to call it.
MIGRATE_PAGES = 256
NODES = 64


def migrate_pages(pid: int, old: int, new: int) -> None:
    """Call migrate_pages(2) for one node each.

    :raises OSError: it fails, or leaves pages where they are.
    """
    masks = [ctypes.c_ulong(1 << node) for node in (old, new)]
    libc = ctypes.CDLL(None, use_errno=True)
    left = libc.syscall(MIGRATE_PAGES, pid, NODES, *map(ctypes.byref, masks))
    if left:
        raise OSError(ctypes.get_errno(), f"{left}: {os.strerror(ctypes.get_errno())}")


def main(uuid: str, rounds: int) -> dict[str, Any]:
    """Let both sides move."""
    driver = LibvirtDriver("qemu:///system", "lab")
    pid = int(where.process(uuid).name)
    seconds: dict[str, list[float]] = {"kongming": [], "migratepages": []}
    checks: list[float] = []
    place = 0
    try:
        for number in range(2 * rounds):
            order = ["kongming", "migratepages"]
            for side in order if number % 2 else reversed(order):
                target = 1 - place
                begun = time.monotonic()
                if side == "kongming":
                    move = driver.move(uuid, 1 << target)
                    checked = time.monotonic()
                    checks.append(checked - begun)
                    begun = checked
                    for _ in move:
                        pass
                else:
                    migrate_pages(pid, place, target)
                seconds[side].append(time.monotonic() - begun)
                place = target
        return {"seconds": seconds, "checks": checks}
    finally:
        driver.close()


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
