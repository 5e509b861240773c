# SPDX-License-Identifier: Apache-2.0
"""What a simulated host counts: as much as its pins and its clock imply, without chance."""

import collections
from collections.abc import Iterable, Mapping

from kongming.hypervisor.simulated_host import SimulatedHost, SimulatedInstance
from kongming.topology import cpuset
from kongming.topology.counted import CpuTime, Sample, Thread
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.residency import Residency

#: Which part of one pCPU each vCPU of a running instance wants; other threads want none.
DEMAND = 0.6


class Meter:
    """Counts on one host; whoever calls has the lock of the fleet.

    A vCPU asks each pCPU on which it may run for the same part of its demand. Of a pCPU that
    is asked for more than all, everybody gets the same share, and waits for the rest.

    :param began: when the host started, in seconds on the clock of the calls of `sample`
    """

    def __init__(self, host: SimulatedHost, began: float) -> None:
        self._host = host
        self._now = began
        self._ran: dict[tuple[str, Part], tuple[float, float]] = {}
        self._cpus: dict[int, CpuTime] = {}

    def sample(self, now: float) -> Sample:
        """Return what was counted by ``now``, as if all had been as it is since the last time."""
        elapsed, self._now = now - self._now, now
        observed = {
            uuid: instance.observed().places
            for uuid, instance in self._host.instances.items()
            if instance.running
        }
        working = {
            uuid: place
            for uuid, place in observed.items()
            if self._host.instances[uuid].state == "running"
        }
        asked = _asked(working.values(), self._host.online)
        self._cpus = {
            cpu: _later(self._cpus.get(cpu), min(1.0, demand) * elapsed, elapsed)
            for cpu, demand in asked.items()
        }
        granted = {
            mask: sum(1 / max(1.0, asked[cpu]) for cpu in cpuset.members(mask)) / mask.bit_count()
            for mask in _wanted(working.values())
        }
        ran = {}
        for uuid, place in observed.items():
            for part, mask in place.items():
                run, wait = self._ran.get((uuid, part), (0.0, 0.0))
                if part.kind == "vcpu" and uuid in working:
                    running = DEMAND * granted[mask]
                    run, wait = run + running * elapsed, wait + (DEMAND - running) * elapsed
                ran[uuid, part] = run, wait
        self._ran = ran
        instances = [self._host.instances[uuid] for uuid in observed]
        return Sample(
            now,
            self._cpus,
            {
                uuid: self._threads(number, uuid, place)
                for number, (uuid, place) in enumerate(observed.items(), 1)
            },
            {instance.spec.uuid: _memory(instance) for instance in instances},
        )

    def _threads(self, number: int, uuid: str, place: Placement) -> list[Thread]:
        found: list[Thread] = []
        for part, mask in sorted(place.items()):
            if part != MEMORY:
                cpus = list(cpuset.members(mask))
                tid = number * 1000 + len(found)
                run, wait = self._ran[uuid, part]
                last = cpus[part.number % len(cpus)]
                found.append(Thread(part, _name(part), tid, mask, last, run, wait))
        return found


def _wanted(places: Iterable[Placement]) -> Mapping[int, int]:
    """Return how many vCPUs may run on each set of pCPUs: what floats has few."""
    return collections.Counter(mask for place in places for mask in place.vcpus.values())


def _asked(places: Iterable[Placement], online: int) -> dict[int, float]:
    asked = dict.fromkeys(cpuset.members(online), 0.0)
    for mask, vcpus in _wanted(places).items():
        part = DEMAND * vcpus / mask.bit_count()
        for cpu in cpuset.members(mask):
            asked[cpu] += part
    return asked


def _later(before: CpuTime | None, busy: float, elapsed: float) -> CpuTime:
    before = before or CpuTime(0.0, 0.0, 0.0, 0.0)
    return CpuTime(before.busy + busy, 0.0, 0.0, before.idle + elapsed - busy)


def _memory(instance: SimulatedInstance) -> Residency:
    return {4: {node: mib for node, mib in instance.memory.items() if mib}}


def _name(part: Part) -> str:
    if part == EMULATOR:
        return "qemu-system-x86"
    return f"CPU {part.number}/KVM" if part.kind == "vcpu" else f"IO iothread{part.number}"
