# SPDX-License-Identifier: Apache-2.0
"""What a host offers for one question."""

import dataclasses
from collections.abc import Mapping

from kongming.topology.host import Host


@dataclasses.dataclass(frozen=True)
class Occupancy:
    """Where another instance is: bitmasks of the pCPUs it uses and of its NUMA nodes."""

    cpus: int
    nodes: int


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What is free on a host for one instance, whose own claims count as free.

    - ``free_dedicated``: bitmask of pCPUs that may be claimed exclusively: managed, online,
      claimed by nobody, used by nobody else.
    - ``free_shared``: bitmask of pCPUs that may be used together with others: managed,
      online, claimed by nobody. It may overlap ``free_dedicated``.
    - ``free_memory``: MiB that may be claimed, ``{node id: {page size in KiB: MiB}}``; a node
      or size that is absent has none.
    - ``devices``: NUMA node of each PCI device by address; -1 for none.
    - ``occupancy``: by uuid, the instances on the host that ``near`` and ``avoid`` may name.
    """

    host: Host
    free_dedicated: int
    free_shared: int
    free_memory: Mapping[int, Mapping[int, int]]
    devices: Mapping[str, int] = dataclasses.field(default_factory=dict)
    occupancy: Mapping[str, Occupancy] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_empty(cls, host: Host) -> "Inventory":
        """Return what a host offers of which nothing is used."""
        managed = host.online & ~host.unmanaged
        memory = {node.id: dict(node.offered_memory) for node in host.nodes}
        return cls(host, managed, managed, memory, host.devices)
