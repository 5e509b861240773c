# SPDX-License-Identifier: Apache-2.0
"""What two samples of a host tell: shares, locality, and who gets in whose way."""

import dataclasses
import datetime
from collections.abc import Mapping

from kongming.topology.counted import CpuTime, Sample, Thread, placement, vcpu_seconds
from kongming.topology.host import Host
from kongming.topology.placement import Placement
from kongming.topology.residency import Residency
from kongming.topology.usage import Conflict, ConflictKind, InstanceUsage, Load, Usage, VcpuUsage


def told(host: Host, before: Sample | None, now: Sample, at: datetime.datetime) -> Usage:
    """Return what is to be told of two samples of a host, the first of which may be missing."""
    return Usage(
        at=at,
        cpus={} if before is None else _loads(before.cpus, now.cpus),
        conflicts=conflicts({uuid: placement(threads) for uuid, threads in now.threads.items()}),
        instances={
            uuid: InstanceUsage(
                threads=threads,
                vcpus=_vcpus(before, now, uuid),
                memory=now.memory.get(uuid, {}),
                locality_percent=locality(
                    host, now.memory.get(uuid, {}), placement(threads).vcpu_cpus
                ),
            )
            for uuid, threads in now.threads.items()
        },
    )


def locality(host: Host, memory: Residency, cpus: int) -> float | None:
    """Return how many per cent of the memory are on nodes of these pCPUs; None if there is none."""
    near = {node.id for node in host.nodes if node.cpus & cpus}
    held = [(node, mib) for nodes in memory.values() for node, mib in nodes.items()]
    total = sum(mib for _, mib in held)
    if not total:
        return None
    return round(100 * sum(mib for node, mib in held if node in near) / total, 1)


def conflicts(places: Mapping[str, Placement]) -> tuple[Conflict, ...]:
    """Return where instances (by uuid) get in each other's way, from where their threads may run.

    A pCPU that a vCPU has alone, as with dedicated ones, should be nobody else's.
    """
    alone: dict[int, list[str]] = {}
    for uuid, place in places.items():
        for mask in place.vcpus.values():
            if mask.bit_count() == 1:
                alone.setdefault(mask.bit_length() - 1, []).append(uuid)
    everything = {uuid: place.cpus for uuid, place in places.items()}
    found: dict[tuple[ConflictKind, tuple[str, ...]], int] = {}
    for cpu, owners in sorted(alone.items()):
        kind: ConflictKind = "pinned"
        who = set(owners)
        if len(owners) == 1:
            kind = "shared"
            who |= {uuid for uuid, mask in everything.items() if mask >> cpu & 1}
            if len(who) == 1:
                continue
        key = kind, tuple(sorted(who))
        found[key] = found.get(key, 0) | 1 << cpu
    return tuple(Conflict(kind, mask, instances) for (kind, instances), mask in found.items())


def _vcpus(before: Sample | None, now: Sample, uuid: str) -> dict[int, VcpuUsage]:
    elapsed = 0.0 if before is None else now.seconds - before.seconds
    earlier = None if before is None or elapsed <= 0 else before.threads.get(uuid)
    grown: dict[int, tuple[float, float]] | None = None
    if earlier is not None:
        # by thread: one that began since counts from nothing, one that ended takes nothing back
        then = {thread.tid: thread for thread in earlier}
        grown = vcpu_seconds(_since(then.get(thread.tid), thread) for thread in now.threads[uuid])
    return {
        number: VcpuUsage(
            run_seconds=round(run, 3),
            wait_seconds=round(wait, 3),
            run_percent=None if grown is None else _percent(grown[number][0], elapsed),
            wait_percent=None if grown is None else _percent(grown[number][1], elapsed),
        )
        for number, (run, wait) in vcpu_seconds(now.threads[uuid]).items()
    }


def _since(before: Thread | None, now: Thread) -> Thread:
    # a number that was given to another thread since starts anew, too
    if before is None or before.run_seconds > now.run_seconds:
        return now
    return dataclasses.replace(
        now,
        run_seconds=now.run_seconds - before.run_seconds,
        wait_seconds=max(0.0, now.wait_seconds - before.wait_seconds),
    )


def _loads(before: Mapping[int, CpuTime], now: Mapping[int, CpuTime]) -> dict[int, Load]:
    loads = {}
    for cpu, time in sorted(now.items()):
        if cpu not in before:
            continue  # came online meanwhile
        # the kernel does not promise that idle and iowait never go back
        busy, iowait, steal, idle = (
            max(0.0, end - start)
            for start, end in zip(
                dataclasses.astuple(before[cpu]), dataclasses.astuple(time), strict=True
            )
        )
        total = busy + iowait + steal + idle
        if total:
            loads[cpu] = Load(*(_percent(part, total) for part in (busy, iowait, steal)))
    return loads


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1)
