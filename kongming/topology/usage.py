# SPDX-License-Identifier: Apache-2.0
"""What the pCPUs of a host and the threads and memory of its instances are used for, as told."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kongming.topology import cpuset
from kongming.topology.counted import Thread
from kongming.topology.placement import Part
from kongming.topology.residency import Residency

#: Why a pCPU is in conflict. ``pinned``: several vCPUs have it and no other. ``shared``: one
#: vCPU has it and no other, and threads of other instances may run there, too.
ConflictKind = Literal["pinned", "shared"]

_NUMBERED = ("vcpu", "iothread")


@dataclasses.dataclass(frozen=True)
class VcpuUsage:
    """How long a vCPU ran, and waited though it could have run; in all, and of the last interval.

    The shares are None until there was an interval.
    """

    run_seconds: float
    wait_seconds: float
    run_percent: float | None
    wait_percent: float | None


@dataclasses.dataclass(frozen=True)
class InstanceUsage:
    """What one instance uses.

    ``locality_percent`` is the share of its memory that is on the NUMA nodes of the pCPUs of
    its vCPUs; None if the memory was not read yet.
    """

    threads: Sequence[Thread]
    vcpus: Mapping[int, VcpuUsage]
    memory: Residency
    locality_percent: float | None


@dataclasses.dataclass(frozen=True)
class Load:
    """Shares of the last interval, in per cent, in which a pCPU was busy, and was not for a reason.

    ``steal`` is time that a hypervisor below this host gave to others.
    """

    busy_percent: float
    iowait_percent: float
    steal_percent: float


@dataclasses.dataclass(frozen=True)
class Conflict:
    """pCPUs (bitmask) over which instances get in each other's way."""

    kind: ConflictKind
    cpus: int
    instances: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a host and its instances (by uuid) are used for, looked at ``at`` (UTC).

    ``cpus`` has the load by pCPU; it is empty until there was an interval.
    """

    at: datetime.datetime
    cpus: Mapping[int, Load]
    conflicts: Sequence[Conflict]
    instances: Mapping[str, InstanceUsage]

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's types, CPU sets as text; `from_dict` reads it back."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "cpus": {str(cpu): dataclasses.asdict(load) for cpu, load in self.cpus.items()},
            "conflicts": [
                {
                    "kind": conflict.kind,
                    "cpus": cpuset.to_text(conflict.cpus),
                    "instances": list(conflict.instances),
                }
                for conflict in self.conflicts
            ],
            "instances": {uuid: _to_dict(usage) for uuid, usage in self.instances.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Usage":
        """Return what `to_dict` described."""
        return cls(
            at=datetime.datetime.fromisoformat(data["at"]),
            cpus={int(cpu): Load(**load) for cpu, load in data["cpus"].items()},
            conflicts=tuple(
                Conflict(each["kind"], cpuset.parse(each["cpus"]), tuple(each["instances"]))
                for each in data["conflicts"]
            ),
            instances={uuid: _from_dict(usage) for uuid, usage in data["instances"].items()},
        )


def _to_dict(usage: InstanceUsage) -> dict[str, Any]:
    return {
        "threads": [
            {
                "kind": thread.part.kind,
                "number": thread.part.number if thread.part.kind in _NUMBERED else None,
                "name": thread.name,
                "tid": thread.tid,
                "cpus": cpuset.to_text(thread.cpus),
                "last_cpu": thread.last_cpu,
                "run_seconds": round(thread.run_seconds, 3),
                "wait_seconds": round(thread.wait_seconds, 3),
            }
            for thread in usage.threads
        ],
        "vcpus": {str(n): dataclasses.asdict(vcpu) for n, vcpu in usage.vcpus.items()},
        "memory": {
            str(size): {str(node): mib for node, mib in nodes.items()}
            for size, nodes in usage.memory.items()
        },
        "locality_percent": usage.locality_percent,
    }


def _from_dict(data: Mapping[str, Any]) -> InstanceUsage:
    return InstanceUsage(
        threads=tuple(
            Thread(
                part=Part(each["kind"], each["number"] or 0),
                name=each["name"],
                tid=each["tid"],
                cpus=cpuset.parse(each["cpus"]) if each["cpus"] else 0,
                last_cpu=each["last_cpu"],
                run_seconds=each["run_seconds"],
                wait_seconds=each["wait_seconds"],
            )
            for each in data["threads"]
        ),
        vcpus={int(n): VcpuUsage(**vcpu) for n, vcpu in data["vcpus"].items()},
        memory={
            int(size): {int(node): mib for node, mib in nodes.items()}
            for size, nodes in data["memory"].items()
        },
        locality_percent=data["locality_percent"],
    )
