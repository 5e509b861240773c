# SPDX-License-Identifier: Apache-2.0
"""What of a host the operator leaves to instances: ``managed_cpus``, ``reserved_memory_mib``.

An agent asks here before it carries anything out, whatever a conductor says.
"""

import dataclasses
from collections.abc import Mapping

from oslo_config import cfg

from kongming.topology import cpuset, qos
from kongming.topology.host import Host
from kongming.topology.part import KINDS, UNLIMITED
from kongming.topology.placement import Placement

_BOUNDS = {**qos.LIMITS, "quota": qos.QUOTA}


class LimitsError(ValueError):
    """An option of ``[agent]`` is malformed; the message names it."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """``managed`` is a bitmask of pCPUs, None for all; ``reserved`` is MiB by NUMA node."""

    managed: int | None
    reserved: Mapping[int, int]

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> "Limits":
        """Return what ``[agent]`` says.

        :raises LimitsError: it is malformed
        """
        text = conf.agent.managed_cpus
        try:
            managed = cpuset.parse(text) if text else None
        except cpuset.CpuSetError as error:
            raise LimitsError(f"[agent] managed_cpus: {error}") from error
        reserved = {}
        for node, mib in conf.agent.reserved_memory_mib.items():
            if not (node.isdecimal() and mib.isdecimal()):
                raise LimitsError(f"[agent] reserved_memory_mib: '{node}:{mib}' is not NODE:MIB")
            reserved[int(node)] = int(mib)
        return cls(managed, reserved)

    def applied_to(self, host: Host) -> Host:
        """Return the host with what is withheld from instances."""
        unmanaged = 0 if self.managed is None else host.online & ~self.managed
        nodes = tuple(
            dataclasses.replace(node, reserved_mib=self.reserved.get(node.id, 0))
            for node in host.nodes
        )
        return dataclasses.replace(host, nodes=nodes, unmanaged=unmanaged)

    def refusals(self, placement: Placement) -> list[str]:
        """Name each part that is not to be carried out, in words for a reason.

        That is one whose place is not among the managed pCPUs, whoever asks for it.
        """
        if self.managed is None:
            return []
        return [
            f"{part}: pCPU {cpuset.to_text(outside)} is not among [agent] managed_cpus"
            for part, mask in placement.places.items()
            if not part.is_memory and (outside := mask & ~self.managed)
        ]


def nonsense(placement: Placement) -> list[str]:
    """Name each part that no conductor in its right mind asks for, in words for a reason.

    What the host does not have the hypervisor refuses.
    """
    found = []
    for part, value in placement.items():
        if type(value) is not int or part.kind not in KINDS or type(part.number) is not int:
            found.append(f"{part.kind} {part.number}: {str(value)[:40]!r} means nothing")
        elif part.is_number:
            low, high = _BOUNDS[part.measure]
            if not (low <= value <= high or (part.measure == "quota" and value == UNLIMITED)):
                found.append(f"{part}: {value} is not from {low} to {high}")
        elif value <= 0:
            found.append(f"{part}: is to be nowhere")
    return found
