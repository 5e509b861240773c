# SPDX-License-Identifier: Apache-2.0
"""What Linux counts, in the formats of its files: proc(5), and kernel: scheduler/sched-stats."""

import os

from kongming.topology.counted import CpuTime

_TICKS = os.sysconf("SC_CLK_TCK")
_NANOSECONDS = 1e9


def cpu_times(text: str) -> dict[int, CpuTime]:
    """Return what ``/proc/stat`` says of each pCPU that is online."""
    times = {}
    for line in text.splitlines():
        name, *counts = line.split()
        number = name.removeprefix("cpu")
        if name.startswith("cpu") and number:
            user, nice, system, idle, iowait, irq, softirq, steal = (
                int(count) / _TICKS for count in counts[:8]
            )
            # guest time, the rest of the line, is part of user and nice
            busy = user + nice + system + irq + softirq
            times[int(number)] = CpuTime(busy, iowait, steal, idle)
    return times


def name_and_cpu(text: str) -> tuple[str, int]:
    """Return from a thread's ``stat`` its name, and the pCPU on which it last ran."""
    before, _, after = text.rpartition(")")
    return before.partition("(")[2], int(after.split()[36])


def run_and_wait(text: str) -> tuple[float, float]:
    """Return from a thread's ``schedstat`` for how many seconds it ran, and waited for a pCPU."""
    run, wait, _ = text.split()
    return int(run) / _NANOSECONDS, int(wait) / _NANOSECONDS
