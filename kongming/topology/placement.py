# SPDX-License-Identifier: Apache-2.0
"""Where the parts of one instance live on one host: asked for, or observed."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from kongming.topology import cpuset

Kind = Literal["vcpu", "iothread", "emulator", "memory"]


class Part(NamedTuple):
    """One thing of an instance that can be placed; only vCPUs and I/O threads are numbered."""

    kind: Kind
    number: int = 0

    def __str__(self) -> str:
        names = {"vcpu": f"vCPU {self.number}", "iothread": f"I/O thread {self.number}"}
        return names.get(self.kind, self.kind)


EMULATOR = Part("emulator")
MEMORY = Part("memory")


class Placement(dict[Part, int]):
    """Bitmask of pCPUs for each part (of NUMA nodes for ``MEMORY``).

    A part that is absent is not controlled.
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
            if part.kind != "memory":
                mask |= cpus
        return mask

    @property
    def exclusive(self) -> int:
        """Bitmask of the pCPUs that have been given to one vCPU alone.

        So does Nova pin the vCPUs of ``hw:cpu_policy=dedicated``: each to a pCPU of its own.
        """
        alone = [mask for mask in self.vcpus.values() if mask.bit_count() == 1]
        return cpuset.from_members(
            mask.bit_length() - 1 for mask in alone if alone.count(mask) == 1
        )

    def joined(self, other: "Placement | None") -> "Placement":
        """Return the placement in which each part may be where either has it."""
        other = other or Placement()
        return Placement(
            {part: self.get(part, 0) | other.get(part, 0) for part in {**self, **other}}
        )

    def differences(self, observed: "Placement") -> list[str]:
        """Name each part that is not where this placement wants it, in words for a reason."""
        return [
            f"{part} is on {cpuset.to_text(observed.get(part, 0)) or 'nothing'}"
            f" instead of {cpuset.to_text(mask)}"
            for part, mask in self.items()
            if observed.get(part) != mask
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
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Placement":
        """Return the placement that `to_dict` described."""
        placement = cls()
        for number, text in data.get("vcpus", {}).items():
            placement[Part("vcpu", int(number))] = cpuset.parse(text)
        for number, text in data.get("iothreads", {}).items():
            placement[Part("iothread", int(number))] = cpuset.parse(text)
        if "emulator" in data:
            placement[EMULATOR] = cpuset.parse(data["emulator"])
        if "memory" in data:
            placement[MEMORY] = cpuset.parse(data["memory"]["nodes"])
        return placement
