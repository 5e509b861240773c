#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time `kongming.topology.fit` beside nova's ``numa_fit_instance_to_host``.

Both are asked the same about the same hosts in the same run; each time is the least of several
calls. What describes host and wish exists before, on both sides: one wish is put to many hosts.
Where it does not fit, KongMing's time has the sentences that say why; nova gives no reason.
Nothing is remembered from one call to the next but the structure of the host's cores. Nova's
logging is switched off. Nova lives in a virtual environment of its own (``--nova-venv``), which
is made if need be.
"""

import argparse
import json
import pathlib
import platform
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import nova_oracle  # noqa: E402

from kongming.tests.unit.topology import nova_cases  # noqa: E402
from kongming.topology import fit  # noqa: E402
from kongming.topology.wish import Wish  # noqa: E402

MEMORY = {"4": [16777216, 12582912], "2048": [16384, 16384]}


def case(
    name: str, nodes: int, cores: int, pinned: int, size: list[int], **wish: Any
) -> dict[str, Any]:
    """Return a case for both sides: a host with two threads per core, all managed."""
    every = f"{(1 << nodes * cores * 2) - 1:x}"
    shared = "0" if wish["cpu_policy"] == "dedicated" else every
    if wish.get("thread_policy") == "isolate":
        shared = every  # else nova refuses at once
    return {
        "name": name,
        "nodes": nodes,
        "cores": cores,
        "threads": 2,
        "dedicated": every,
        "shared": shared,
        "pinned": f"{pinned:x}",
        "pages": [MEMORY] * nodes,
        "wish": wish,
        "size": size,
        "pairs": False,
    }


def used(nodes: int, cores: int, of: range, whole: int) -> int:
    """Return the pCPUs of the first ``whole`` cores of some nodes."""
    return sum(
        1 << thread * nodes * cores + node * cores + core
        for node in of
        for core in range(whole)
        for thread in range(2)
    )


THIRD = used(2, 32, range(2), 11)
CASES = [
    case("2 nodes x 16 cores, a third used; 8 dedicated", 2, 16, used(2, 16, range(2), 5),
         [8, 8192], cpu_policy="dedicated"),
    case("2 nodes x 32 cores, a third used; 8 dedicated", 2, 32, THIRD,
         [8, 8192], cpu_policy="dedicated"),
    case("the same; 16 dedicated", 2, 32, THIRD, [16, 16384], cpu_policy="dedicated"),
    case("the same; 16 dedicated in 2 MiB pages", 2, 32, THIRD,
         [16, 16384], cpu_policy="dedicated", memory={"page_size_kib": 2048}),
    case("the same; 16 dedicated, isolate", 2, 32, THIRD,
         [16, 16384], cpu_policy="dedicated", thread_policy="isolate"),
    case("the same; 16 dedicated on 2 guest nodes", 2, 32, THIRD,
         [16, 16384], cpu_policy="dedicated", numa_nodes=2),
    case("the same; 48 dedicated: does not fit", 2, 32, THIRD,
         [48, 16384], cpu_policy="dedicated"),
    case("the same; 16 shared in 2 MiB pages", 2, 32, THIRD,
         [16, 16384], cpu_policy="shared", memory={"page_size_kib": 2048}),
    case("the same; 96 shared on 1 node: does not fit", 2, 32, THIRD,
         [96, 16384], cpu_policy="shared", numa_nodes=1),
    case("8 nodes x 8 cores; 4 guest nodes", 8, 8, used(8, 8, range(8), 2),
         [32, 32768], cpu_policy="dedicated", numa_nodes=4),
    case("8 nodes, 7 free; 8 guest nodes: does not fit", 8, 8, used(8, 8, range(1), 8),
         [64, 65536], cpu_policy="dedicated", numa_nodes=8),
    case("9 nodes, 7 free; 8 guest nodes: does not fit", 9, 8, used(9, 8, range(2), 8),
         [64, 65536], cpu_policy="dedicated", numa_nodes=8),
]  # fmt: skip


def kongming_seconds(case: dict[str, Any], calls: int) -> tuple[bool, float]:
    """Return KongMing's answer and its time."""
    offer = nova_cases.inventory(case)
    question = fit.Question(Wish.from_dict(case["wish"]), fit.Size(*case["size"]))
    least, fits = float("inf"), False
    for _ in range(calls):
        begun = time.perf_counter()
        try:
            question.place(offer)
            fits = True
        except fit.DoesNotFit as error:
            fits = not [reason.detail for reason in error.reasons]
        least = min(least, time.perf_counter() - begun)
    return fits, least


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--nova-venv", type=pathlib.Path, default=ROOT / "build/nova-venv")
    parser.add_argument("--calls", type=int, default=300, help="of each, fewer of a slow nova")
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file, too")
    options = parser.parse_args()
    python = nova_oracle.python_of(options.nova_venv)
    cases = [
        one | {"repeat": 3 if one["wish"].get("numa_nodes", 1) == 8 else options.calls}
        for one in CASES
    ]
    rows = []
    for one, answer in zip(cases, nova_oracle.ask(python, cases), strict=True):
        fits, seconds = kongming_seconds(one, options.calls)
        rows.append(
            {
                "case": one["name"],
                "fits": fits,
                "nova_fits": answer["nova"],
                "kongming_us": round(seconds * 1e6, 1),
                "nova_us": round(answer["seconds"] * 1e6, 1),
                "ratio": round(answer["seconds"] / seconds, 1),
            }
        )
    print(f"{'case':52} {'fits':>5} {'KongMing µs':>12} {'nova µs':>12} {'ratio':>9}")
    for row in rows:
        print(
            f"{row['case']:52} {row['fits']!s:>5} {row['kongming_us']:12.1f}"
            f" {row['nova_us']:12.1f} {row['ratio']:9.1f}"
        )
    text = json.dumps({"python": platform.python_version(), "cases": rows}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
