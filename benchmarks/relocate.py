#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time a move of 256 MiB between two NUMA nodes beside migratepages(8) on the same guest.

In an emulated machine with several NUMA nodes (that of ``tox -e numa``), where KongMing's driver
and migratepages take turns at the memory of one running instance: so the figures say nothing of
real machines, but their ratio does. KongMing keeps in mind from where each page came, can be
stopped at each step, and looks at all pages afterwards; the time of its checks beforehand, of which
migratepages has none, is told apart. Root only.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from kongming.tests.numa import base  # noqa: E402
from kongming.tests.numa.fixtures.guest import Guest, Machine  # noqa: E402

MEMORY_MIB = 256


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="two moves of each side in each")
    parser.add_argument("--cgroup", choices=("v1", "v2"), default="v2")
    options = parser.parse_args()
    results = []
    print(f"{'memory':17} {'migratepages s':>14} {'KongMing s':>10} {'ratio':>5} {'checks s':>8}")
    with Guest(Machine(options.cgroup, huge_pages=(base.HUGE_PAGES,) * 4)) as guest:
        for kind, wanted in base.KINDS.items():
            asked: dict[str, Any] = {"memory_mib": MEMORY_MIB, "cpus": "0-1", **wanted}
            uuid = guest.run_program("start", **asked)["uuid"]
            times = guest.run_program("race", seconds=900, uuid=uuid, rounds=options.rounds)
            guest.run_program("stop", uuid=uuid)
            ours, theirs = times["seconds"]["kongming"], times["seconds"]["migratepages"]
            checks = statistics.median(times["checks"])
            medians = statistics.median(ours), statistics.median(theirs)
            results.append(
                {
                    "memory": kind,
                    "kongming_s": round(medians[0], 3),
                    "migratepages_s": round(medians[1], 3),
                    "ratio": round(medians[0] / medians[1], 2),
                    "checks_s": round(checks, 3),
                    "times": times["seconds"],
                }
            )
            print(
                f"{kind:17} {medians[1]:14.2f} {medians[0]:10.2f}"
                f" {medians[0] / medians[1]:5.2f} {checks:8.2f}",
                flush=True,
            )
    print(json.dumps({"load": os.getloadavg(), "cgroup": options.cgroup, "moves": results}))


if __name__ == "__main__":
    main()
