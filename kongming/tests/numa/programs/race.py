# SPDX-License-Identifier: Apache-2.0
"""Move the memory of an instance to and fro, in turn by KongMing and by migratepages(8).

Runs in the lab. Reads a JSON object from standard input with the ``uuid``, and the number of
``rounds``, each of which is a move of each side between nodes 0 and 1, once in either order.
Writes an object with the ``seconds`` of all moves, ``{"kongming": [...], "migratepages": [...]}``,
and those that KongMing's ``checks`` took before each of its own.
"""

import json
import os
import sys
import time
from typing import Any

from kongming import backend as backend
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.tests.numa.programs import where

MIGRATEPAGES = "/usr/bin/migratepages"


def migratepages(pid: int, old: int, new: int) -> None:
    """Run the tool.

    :raises RuntimeError: it fails.
    """
    arguments = [MIGRATEPAGES, *map(str, (pid, old, new))]
    # spawned, since to copy this process first is none of its time
    _, status = os.waitpid(os.posix_spawn(MIGRATEPAGES, arguments, os.environ), 0)
    if status:
        raise RuntimeError(f"{' '.join(arguments)}: {os.waitstatus_to_exitcode(status)}")


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
                    migratepages(pid, place, target)
                seconds[side].append(time.monotonic() - begun)
                place = target
        return {"seconds": seconds, "checks": checks}
    finally:
        driver.close()


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
