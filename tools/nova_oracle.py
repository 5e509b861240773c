#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ask a real nova whether instances fit on hosts. Runs in nova's own virtual environment.

Reads a JSON list of cases (see record_nova_answers.py) from standard input and writes the list
of answers: ``{"nova": …, "pairs": …}``, what ``numa_fit_instance_to_host`` says, and what comes
out if each guest node is tried on each NUMA node afresh and all ways to combine those that fit
are tried. The cases with a "repeat" are timed as well: seconds of each call, the least.
"""

import json
import logging
import pathlib
import subprocess  # nosec B404 # for the commands below
import sys
import time
from typing import Any

PAGE_WORDS = {None: None, "any": -3, "large": -2}


def python_of(directory: pathlib.Path, release: str = "nova==34.0.0") -> pathlib.Path:
    """Return the interpreter of a virtual environment with nova, made if it is not there."""
    python = directory / "bin" / "python"
    found = (
        subprocess.run(  # nosec B603 # of ours alone
            [python, "-c", "import nova.virt.hardware"], check=False, capture_output=True
        )
        if python.exists()
        else None
    )
    if found is None or found.returncode:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)  # nosec B603
        subprocess.run([python, "-m", "pip", "install", "--quiet", release], check=True)  # nosec B603
    return python


def ask(python: pathlib.Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return nova's answers to cases."""
    done = subprocess.run(  # nosec B603 # of ours alone
        [python, "-W", "ignore", __file__],
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def main() -> None:
    """Answer the cases on standard input."""
    from nova import objects
    from nova.virt import hardware

    objects.register_all()
    logging.disable(logging.CRITICAL)

    def answer(case: dict[str, Any]) -> dict[str, Any]:
        host = host_topology(objects, case)
        found: dict[str, Any] = {
            "nova": bool(
                hardware.numa_fit_instance_to_host(host, instance_topology(objects, case), {})
            )
        }
        if case.get("pairs", True):
            found["pairs"] = _pairs(objects, hardware, host, case)
        if "repeat" in case:
            took = []
            for _ in range(case["repeat"]):
                # it alters what it is given
                instance = instance_topology(objects, case)
                begun = time.perf_counter()
                hardware.numa_fit_instance_to_host(host, instance, {})
                took.append(time.perf_counter() - begun)
            found["seconds"] = min(took)
        return found

    json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)


def _cpus(text: str) -> set[int]:
    mask = int(text, 16)
    return {bit for bit in range(mask.bit_length()) if mask >> bit & 1}


def host_topology(objects: Any, case: dict[str, Any]) -> Any:
    """Return the host of a case as nova's NUMATopology."""
    dedicated, shared, pinned = (_cpus(case[key]) for key in ("dedicated", "shared", "pinned"))
    threads, cores, nodes = case["threads"], case["cores"], case["nodes"]
    cells = []
    for node in range(nodes):
        siblings = [
            {thread * nodes * cores + node * cores + core for thread in range(threads)}
            for core in range(cores)
        ]
        cpus = set().union(*siblings)
        managed = cpus & (dedicated | shared)
        pages = case["pages"][node]
        total = sum(int(size) * numbers[0] // 1024 for size, numbers in pages.items())
        cells.append(
            objects.NUMACell(
                id=node,
                cpuset=cpus & shared,
                pcpuset=cpus & dedicated,
                pinned_cpus=cpus & pinned & dedicated,
                siblings=[core & managed for core in siblings if core & managed] or [set()],
                memory=total,
                memory_usage=0,
                cpu_usage=0,
                socket=node,
                mempages=[
                    objects.NUMAPagesTopology(
                        size_kb=int(size), total=numbers[0], used=numbers[0] - numbers[1]
                    )
                    for size, numbers in pages.items()
                ],
            )
        )
    return objects.NUMATopology(cells=cells)


def instance_topology(objects: Any, case: dict[str, Any]) -> Any:
    """Return what a case asks for (wish and size) as nova's InstanceNUMATopology."""
    wish, (vcpus, memory) = case["wish"], case["size"]
    asked = wish.get("numa_nodes", 1)
    if isinstance(asked, int):
        each = vcpus // asked
        asked = [
            {
                "vcpus": f"{number * each}-{number * each + each - 1}",
                "memory_mib": memory // asked,
                "page_size_kib": wish.get("memory", {}).get("page_size_kib"),
            }
            for number in range(asked)
        ]
    dedicated = wish["cpu_policy"] == "dedicated"
    cells = []
    for number, node in enumerate(asked):
        cpus = set()
        for part in node["vcpus"].split(","):
            first, _, last = part.partition("-")
            cpus |= set(range(int(first), int(last or first) + 1))
        size = node.get("page_size_kib")
        cells.append(
            objects.InstanceNUMACell(
                id=number,
                cpuset=set() if dedicated else cpus,
                pcpuset=cpus if dedicated else set(),
                memory=node["memory_mib"],
                pagesize=PAGE_WORDS.get(size, size),
                cpu_policy=wish["cpu_policy"],
                cpu_thread_policy=wish.get("thread_policy") if dedicated else None,
            )
        )
    return objects.InstanceNUMATopology(cells=cells, emulator_threads_policy=wish.get("emulator"))


def _pairs(objects: Any, hardware: Any, host: Any, case: dict[str, Any]) -> bool:
    from nova import exception

    fits: list[set[int]] = []
    count = len(instance_topology(objects, case).cells)
    for guest in range(count):
        fits.append(set())
        for column, cell in enumerate(host.cells):
            fresh = instance_topology(objects, case)
            reserved = int(fresh.emulator_threads_isolated and not guest)
            try:
                if hardware._numa_fit_instance_cell(cell, fresh.cells[guest], None, reserved):
                    fits[-1].add(column)
            except exception.MemoryPageSizeNotSupported:
                pass

    def combine(guest: int, used: frozenset[int]) -> bool:
        return guest == count or any(
            combine(guest + 1, used | {column}) for column in fits[guest] - used
        )

    return combine(0, frozenset())


if __name__ == "__main__":
    main()
