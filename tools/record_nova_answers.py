#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare `kongming.topology.fit` with a real nova on random cases, and record nova's answers.

    tools/record_nova_answers.py --cases 20000 --seed 1 --record 1500

Nova lives in a virtual environment of its own (``--nova-venv``), which is made if need be.
Each disagreement must be one of DIFFERENCES: the case, changed so that the difference is gone,
gets KongMing's answer from nova too. The script fails if any is left unexplained.
"""

import argparse
import collections
import concurrent.futures
import gzip
import json
import os
import pathlib
import random
import sys
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import nova_oracle  # noqa: E402

from kongming.tests.unit.topology import nova_cases  # noqa: E402

RECORD = ROOT / "kongming/tests/unit/topology/nova_answers.json.gz"
Case = dict[str, Any]


def random_case(rng: random.Random) -> Case:
    """Return a host of 1 to 8 NUMA nodes, partly used, and a wish about as large as it."""
    nodes, cores, threads = rng.randint(1, 8), rng.randint(1, 6), rng.randint(1, 2)
    count = nodes * cores * threads
    managed = _mask(rng, count, rng.choice([1, 1, 0.9, 0.6]))
    dedicated, shared = managed, managed
    # one set for both is how nova's older option vcpu_pin_set has it
    if rng.random() < 0.5:
        dedicated = managed & _mask(rng, count, rng.choice([1, 0.8, 0.5]))
        shared = managed & ~dedicated
    pinned = dedicated & _mask(rng, count, rng.choice([0, 0.1, 0.3, 0.6]))
    sizes = rng.choice([(4,), (4, 2048), (4, 2048, 1048576)])
    return {
        "nodes": nodes,
        "cores": cores,
        "threads": threads,
        "dedicated": f"{dedicated:x}",
        "shared": f"{shared:x}",
        "pinned": f"{pinned:x}",
        "pages": [{str(size): _pages(rng, size) for size in sizes} for _ in range(nodes)],
    } | _random_wish(rng, nodes, cores * threads)


def _random_wish(rng: random.Random, nodes: int, per_node: int) -> Case:
    wish: Case = {"cpu_policy": rng.choice(["dedicated", "dedicated", "shared"])}
    if wish["cpu_policy"] == "dedicated":
        wish["thread_policy"] = rng.choice(["prefer", "isolate", "require"])
        if rng.random() < 0.25:
            wish["emulator"] = "isolate"
    count = rng.choice([1, 1, 2, 2, min(3, nodes), min(4, nodes), nodes, min(nodes + 1, 8)])
    share = rng.choice([0.15, 0.3, 0.6, 0.9])
    page_size = rng.choice([None, None, None, 4, "any", "any", "large", 2048, 1048576])
    if rng.random() < 0.6:
        vcpus = max(1, round(rng.uniform(0, 1.1) * share * per_node))
        memory = _memory(rng)
        wish["numa_nodes"] = count
        if page_size:
            wish["memory"] = {"page_size_kib": page_size}
        return {"wish": wish, "size": [vcpus * count, memory * count]}
    numbers = [max(1, round(rng.uniform(0, 1.3) * share * per_node)) for _ in range(count)]
    order = list(range(sum(numbers)))
    rng.shuffle(order)
    wish["numa_nodes"] = [
        {
            "vcpus": ",".join(str(order.pop()) for _ in range(number)),
            "memory_mib": _memory(rng),
            "page_size_kib": page_size if rng.random() < 0.8 else None,
        }
        for number in numbers
    ]
    memory = sum(node["memory_mib"] for node in wish["numa_nodes"])
    return {"wish": wish, "size": [sum(numbers), memory]}


def _mask(rng: random.Random, count: int, share: float) -> int:
    return sum(1 << bit for bit in range(count) if rng.random() < share)


def _pages(rng: random.Random, size: int) -> list[int]:
    total = rng.choice([0, 4, 8, 16, 16, 16]) * 1048576 // size
    return [total, round(total * rng.choice([1, 1, 1, 0.5, 0.2]))]


def _memory(rng: random.Random) -> int:
    return rng.choice([1, 255, 256, 1024, 1024, 1024, 2048, 2048, 4100, 9216])


def legacy(case: Case) -> Case | None:
    """Isolate on cores with SMT: nova refuses where dedicated and shared pCPUs are told apart.

    It wants such instances on hosts without SMT (bug 1889633); here the siblings are claimed.
    """
    if case["wish"].get("thread_policy") != "isolate" or case["dedicated"] == case["shared"]:
        return None
    return case | {"shared": case["dedicated"]}


def half_managed(case: Case) -> Case | None:
    """Isolate where a sibling is not managed: nova forgets that the sibling exists.

    Here a core is whole only if all its online siblings can be claimed.
    """
    if case["wish"].get("thread_policy") != "isolate" or case["threads"] == 1:
        return None
    dedicated, distance = int(case["dedicated"], 16), case["nodes"] * case["cores"]
    whole = dedicated & dedicated >> distance & (1 << distance) - 1
    both = f"{whole | whole << distance:x}"
    return case | {"dedicated": both, "shared": both}


def pinned_shared(case: Case) -> Case | None:
    """Shared vCPUs where one set serves both: nova counts pCPUs that others hold for themselves.

    Here a pCPU that is claimed is not shared.
    """
    if case["wish"]["cpu_policy"] == "dedicated" or case["dedicated"] != case["shared"]:
        return None
    shared = int(case["shared"], 16) & ~int(case["pinned"], 16)
    return case | {"shared": f"{shared:x}"}


#: By name: how a case is changed to take the difference away (None if it is not concerned).
DIFFERENCES: dict[str, Callable[[Case], Case | None]] = {
    "isolate-with-smt": legacy,
    "isolate-half-managed": half_managed,
    "shared-but-pinned": pinned_shared,
}
#: Nova alters the guest nodes (their number, and the page size once chosen) while it tries
#: permutations, and what it remembers of earlier tries is then about other guest nodes. The
#: same tries made afresh have KongMing's answer.
SEARCH = "search-remembers"


def explain(python: pathlib.Path, cases: list[Case]) -> None:
    """Write into each case that Nova decides otherwise the "difference" that this is due to."""
    for name, change in DIFFERENCES.items():
        changed = [(case, change(case)) for case in cases if "difference" not in case]
        asked = [(case, other) for case, other in changed if other is not None]
        answers = nova_oracle.ask(python, [other for _, other in asked])
        for (case, _), answer in zip(asked, answers, strict=True):
            if case["kongming"] in answer.values():
                case["difference"] = name


def main() -> int:
    """Compare, report, and record if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nova-venv", type=pathlib.Path, default=ROOT / "build/nova-venv")
    parser.add_argument("--record", type=int, default=0, help="how many of the cases to record")
    options = parser.parse_args()
    python = nova_oracle.python_of(options.nova_venv)
    rng = random.Random(options.seed)  # nosec B311 # no secret
    cases = [random_case(rng) for _ in range(options.cases)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = [cases[at : at + 500] for at in range(0, len(cases), 500)]
        answers = [
            answer
            for part in pool.map(lambda part: nova_oracle.ask(python, part), parts)
            for answer in part
        ]
    for case, answer in zip(cases, answers, strict=True):
        case["nova"] = answer["nova"]
        case["kongming"] = nova_cases.placed(case) is not None
        if case["kongming"] != case["nova"] and case["kongming"] == answer["pairs"]:
            case["difference"] = SEARCH
    explain(python, [case for case in cases if case["kongming"] != case["nova"]])
    counts = collections.Counter(
        "the same answer: " + ("fits" if case["nova"] else "does not fit")
        if case["kongming"] == case["nova"]
        else case.get("difference", "UNEXPLAINED")
        for case in cases
    )
    for name, count in sorted(counts.items()):
        print(f"{count:8} {count / len(cases):8.3%}  {name}")
    unexplained = [
        case for case in cases if case["kongming"] != case["nova"] and "difference" not in case
    ]
    for case in unexplained[:3]:
        print(json.dumps(case))
    for case in cases:
        del case["kongming"]
    if options.record:
        with gzip.GzipFile(RECORD, "wb", mtime=0) as file:
            lines = [json.dumps(case, separators=(",", ":")) for case in cases[: options.record]]
            file.write(("[\n" + ",\n".join(lines) + "\n]\n").encode())
        print(f"recorded {options.record} cases, {os.path.getsize(RECORD)} bytes: {RECORD.name}")
    return bool(unexplained)


if __name__ == "__main__":
    sys.exit(main())
