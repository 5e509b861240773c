# SPDX-License-Identifier: Apache-2.0
"""Carry out placements of an instance as the agent does. Runs in the lab.

Reads a JSON object from standard input with the ``uuid`` and ``placements``, a list as
``Placement.to_dict`` has them; with ``fail`` each step of each fails once, before it succeeds, and
those of memory are small.
Writes an object with ``answers``, for each attempt an object of ``seconds``, and either
``receipt`` (None if no memory had to move) with what the program ``where`` says then, or ``error``
with what ``differs`` from before.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from kongming import backend as backend
from kongming.agent import transaction
from kongming.hypervisor import pages
from kongming.hypervisor.driver import HypervisorError, Scope
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.tests.numa.programs import where
from kongming.topology.placement import MEMORY, Placement


class Failing(LibvirtDriver):
    """Refuses its n-th step: each part that is written is one, and so is the end of each scope."""

    steps_left = sys.maxsize

    def step(self, *_: object) -> None:
        """Count."""
        self.steps_left -= 1
        if self.steps_left == 0:
            raise HypervisorError("out of luck")

    def write(self, uuid: str, scope: Scope, changes: Placement) -> None:
        """Write part by part; each may fail when it is done."""
        for part, mask in changes.items():
            super().write(uuid, scope, Placement({part: mask}))
            self.step()


def state(driver: LibvirtDriver, uuid: str) -> dict[str, Any]:
    """Where the instance is, by the kernel and by libvirt."""
    found = where.main(uuid)
    found.pop("alive")
    found["memory_mib"] = {
        size: {node: round(mib) for node, mib in nodes.items() if round(mib)}
        for size, nodes in found["memory_mib"].items()
    }
    unpinned = driver.unpinned(uuid)
    found["unpinned"] = unpinned.to_dict()
    found["live"] = driver.read(uuid, Scope.LIVE).to_dict()
    # libvirt deletes no entry: one that says what holds without it is none
    found["persistent"] = Placement(unpinned | driver.read(uuid, Scope.PERSISTENT)).to_dict()
    return found


def attempts(uuid: str, placements: list[dict[str, Any]], fail: bool) -> Iterator[dict[str, Any]]:
    """Carry the placements out."""
    if fail:
        pages._CHUNK = 64 << 20  # so that little memory takes several
    driver = Failing("qemu:///system", "lab")
    try:
        for data in placements:
            steps = 1 if fail else sys.maxsize
            done = False
            # each failure must leave this, from which the next attempt begins
            before = state(driver, uuid) if fail else {}
            while not done:
                driver.steps_left, begun = steps, time.monotonic()
                try:
                    target = Placement.from_dict(data)
                    receipt = transaction.carry_out(
                        driver,
                        uuid,
                        target,
                        driver.read(uuid, Scope.LIVE),
                        driver.memory(uuid) if MEMORY in target else None,
                        watch=driver.step,
                    )
                    seconds = time.monotonic() - begun
                    done = True
                    found = receipt and receipt.to_dict()
                    answer: dict[str, Any] = {"receipt": found, "where": where.main(uuid)}
                except transaction.NotApplied as error:
                    seconds = time.monotonic() - begun
                    answer = {"error": str(error)}
                    done = not fail
                if fail and not done:
                    driver.steps_left = sys.maxsize
                    after = state(driver, uuid)
                    answer["differs"] = {
                        key: [before[key], after[key]]
                        for key in before
                        if before[key] != after[key]
                    }
                    steps += 1
                yield answer | {"seconds": seconds}
    finally:
        driver.close()


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answers = list(attempts(asked["uuid"], asked["placements"], asked.get("fail", False)))
    json.dump({"answers": answers}, sys.stdout)
