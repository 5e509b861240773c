# SPDX-License-Identifier: Apache-2.0
"""Take an instance away, definition and all. Runs in the lab.

Reads a JSON object from standard input with its ``uuid``; writes ``{}``.
"""

import contextlib
import json
import sys

import libvirt

if __name__ == "__main__":
    domain = libvirt.open("qemu:///system").lookupByUUIDString(json.load(sys.stdin)["uuid"])
    with contextlib.suppress(libvirt.libvirtError):  # it may have ended
        domain.destroy()
    domain.undefine()
    print("{}")
