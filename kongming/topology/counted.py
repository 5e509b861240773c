# SPDX-License-Identifier: Apache-2.0
"""What a kernel counts of the threads, the memory and the pCPUs of a host."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from kongming.topology.placement import Part, Placement
from kongming.topology.residency import Residency


@dataclasses.dataclass(frozen=True)
class Thread:
    """One thread of an instance, and what the kernel has counted since it began.

    ``cpus`` is the bitmask of pCPUs on which it may run, ``last_cpu`` the one on which it last
    did; it ran for ``run_seconds``, and for ``wait_seconds`` it could have run but had no pCPU.
    """

    part: Part
    name: str
    tid: int
    cpus: int
    last_cpu: int
    run_seconds: float
    wait_seconds: float


@dataclasses.dataclass(frozen=True)
class CpuTime:
    """Seconds that one pCPU has spent since the host started, by what it did in them."""

    busy: float
    iowait: float
    steal: float
    idle: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a driver has counted by one moment, ``seconds`` on a clock that only goes forward.

    ``threads`` and ``memory`` are by instance uuid. An instance that was not looked at is in
    neither; one whose memory was not read yet is not in ``memory``.
    """

    seconds: float
    cpus: Mapping[int, CpuTime]
    threads: Mapping[str, Sequence[Thread]]
    memory: Mapping[str, Residency]


def vcpu_seconds(threads: Iterable[Thread]) -> dict[int, tuple[float, float]]:
    """Return for how many seconds the threads of each vCPU have run, and have waited."""
    found: dict[int, tuple[float, float]] = {}
    for thread in threads:
        if thread.part.kind == "vcpu":
            run, wait = found.get(thread.part.number, (0.0, 0.0))
            found[thread.part.number] = run + thread.run_seconds, wait + thread.wait_seconds
    return dict(sorted(found.items()))


def placement(threads: Iterable[Thread]) -> Placement:
    """Return where each part may run, which is its thread and those that it has started."""
    place = Placement()
    for thread in threads:
        place[thread.part] = place.get(thread.part, 0) | thread.cpus
    return place
