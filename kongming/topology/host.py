# SPDX-License-Identifier: Apache-2.0
"""What a compute host is made of: NUMA nodes, cores with their sibling pCPUs, memory pages."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset
from kongming.topology.cores import CoreGroup, group

_SMALLEST_PAGE_KIB = 4
#: Distances where a node tells none, as Linux assumes them.
_LOCAL, _REMOTE = 10, 20


@dataclasses.dataclass(frozen=True)
class Pages:
    """The pool of memory pages of one size on one NUMA node."""

    size_kib: int
    total: int
    free: int


@dataclasses.dataclass(frozen=True)
class Core:
    """One physical core; ``cpus`` is the bitmask of its sibling pCPUs."""

    socket: int
    die: int
    core: int
    cpus: int


@dataclasses.dataclass(frozen=True)
class NumaNode:
    """One NUMA node; ``cpus`` are its online pCPUs, ``distances`` maps node id to distance.

    ``reserved_mib`` of its memory are not for instances.
    """

    id: int
    cpus: int
    memory_mib: int
    pages: tuple[Pages, ...] = ()
    distances: Mapping[int, int] = dataclasses.field(default_factory=dict)
    cores: tuple[Core, ...] = ()
    reserved_mib: int = 0

    @functools.cached_property
    def name(self) -> str:
        """What the node is called in a sentence."""
        return f"NUMA node {self.id}"

    @functools.cached_property
    def core_groups(self) -> tuple[CoreGroup, ...]:
        """The cores, grouped by how their siblings are numbered."""
        return _group(self.cpus, tuple(core.cpus for core in self.cores))

    @functools.cached_property
    def memory_of(self) -> Mapping[int, int]:
        """How many MiB the node has of each page size (in KiB), used or not."""
        if not self.pages:
            return {_SMALLEST_PAGE_KIB: self.memory_mib}
        return {pages.size_kib: pages.total * pages.size_kib // 1024 for pages in self.pages}

    @functools.cached_property
    def offered_memory(self) -> Mapping[int, int]:
        """How many MiB of each page size (in KiB) are for instances, used or not.

        What the operator reserves is left out of the pages of the smallest size.
        """
        offered = dict(self.memory_of)
        smallest = min(offered)
        offered[smallest] = max(0, offered[smallest] - self.reserved_mib)
        return offered

    @functools.cached_property
    def smallest_page(self) -> int:
        """The smallest size (in KiB) of its memory pages."""
        return min(self.memory_of)


@dataclasses.dataclass(frozen=True)
class Host:
    """The topology of one host.

    ``offline`` are pCPUs that exist but cannot run anything, ``unmanaged`` those on which
    the operator wants no thread placed. Among ``isolated`` ones the kernel balances no load: a
    thread that may use several stays where it began. ``devices`` maps the address of each PCI
    device, such as ``0000:3b:00.1``, to the id of its NUMA node; -1, as Linux says it, for none.
    """

    nodes: tuple[NumaNode, ...]
    offline: int = 0
    unmanaged: int = 0
    isolated: int = 0
    devices: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def online(self) -> int:
        """Bitmask of the pCPUs that threads can run on."""
        mask = 0
        for node in self.nodes:
            mask |= node.cpus
        return mask

    @functools.cached_property
    def node_ids(self) -> int:
        """Bitmask of the ids of all NUMA nodes."""
        return cpuset.from_members(node.id for node in self.nodes)

    @functools.cached_property
    def distances(self) -> list[list[int]]:
        """Distances between nodes, by their place in ``nodes``; the longer of both ways."""
        one_way = [
            [a.distances.get(b.id, _LOCAL if a is b else _REMOTE) for b in self.nodes]
            for a in self.nodes
        ]
        every = range(len(self.nodes))
        return [[max(one_way[a][b], one_way[b][a]) for b in every] for a in every]

    def offers_as(self, other: "Host") -> bool:
        """Whether both offer the same: pages that are free at the moment do not matter."""
        return self._without_free_pages() == other._without_free_pages()

    def _without_free_pages(self) -> "Host":
        nodes = [
            dataclasses.replace(
                node, pages=tuple(dataclasses.replace(pages, free=0) for pages in node.pages)
            )
            for node in self.nodes
        ]
        return dataclasses.replace(self, nodes=tuple(nodes))

    def to_dict(self) -> dict[str, Any]:
        """Return the host in JSON's types, CPU sets as text; `from_dict` reads it back."""
        return {
            "offline": cpuset.to_text(self.offline),
            "unmanaged": cpuset.to_text(self.unmanaged),
            "isolated": cpuset.to_text(self.isolated),
            "devices": dict(sorted(self.devices.items())),
            "nodes": [
                {
                    "id": node.id,
                    "cpus": cpuset.to_text(node.cpus),
                    "memory_mib": node.memory_mib,
                    "pages": [dataclasses.asdict(pages) for pages in node.pages],
                    "distances": {str(key): value for key, value in node.distances.items()},
                    "cores": [
                        dataclasses.asdict(core) | {"cpus": cpuset.to_text(core.cpus)}
                        for core in node.cores
                    ],
                    "reserved_mib": node.reserved_mib,
                }
                for node in self.nodes
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Host":
        """Return the host that `to_dict` described."""
        return cls(
            offline=_mask(data["offline"]),
            unmanaged=_mask(data.get("unmanaged", "")),
            isolated=_mask(data.get("isolated", "")),
            devices=data.get("devices", {}),
            nodes=tuple(
                NumaNode(
                    id=node["id"],
                    cpus=_mask(node["cpus"]),
                    memory_mib=node["memory_mib"],
                    pages=tuple(Pages(**pages) for pages in node["pages"]),
                    distances={int(key): value for key, value in node["distances"].items()},
                    cores=tuple(_core(**core) for core in node["cores"]),
                    reserved_mib=node.get("reserved_mib", 0),
                )
                for node in data["nodes"]
            ),
        )


# A fleet is made of few kinds of hosts, whose parts are alike: they are kept in memory once.
@functools.lru_cache(maxsize=65536)
def _core(socket: int, die: int, core: int, cpus: str) -> Core:
    return Core(socket, die, core, _mask(cpus))


_group = functools.lru_cache(maxsize=4096)(group)


@functools.lru_cache(maxsize=65536)
def _mask(text: str) -> int:
    return cpuset.parse(text) if text else 0
