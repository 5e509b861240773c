# SPDX-License-Identifier: Apache-2.0
"""kongming-libvirt-hook: let instances come to this host whatever pins they bring along.

libvirt sends the pins of an instance along when it migrates live, and refuses it where a pCPU
or NUMA node that they name is missing. It runs this program, as a hook of its QEMU driver,
beforehand. Whatever goes wrong here, libvirt decides as it would have without.
"""

import pathlib
import sys

from kongming.hypervisor import arrival_xml
from kongming.topology import cpuset

#: Those with which a definition made elsewhere, or earlier, comes in; it may be changed then.
OPERATIONS = ("migrate", "restore")
SYSTEM = pathlib.Path("/sys/devices/system")


def main() -> int:
    """Answer libvirt: ``kongming-libvirt-hook NAME OPERATION …`` with the definition as input."""
    if sys.argv[2:3] and sys.argv[2] in OPERATIONS:
        try:
            cpus = cpuset.parse((SYSTEM / "cpu/online").read_text())
            nodes = cpuset.parse((SYSTEM / "node/has_memory").read_text())
            sys.stdout.write(arrival_xml.fitted(sys.stdin.read(), cpus, nodes))
        except (OSError, ValueError) as error:
            print(f"kongming-libvirt-hook: {error}", file=sys.stderr)
    return 0
