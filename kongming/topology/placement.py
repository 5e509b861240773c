# SPDX-License-Identifier: Apache-2.0
"""Where the parts of one instance live on one host: asked for, or observed."""

from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset, qos
from kongming.topology.part import EMULATOR, MEMORY, MEMORY_AT_START, Kind, Part

__all__ = ["EMULATOR", "MEMORY", "MEMORY_AT_START", "Kind", "Part", "Placement"]


class Placement(dict[Part, int]):
    """Bitmask of pCPUs for each part (of NUMA nodes for memory), and the numbers of QoS.

    A part that is absent is not controlled; of what is observed, it is a number at its default.
    """

    @property
    def vcpus(self) -> dict[int, int]:
        """pCPU bitmask by vCPU number."""
        return {part.number: mask for part, mask in self.items() if part.kind == "vcpu"}

    @property
    def iothreads(self) -> dict[int, int]:
        """pCPU bitmask by I/O thread id."""
        return {part.number: mask for part, mask in self.items() if part.kind == "iothread"}

    @property
    def vcpu_cpus(self) -> int:
        """Bitmask of all pCPUs on which some vCPU may run."""
        mask = 0
        for cpus in self.vcpus.values():
            mask |= cpus
        return mask

    @property
    def cpus(self) -> int:
        """Bitmask of all pCPUs on which some thread may run."""
        mask = 0
        for part, cpus in self.items():
            if not (part.is_number or part.is_memory):
                mask |= cpus
        return mask

    @property
    def places(self) -> "Placement":
        """The parts with a place: all but the numbers of QoS."""
        return Placement((part, mask) for part, mask in self.items() if not part.is_number)

    @property
    def live(self) -> "Placement":
        """What of it the running instance can have."""
        return Placement((part, value) for part, value in self.items() if part != MEMORY_AT_START)

    @property
    def defined(self) -> "Placement":
        """What of it a definition can have, which knows memory as ``MEMORY`` alone."""
        found = Placement(
            (part, value) for part, value in self.live.items() if not part.is_live_only
        )
        if MEMORY_AT_START in self:
            found[MEMORY] = self[MEMORY_AT_START]
        return found

    @property
    def exclusive(self) -> int:
        """Bitmask of the pCPUs that have been given to one vCPU alone.

        So does Nova pin the vCPUs of ``hw:cpu_policy=dedicated``: each to a pCPU of its own.
        """
        alone = [mask for mask in self.vcpus.values() if mask.bit_count() == 1]
        return cpuset.from_members(
            mask.bit_length() - 1 for mask in alone if alone.count(mask) == 1
        )

    def joined(self, newer: "Placement | None") -> "Placement":
        """Return the placement in which each part may be where either has it.

        A number cannot be both: it is that of the newer one.
        """
        joined = Placement(self)
        for part, value in (newer or {}).items():
            joined[part] = value if part.is_number else joined.get(part, 0) | value
        return joined

    def value(self, part: Part) -> int:
        """Return where a part is observed (0: it is not), or its number."""
        return self.get(part, part.default)

    def differences(self, observed: "Placement") -> list[str]:
        """Name each part that is not as this placement wants it, in words for a reason."""
        return [
            _difference(part, observed.value(part), value)
            for part, value in self.items()
            if observed.value(part) != value
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form: ``{"vcpus": {"0": "4"}, "emulator": "0-1", "memory": {...}}``."""
        data: dict[str, Any] = {}
        if self.vcpus:
            data["vcpus"] = {str(n): cpuset.to_text(m) for n, m in sorted(self.vcpus.items())}
        if EMULATOR in self:
            data["emulator"] = cpuset.to_text(self[EMULATOR])
        if self.iothreads:
            data["iothreads"] = {
                str(n): cpuset.to_text(m) for n, m in sorted(self.iothreads.items())
            }
        if MEMORY in self:
            data["memory"] = {"nodes": cpuset.to_text(self[MEMORY])}
        if MEMORY_AT_START in self:
            data["memory_at_start"] = cpuset.to_text(self[MEMORY_AT_START])
        if numbers := qos.to_dict(self):
            data["qos"] = numbers
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Placement":
        """Return the placement that `to_dict` described.

        An emulator in no place is left out: there was a release that stored such.
        """
        placement = cls()
        for number, text in data.get("vcpus", {}).items():
            placement[Part("vcpu", int(number))] = cpuset.parse(text)
        for number, text in data.get("iothreads", {}).items():
            placement[Part("iothread", int(number))] = cpuset.parse(text)
        if emulator := data.get("emulator"):
            placement[EMULATOR] = cpuset.parse(emulator)
        if "memory" in data:
            placement[MEMORY] = cpuset.parse(data["memory"]["nodes"])
        if "memory_at_start" in data:
            placement[MEMORY_AT_START] = cpuset.parse(data["memory_at_start"])
        placement.update(qos.from_dict(data.get("qos", {})))
        return placement


def _difference(part: Part, observed: int, wanted: int) -> str:
    if part.is_number:
        return f"{part} is {part.in_words(observed)} instead of {part.in_words(wanted)}"
    there = cpuset.to_text(observed) or "nothing"
    return f"{part} is on {there} instead of {cpuset.to_text(wanted)}"
