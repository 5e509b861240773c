# SPDX-License-Identifier: Apache-2.0
"""What the NUMA nodes of a host have room for, for one wish."""

import dataclasses
from collections.abc import Iterable, Mapping

from kongming.topology import cpuset, packing
from kongming.topology.answer import Reason
from kongming.topology.demand import Demand
from kongming.topology.host import NumaNode


@dataclasses.dataclass(slots=True)
class Seat:
    """A guest node on a NUMA node.

    ``page_size`` is that of the memory to claim, None if there is none to claim; ``packing``
    says which pCPUs to take.
    """

    page_size: int | None
    packing: packing.Packing


_NOTHING = packing.Packing(0, [])


@dataclasses.dataclass(slots=True)
class Room:
    """The free parts of a host, without those that exact or avoided parts leave no use of.

    - ``dedicated``: bitmask of the pCPUs that free choice may claim
    - ``shared``: bitmask of the pCPUs that free choice may share
    - ``memory``: MiB that may be claimed, ``{node id: {page size in KiB: MiB}}``
    - ``policy``: the thread policy of the wish
    """

    dedicated: int
    shared: int
    memory: Mapping[int, Mapping[int, int]]
    policy: str

    def seats(self, demand: Demand, nodes: Iterable[NumaNode]) -> list[Seat | None]:
        """Return how a guest node fits on each of some NUMA nodes, None where it does not."""
        choose, shared, within, memory_mib, asked, allowed, emulator = demand
        needed = shared or choose + emulator
        cpus = self.shared if shared else self.dedicated
        row: list[Seat | None] = []
        for node in nodes:
            seat = None
            free = cpus & node.cpus
            # on a busy host most nodes fail here, so nothing has been made yet
            if (
                needed <= free.bit_count()
                and allowed >> node.id & 1
                and not within & ~node.cpus
                and (page_size := self._page_size(demand, node) if memory_mib else None) != 0
            ):
                if shared:
                    seat = Seat(None if asked is None else page_size, _NOTHING)
                elif not needed:
                    seat = Seat(page_size, _NOTHING)
                elif packed := packing.pack(node.core_groups, free, choose, emulator, self.policy):
                    seat = Seat(page_size, packed)
            row.append(seat)
        return row

    def shortages(self, demand: Demand, nodes: Iterable[NumaNode], at: str) -> list[Reason]:
        """Return what each of some NUMA nodes lacks for a guest node.

        :param at: what comes before the names of the fields that are the guest node's own
        """
        choose, shared, within, memory_mib, _, allowed, emulator = demand
        needed = choose + emulator
        reasons = []
        excluded = True
        for node in nodes:
            if not allowed >> node.id & 1:
                continue
            excluded = False
            if outside := within & ~node.cpus:
                text = f"{node.name} has no pCPU {cpuset.to_text(outside)}"
                reasons.append(Reason(f"{at}vcpus", "pcpu_elsewhere", text))
            if shared and shared > (have := (self.shared & node.cpus).bit_count()):
                text = _short(node, shared, have, "shared pCPUs")
                reasons.append(Reason(f"{at}vcpus", "cpus_short", text))
            if needed:
                free = self.dedicated & node.cpus
                if needed > (have := free.bit_count()):
                    text = _short(node, needed, have, "dedicated pCPUs")
                    reasons.append(Reason(f"{at}vcpus", "cpus_short", text))
                elif text := self._sibling_shortage(demand, node, free):
                    reasons.append(Reason("thread_policy", "siblings_short", text))
            if memory_mib and not self._page_size(demand, node):
                for code, text in self._memory_shortage(demand, node):
                    reasons.append(Reason(f"{at}memory", code, text))
        if excluded:
            text = "the wish leaves none of the NUMA nodes in question to choose"
            reasons.append(Reason("numa_nodes", "nodes_excluded", text))
        return reasons

    def _sibling_shortage(self, demand: Demand, node: NumaNode, free: int) -> str:
        """Return what enough free pCPUs lack for the thread policy, "" if nothing."""
        groups = node.core_groups
        if packing.pack(groups, free, demand.choose, demand.emulator, self.policy):
            return ""
        if self.policy != "isolate":
            have = packing.with_siblings(groups, free)
            return _short(node, demand.choose, have, "pCPUs with a free sibling")
        have = packing.whole_cores(groups, free)
        if have < demand.choose:
            return _short(node, demand.choose, have, "whole free cores")
        return f"{node.name} has no free pCPU for the emulator beside isolated vCPUs"

    def _page_size(self, demand: Demand, node: NumaNode) -> int:
        """Return the page size (KiB) that the memory gets, 0 if no size will do."""
        _, shared, _, need, asked, _, _ = demand
        free = self.memory.get(node.id)
        if not free:
            return 0
        if asked is None:
            size = node.smallest_page
            # as Nova has it: only pinned instances cannot be overcommitted
            have = node.offered_memory if shared else free
            return size if need <= have.get(size, 0) else 0
        if isinstance(asked, int):
            return asked if need <= free.get(asked, 0) and not need * 1024 % asked else 0
        for size in _sizes(asked, free):
            if need <= free[size] and not need * 1024 % size:
                return size
        return 0

    def _memory_shortage(self, demand: Demand, node: NumaNode) -> list[tuple[str, str]]:
        """Return code and sentence for each page size in question."""
        free = self.memory.get(node.id) or {}
        need, asked = demand.memory_mib, demand.page_size
        if asked is None:
            have = node.offered_memory if demand.shared and free else free
            amount = have.get(node.smallest_page, 0)
            return [("memory_short", _short(node, need, amount, "MiB"))]
        sizes = _sizes(asked, free)
        if not sizes:
            kind = "large pages" if asked == "large" else f"{asked} KiB pages"
            return [("page_size_unknown", f"{node.name} has no {kind}")]
        reasons = []
        for size in sizes:
            if need * 1024 % size:
                text = f"{node.name}: {need} MiB is no multiple of {size} KiB"
                reasons.append(("page_size_misfit", text))
            else:
                text = _short(node, need, free[size], f"MiB in pages of {size} KiB")
                reasons.append(("memory_short", text))
        return reasons


def _sizes(asked: int | str, free: Mapping[int, int]) -> list[int]:
    """Return the page sizes (KiB) of a node that will do, the best first."""
    if isinstance(asked, int):
        return [asked] if asked in free else []
    sizes = sorted(free, reverse=True)
    return sizes[:-1] if asked == "large" else sizes


def _short(node: NumaNode, need: int, have: int, what: str) -> str:
    return f"{node.name} has {have} of the {need} {what} needed: {need - have} short"
