# SPDX-License-Identifier: Apache-2.0
"""What somebody asks for one instance: the body of a pin, checked for its form."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset

CPU_POLICIES = ("dedicated", "shared")
#: The key in ``vcpus`` for every vCPU that no other key names.
EVERY = "*"


class WishError(ValueError):
    """A field of a wish is malformed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Wish:
    """Exact places for the parts of an instance; what is absent is left alone.

    ``vcpus`` and ``iothreads`` map a number to a pCPU bitmask, ``every_vcpu`` holds for
    the vCPUs that ``vcpus`` does not name, ``memory_nodes`` is a bitmask of NUMA nodes.
    """

    cpu_policy: str = "shared"
    vcpus: Mapping[int, int] = dataclasses.field(default_factory=dict)
    every_vcpu: int | None = None
    emulator: int | None = None
    iothreads: Mapping[int, int] = dataclasses.field(default_factory=dict)
    memory_nodes: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Wish":
        """Return the wish in a pin's body (other keys of the body are ignored).

        :raises WishError: naming the first field that is malformed
        """
        policy = data.get("cpu_policy") or "shared"
        if policy not in CPU_POLICIES:
            raise WishError("cpu_policy", f"must be one of {', '.join(CPU_POLICIES)}")
        vcpus = dict(data.get("vcpus") or {})
        every = vcpus.pop(EVERY, None)
        emulator = data.get("emulator")
        nodes = (data.get("memory") or {}).get("nodes")
        wish = cls(
            cpu_policy=policy,
            vcpus=_numbered("vcpus", vcpus),
            every_vcpu=None if every is None else _mask(f"vcpus.{EVERY}", every),
            emulator=None if emulator is None else _mask("emulator", emulator),
            iothreads=_numbered("iothreads", data.get("iothreads") or {}),
            memory_nodes=None if nodes is None else _mask("memory.nodes", nodes),
        )
        if policy == "dedicated" and not wish.vcpus and wish.every_vcpu is None:
            raise WishError("vcpus", "a dedicated pin must say which pCPUs")
        return wish

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form of the wish; `from_dict` reads it back."""
        data: dict[str, Any] = {"cpu_policy": self.cpu_policy}
        vcpus = {str(n): cpuset.to_text(mask) for n, mask in sorted(self.vcpus.items())}
        if self.every_vcpu is not None:
            vcpus[EVERY] = cpuset.to_text(self.every_vcpu)
        if vcpus:
            data["vcpus"] = vcpus
        if self.emulator is not None:
            data["emulator"] = cpuset.to_text(self.emulator)
        if self.iothreads:
            data["iothreads"] = {
                str(n): cpuset.to_text(mask) for n, mask in sorted(self.iothreads.items())
            }
        if self.memory_nodes is not None:
            data["memory"] = {"nodes": cpuset.to_text(self.memory_nodes)}
        return data


def _mask(field: str, text: str) -> int:
    try:
        return cpuset.parse(text)
    except cpuset.CpuSetError as error:
        raise WishError(field, str(error)) from error


def _numbered(field: str, data: Mapping[str, str]) -> dict[int, int]:
    masks: dict[int, int] = {}
    for key, text in data.items():
        where = f"{field}.{key[:32]}"
        mask = _mask(where, text)
        for number in cpuset.members(_mask(where, key)):
            if number in masks:
                raise WishError(where, f"{number} is named twice")
            masks[number] = mask
    return masks
