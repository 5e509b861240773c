# SPDX-License-Identifier: Apache-2.0
"""Tell where an instance really is, as the kernel has it, without KongMing. Runs in the lab.

Reads a JSON object from standard input with its ``uuid``. Writes an object with

``memory_mib``
    MiB of the guest's memory: ``{page size in KiB: {node: MiB}}``; QEMU's own is left out.
``policies``
    The policies of that memory as numa_maps has them, such as ``default`` or ``bind:0``.
``threads``
    ``{part: [thread, ...]}``; parts are ``vcpu0``, ``iothread1``, ``emulator``; a thread is an
    object of ``cpus`` and ``nodes`` that it may use, as ``0-3,8``, and its ``cgroup`` for cpuset.
``alive``
    How many times the guest has gone through its memory.
"""

import collections
import contextlib
import json
import pathlib
import re
import sys
from typing import Any

THREADS = ((r"CPU (\d+)/", "vcpu"), (r"IO iothread(\d+)", "iothread"))
SERIAL = "/var/log/libvirt/qemu/{uuid}.serial"


def process(uuid: str) -> pathlib.Path:
    """Directory below /proc of the instance's QEMU.

    :raises ProcessLookupError: it does not run.
    """
    for each in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_bytes().split(b"\0")
            if b"qemu" in words[0] and uuid.encode() in words:
                return each
    raise ProcessLookupError(f"no process of instance {uuid}")


def memory(qemu: pathlib.Path) -> tuple[dict[int, dict[int, float]], list[str]]:
    """The guest's memory in MiB by page size and node, and its policies.

    :raises LookupError: it is not what QEMU was told to make.
    """
    # QEMU makes a mapping of just that size for each of its memory backends.
    sizes = sorted(int(size) for size in re.findall(rb'"size":(\d+)', _command_line(qemu)))
    mappings: dict[str, int] = {}
    for line in (qemu / "maps").read_text().splitlines():
        start, end = line.split()[0].split("-")
        if int(end, 16) - int(start, 16) in sizes:
            mappings[start] = int(end, 16) - int(start, 16)
    if sorted(mappings.values()) != sizes:
        raise LookupError(f"mappings {mappings} are not memory of {sizes}")
    found: dict[int, dict[int, float]] = {}
    policies = set()
    for line in (qemu / "numa_maps").read_text().splitlines():
        start, policy = line.split()[:2]
        if start in mappings:
            policies.add(policy)
            page = re.search(r"kernelpagesize_kB=(\d+)", line)
            for node, pages in re.findall(r" N(\d+)=(\d+)", line):
                assert page
                held = found.setdefault(int(page[1]), {})
                held[int(node)] = held.get(int(node), 0) + int(pages) * int(page[1]) / 1024
    return found, sorted(policies)


def _command_line(qemu: pathlib.Path) -> bytes:
    words = (qemu / "cmdline").read_bytes().split(b"\0")
    return b"\n".join(word for word in words if b'"memory-backend-' in word)


def threads(qemu: pathlib.Path) -> dict[str, list[dict[str, str]]]:
    """The threads by what they work for."""
    found = collections.defaultdict(list)
    for task in sorted((qemu / "task").iterdir()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # they come and go
            found[_part((task / "comm").read_text())].append(_thread(task))
    return dict(found)


def _thread(task: pathlib.Path) -> dict[str, str]:
    status = (task / "status").read_text()
    return {
        "cpus": status.partition("Cpus_allowed_list:")[2].split()[0],
        "nodes": status.partition("Mems_allowed_list:")[2].split()[0],
        "cgroup": _cgroup((task / "cgroup").read_text()),
    }


def _part(name: str) -> str:
    for pattern, kind in THREADS:
        if match := re.match(pattern, name):
            return kind + match[1]
    return "emulator"


def _cgroup(text: str) -> str:
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths["cpuset" if "cpuset" in paths else ""]


def main(uuid: str) -> dict[str, Any]:
    """Everything about the instance."""
    qemu = process(uuid)
    held, policies = memory(qemu)
    alive = pathlib.Path(SERIAL.format(uuid=uuid)).stat().st_size
    return {
        "memory_mib": held,
        "policies": policies,
        "threads": threads(qemu),
        "alive": alive,
    }


if __name__ == "__main__":
    json.dump(main(**json.load(sys.stdin)), sys.stdout)
