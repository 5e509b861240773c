# SPDX-License-Identifier: Apache-2.0
"""Do to a process each thing that an agent does to QEMU; print what is refused, as JSON.

Arguments: uuid and id of the process, a control group of it, a bitmask of pCPUs.
"""

import json
import sys
from array import array
from collections.abc import Callable
from typing import Any

from kongming.hypervisor import obstacles, syscalls, vhost
from kongming.hypervisor.driver import HypervisorError
from kongming.hypervisor.kernel import Kernel
from kongming.topology.placement import EMULATOR, Part, Placement


def main() -> None:
    """Try everything."""
    uuid, pid, group, mask = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    kernel = Kernel()

    def write() -> None:
        with open(f"{group}/cpu.shares", "r+", encoding="ascii") as file:
            file.write("1000")

    # any address will do: what is not mapped is no failure of the call
    page = array("q", [0x1000])
    todo: dict[str, Callable[[], Any]] = {
        "places": lambda: kernel.placement(uuid),
        "counts": lambda: kernel.threads(uuid),
        "memory": lambda: kernel.memory_mib(uuid),
        "confine": lambda: kernel.confine(uuid, Placement({Part("vcpu", 0): mask, EMULATOR: mask})),
        "pages": lambda: syscalls.where(pid, page),
        "move": lambda: syscalls.move(pid, page, 0),
        "obstacles": lambda: obstacles.pinning(pid),
        "vhost": lambda: vhost.threads(pid, release="6.1.0"),
        "tune": write,
    }
    refused = {}
    for name, call in todo.items():
        try:
            call()
        except (PermissionError, HypervisorError) as error:
            refused[name] = str(error)
    print(json.dumps(refused))


if __name__ == "__main__":
    main()
