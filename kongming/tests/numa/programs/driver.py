# SPDX-License-Identifier: Apache-2.0
"""Have the agent's driver for libvirt do something. Runs in the lab.

Reads a JSON object from standard input with ``calls``, a list of ``[method, argument, ...]``:
``host``; ``read`` and ``unpinned`` with a UUID, ``read`` also with a scope; ``write`` with a UUID,
a scope, a part such as ``vcpu0``, ``memory`` or ``vcpu_quota0``, and a CPU set (for memory, of
nodes) or a number. Writes an object with ``answers``, for each call an object of ``seconds`` and
either ``answer``, where hosts and placements are as their ``to_dict`` has them, or ``error``.
"""

import json
import re
import sys
import time
from typing import Any

from kongming import backend as backend
from kongming.hypervisor.driver import HypervisorError, Scope
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.topology import cpuset
from kongming.topology.placement import Part, Placement


def call(driver: LibvirtDriver, method: str, *arguments: str) -> dict[str, Any]:
    """Call a method; return its answer or its error, and how long it took."""
    begun = time.monotonic()
    try:
        answer = getattr(driver, method)(*_typed(method, arguments))
        answered = {"answer": answer.to_dict() if hasattr(answer, "to_dict") else answer}
    except HypervisorError as error:
        answered = {"error": str(error)}
    return answered | {"seconds": time.monotonic() - begun}


def _typed(method: str, arguments: tuple[str, ...]) -> list[Any]:
    typed: list[Any] = list(arguments)
    if method in ("read", "write"):
        typed[1] = Scope(arguments[1])
    if method == "write":
        name = re.fullmatch(r"([a-z_]+)(\d*)", arguments[2])
        assert name
        part = Part(name[1], int(name[2] or 0))  # type: ignore
        value = int(arguments[3]) if part.is_number else cpuset.parse(arguments[3])
        typed[2:] = [Placement({part: value})]
    return typed


def main(calls: list[list[str]]) -> dict[str, Any]:
    """Make the calls one after the other."""
    driver = LibvirtDriver("qemu:///system", "lab")
    try:
        return {"answers": [call(driver, *each) for each in calls]}
    finally:
        driver.close()


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
