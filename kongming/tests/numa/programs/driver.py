# SPDX-License-Identifier: Apache-2.0
"""Have the agent's driver for libvirt do something. Runs in the lab.

Reads a JSON object from standard input with ``calls``, a list of ``[method, argument, ...]``:
``host``; ``unpinned`` with a UUID; ``read`` with a UUID and a scope; ``write`` with a UUID, a scope
and a placement. Writes an object with ``answers``, for each call an object of ``seconds`` and
either ``answer`` or ``error``. Hosts and placements are as their ``to_dict`` has them.
"""

import json
import sys
import time
from typing import Any

from kongming import backend as backend
from kongming.hypervisor import libvirt as kongming_libvirt
from kongming.hypervisor.driver import HypervisorError, Scope
from kongming.topology.placement import Placement

# An emulated CPU, on a busy machine at that.
kongming_libvirt.PATIENCE_SECONDS = 120


def call(driver: kongming_libvirt.LibvirtDriver, method: str, *arguments: Any) -> dict[str, Any]:
    """Call a method; return its answer or its error, and how long it took."""
    begun = time.monotonic()
    try:
        answer = getattr(driver, method)(*_typed(method, arguments))
        answered = {"answer": answer.to_dict() if hasattr(answer, "to_dict") else answer}
    except HypervisorError as error:
        answered = {"error": str(error)}
    return answered | {"seconds": time.monotonic() - begun}


def _typed(method: str, arguments: tuple[Any, ...]) -> list[Any]:
    typed = list(arguments)
    if method in ("read", "write"):
        typed[1] = Scope(arguments[1])
    if method == "write":
        typed[2] = Placement.from_dict(arguments[2])
    return typed


def main(calls: list[list[Any]]) -> dict[str, Any]:
    """Make the calls one after the other."""
    driver = kongming_libvirt.LibvirtDriver("qemu:///system", "lab")
    try:
        return {"answers": [call(driver, *each) for each in calls]}
    finally:
        driver.close()


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
