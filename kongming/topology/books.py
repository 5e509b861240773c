# SPDX-License-Identifier: Apache-2.0
"""Who holds what on one host, and what that leaves to an instance."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from kongming.topology import cpuset
from kongming.topology.answer import Fit
from kongming.topology.host import Host
from kongming.topology.inventory import Inventory, Occupancy
from kongming.topology.placement import Placement

#: MiB by NUMA node and page size in KiB.
Memory = Mapping[int, Mapping[int, int]]


@dataclasses.dataclass(frozen=True)
class Holding:
    """What a pin claims on its host: pCPUs (a bitmask) for itself alone, and memory."""

    cpus: int = 0
    memory: Memory = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the holding in JSON's types; `from_dict` reads it back."""
        memory = {
            str(node): {str(size): mib for size, mib in sizes.items()}
            for node, sizes in self.memory.items()
        }
        return {"cpus": cpuset.to_text(self.cpus), "memory": memory}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Holding":
        """Return the holding that `to_dict` described."""
        return cls(
            cpuset.parse(data["cpus"]) if data["cpus"] else 0,
            {
                int(node): {int(size): mib for size, mib in sizes.items()}
                for node, sizes in data["memory"].items()
            },
        )


@dataclasses.dataclass(frozen=True)
class Gift:
    """What somebody else than KongMing gave an instance for itself alone.

    ``cpus`` and ``nodes`` are bitmasks, ``memory_mib`` is spread evenly over the nodes.
    """

    cpus: int
    nodes: int
    memory_mib: int


class Contest(NamedTuple):
    """pCPUs (a bitmask) that another instance claims, was given by others, or uses."""

    how: Literal["claimed", "given", "used"]
    holder: str
    cpus: int


@dataclasses.dataclass
class Books:
    """One host: who claims which pCPU, and by instance what is used, claimed and given."""

    topology: Host
    claims: dict[int, str] = dataclasses.field(default_factory=dict)
    used: dict[str, int] = dataclasses.field(default_factory=dict)
    memory: dict[str, Memory] = dataclasses.field(default_factory=dict)
    gifts: Mapping[str, Gift] = dataclasses.field(default_factory=dict)

    def hold(self, uuid: str, used: int, holding: Holding | None) -> None:
        """Note which pCPUs (a bitmask) an instance uses, and what memory it claims, if any."""
        self.used[uuid] = used
        if holding is not None:
            self.memory[uuid] = holding.memory

    def claimed_by(self, uuid: str) -> int:
        """Return the bitmask of the pCPUs that an instance claims."""
        return cpuset.from_members(cpu for cpu, who in self.claims.items() if who == uuid)

    def placed_by_others(self, uuid: str, in_force: Placement | None) -> int:
        """Return the bitmask of the pCPUs that others gave an instance for itself, 0 if none.

        ``in_force`` is where KongMing put the instance before: what it brought along from
        another host was not given to it by somebody else.
        """
        gift = self.gifts.get(uuid)
        brought = (in_force or Placement()).cpus
        return gift.cpus if gift is not None and gift.cpus & ~brought else 0

    def contest(self, uuid: str, found: Fit) -> Contest | None:
        """Return what somebody else has of the exact places in an instance's placement."""
        wanted = found.placement.cpus | found.exclusive
        for pcpu in cpuset.members(wanted):
            holder = self.claims.get(pcpu, uuid)
            if holder != uuid:
                return Contest("claimed", holder, wanted & self.claimed_by(holder))
        for holder, gift in self.gifts.items():
            if holder != uuid and (common := gift.cpus & wanted):
                return Contest("given", holder, common)
        for holder, used in self.used.items():
            if holder != uuid and (common := used & found.exclusive):
                return Contest("used", holder, common)
        return None

    def inventory(
        self, uuid: str | None = None, occupancy: Mapping[str, Occupancy] | None = None
    ) -> Inventory:
        """Return what all others leave to an instance (None: to one that is not here yet)."""
        empty = Inventory.of_empty(self.topology)
        taken = cpuset.from_members(cpu for cpu, who in self.claims.items() if who != uuid)
        for other, gift in self.gifts.items():
            taken |= gift.cpus if other != uuid else 0
        used = 0
        for other, cpus in self.used.items():
            used |= cpus if other != uuid else 0
        free = {node: dict(sizes) for node, sizes in empty.free_memory.items()}
        for node, size, mib in self._taken_memory(uuid):
            if size in free.get(node, {}):
                free[node][size] = max(0, free[node][size] - mib)
        return dataclasses.replace(
            empty,
            free_dedicated=empty.free_dedicated & ~taken & ~used,
            free_shared=empty.free_shared & ~taken,
            free_memory=free,
            occupancy=occupancy or {},
        )

    def _taken_memory(self, uuid: str | None) -> Iterator[tuple[int, int, int]]:
        """Yield node, page size in KiB and MiB of what others have."""
        for other, memory in self.memory.items():
            if other != uuid:
                for node, sizes in memory.items():
                    for size, mib in sizes.items():
                        yield node, size, mib
        smallest = {node.id: min(node.memory_of) for node in self.topology.nodes}
        for other, gift in self.gifts.items():
            if other != uuid and other not in self.memory:
                nodes = [node for node in cpuset.members(gift.nodes) if node in smallest]
                for node in nodes:
                    yield node, smallest[node], gift.memory_mib // len(nodes)
