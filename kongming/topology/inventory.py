# SPDX-License-Identifier: Apache-2.0
"""What a host offers for one question."""

import dataclasses
from collections.abc import Mapping

from kongming.topology.host import Host, NumaNode

_SMALLEST_PAGE_KIB = 4


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
        memory = {node.id: offered_memory(node) for node in host.nodes}
        return cls(host, managed, managed, memory, host.devices)


def total_memory(node: NumaNode) -> dict[int, int]:
    """Return how many MiB a NUMA node has of each page size (in KiB)."""
    if not node.pages:
        return {_SMALLEST_PAGE_KIB: node.memory_mib}
    return {pages.size_kib: pages.total * pages.size_kib // 1024 for pages in node.pages}


def offered_memory(node: NumaNode) -> dict[int, int]:
    """Return how many MiB of each page size (in KiB) are for instances.

    What the operator reserves is left out of the pages of the smallest size.
    """
    offered = total_memory(node)
    smallest = min(offered)
    offered[smallest] = max(0, offered[smallest] - node.reserved_mib)
    return offered
