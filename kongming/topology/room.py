# SPDX-License-Identifier: Apache-2.0
"""What the NUMA nodes of a host have room for, for one wish."""

from collections.abc import Iterator
from typing import NamedTuple

from kongming.topology import cpuset, packing
from kongming.topology.demand import Demand
from kongming.topology.host import NumaNode
from kongming.topology.inventory import Inventory, offered_memory


class Seat(NamedTuple):
    """A guest node on a NUMA node.

    ``page_size`` is that of the memory to claim, None if there is none to claim; ``packing``
    says which pCPUs to take.
    """

    page_size: int | None
    packing: packing.Packing

    @property
    def fragments(self) -> int:
        """By how much the number of partly used cores grows."""
        return self.packing.fragments


_NOTHING = packing.Packing(0, [])


class Room:
    """The free parts of a host, without those that exact or avoided parts leave no use of.

    :param dedicated: bitmask of the pCPUs that free choice may claim
    :param shared: bitmask of the pCPUs that free choice may share
    """

    def __init__(
        self, inventory: Inventory, dedicated: int, shared: int, thread_policy: str
    ) -> None:
        self.dedicated = dedicated
        self.shared = shared
        self._memory = inventory.free_memory
        self._policy = thread_policy

    def seat(self, demand: Demand, node: NumaNode) -> Seat | None:
        """Return how a guest node fits on a NUMA node, None if it does not."""
        if not demand.nodes >> node.id & 1 or demand.within & ~node.cpus:
            return None
        page_size = self._page_size(demand, node) if demand.memory_mib else None
        if page_size == 0:
            return None
        if demand.shared:
            if demand.shared > (self.shared & node.cpus).bit_count():
                return None
            return Seat(None if demand.page_size is None else page_size, _NOTHING)
        free = self.dedicated & node.cpus
        needed = demand.choose + demand.emulator
        if needed > free.bit_count():
            return None
        if not needed:
            return Seat(page_size, _NOTHING)
        packed = packing.pack(node.core_groups, free, demand.choose, demand.emulator, self._policy)
        return None if packed is None else Seat(page_size, packed)

    def select(self, demand: Demand, node: NumaNode, seat: Seat) -> packing.Selection:
        """Return the pCPUs that a seat takes."""
        return packing.select(
            seat.packing, self.dedicated & node.cpus, demand.emulator, self._policy
        )

    def shortages(self, demand: Demand, node: NumaNode) -> Iterator[tuple[str, str, str]]:
        """Yield why a guest node does not fit on a NUMA node: what of it, a code, a sentence."""
        name = f"NUMA node {node.id}"
        if not demand.nodes >> node.id & 1:
            return
        if outside := demand.within & ~node.cpus:
            yield "vcpus", "pcpu_elsewhere", f"{name} has no pCPU {cpuset.to_text(outside)}"
        if demand.shared and demand.shared > (have := (self.shared & node.cpus).bit_count()):
            yield "vcpus", "cpus_short", _short(name, demand.shared, have, "shared pCPUs")
        yield from self._cpu_shortage(demand, node, name)
        if demand.memory_mib and not self._page_size(demand, node):
            yield from self._memory_shortage(demand, node, name)

    def _cpu_shortage(
        self, demand: Demand, node: NumaNode, name: str
    ) -> Iterator[tuple[str, str, str]]:
        free = self.dedicated & node.cpus
        needed = demand.choose + demand.emulator
        if needed > free.bit_count():
            yield "vcpus", "cpus_short", _short(name, needed, free.bit_count(), "dedicated pCPUs")
        elif needed and not packing.pack(
            node.core_groups, free, demand.choose, demand.emulator, self._policy
        ):
            if self._policy == "isolate":
                have = packing.whole_cores(node.core_groups, free)
                if have < demand.choose:
                    text = _short(name, demand.choose, have, "whole free cores")
                else:
                    text = f"{name} has no free pCPU for the emulator beside isolated vCPUs"
            else:
                have = packing.with_siblings(node.core_groups, free)
                text = _short(name, demand.choose, have, "pCPUs with a free sibling")
            yield "thread_policy", "siblings_short", text

    def _page_size(self, demand: Demand, node: NumaNode) -> int:
        """Return the page size (KiB) that the memory gets, 0 if no size will do."""
        free = self._memory.get(node.id) or {}
        asked = demand.page_size
        if asked is None:
            if not free:
                return 0
            smallest = min(free)
            # as Nova has it: only pinned instances cannot be overcommitted
            have = free if not demand.shared else offered_memory(node)
            return smallest if demand.memory_mib <= have.get(smallest, 0) else 0
        for size in self._sizes(demand, node):
            if demand.memory_mib <= free[size] and not demand.memory_mib * 1024 % size:
                return size
        return 0

    def _sizes(self, demand: Demand, node: NumaNode) -> list[int]:
        free = self._memory.get(node.id) or {}
        if isinstance(demand.page_size, int):
            return [demand.page_size] if demand.page_size in free else []
        sizes = sorted(free, reverse=True)
        return sizes[:-1] if demand.page_size == "large" else sizes

    def _memory_shortage(
        self, demand: Demand, node: NumaNode, name: str
    ) -> Iterator[tuple[str, str, str]]:
        free = self._memory.get(node.id) or {}
        need = demand.memory_mib
        if demand.page_size is None:
            have = dict(free) if not demand.shared else offered_memory(node)
            amount = have.get(min(free), 0) if free else 0
            yield "memory", "memory_short", _short(name, need, amount, "MiB")
            return
        sizes = self._sizes(demand, node)
        if not sizes:
            kind = "large pages" if demand.page_size == "large" else f"{demand.page_size} KiB pages"
            yield "memory", "page_size_unknown", f"{name} has no {kind}"
        for size in sizes:
            if need * 1024 % size:
                text = f"{name}: {need} MiB is no multiple of {size} KiB"
                yield "memory", "page_size_misfit", text
            else:
                text = _short(name, need, free[size], f"MiB in pages of {size} KiB")
                yield "memory", "memory_short", text


def _short(name: str, need: int, have: int, what: str) -> str:
    return f"{name} has {have} of the {need} {what} needed: {need - have} short"
