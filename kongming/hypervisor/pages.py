# SPDX-License-Identifier: Apache-2.0
"""Move the memory of a running QEMU process between NUMA nodes, in small steps.

The kernel copies a page while nobody can use it, so that the guest sees no more than a page
fault. Nothing here limits where the process may take memory from: nothing can run out of it.
"""

import errno
import resource
import time
from collections.abc import Generator, Iterator, Mapping
from typing import NamedTuple

from kongming.hypervisor import files, numa_maps
from kongming.hypervisor.carrier import BLOCK, Carrier
from kongming.hypervisor.numa_maps import Region
from kongming.topology import cpuset, residency
from kongming.topology.residency import Progress, Residency

# How much one step moves, which cannot be stopped. Each makes the kernel collect the pages that
# every pCPU of the host keeps at hand, and wait for it: so few large ones disturb less.
_CHUNK = 256 << 20
#: How often the process is gone through for pages that were busy, or are new.
PASSES = 6
_PAUSE_SECONDS = 0.1
# To look at a place that turns out to be empty costs little: so many count as one page.
_SPARSE = 8
_NODES = "/sys/devices/system/node"
_SMALL_KIB = resource.getpagesize() >> 10


class _Part(NamedTuple):
    """Where pages may be, a chunk of them or one that is larger, and which nodes they leave.

    The step is `BLOCK` where there are transparent huge pages. ``size`` is at most how much there
    is, in bytes, by what the kernel has said of the whole region.
    """

    places: range
    sources: set[int]
    size: int


class MoveError(Exception):
    """Memory cannot move, or did not; the message says how much, and why."""


class Move:
    """Brings all memory of a process onto NUMA nodes; each step moves a chunk of it.

    Iterate for `Progress`; stop at any step, and `undo` or leave it there. Memory that is
    on a target node stays, the rest goes where `residency.routes` says: to one node, or,
    if that leaves a choice, to the one that has most free at each step.
    """

    def __init__(self, pid: int, mask: int, *, keep: Mapping[int, int] | None = None) -> None:
        """Look where the memory is; nothing moves yet.

        :param mask: bitmask of the target nodes
        :param keep: MiB by node that are to stay free in small pages
        :raises MoveError: there is no such node
        :raises OSError: the process is gone, or is not to be looked at
        """
        for node in cpuset.members(mask):
            self._free_mib(node, _SMALL_KIB)
        self._pid = pid
        self._mask = mask
        self._keep = keep or {}
        self._carrier = Carrier(pid)
        #: Where the memory was before.
        self.before: Residency = numa_maps.residency(regions := self._regions())
        self._routes = residency.routes(self.before, mask)
        self._total_mib = sum(
            mib for node, mib in residency.per_node(self.before).items() if not mask >> node & 1
        )
        self._steps = self._run(regions)

    def __iter__(self) -> Iterator[Progress]:
        return self

    def __next__(self) -> Progress:
        """Move the next chunk.

        :raises MoveError: there is no room, or too much could not be moved
        :raises OSError: the process is gone
        """
        return next(self._steps)

    def undo(self) -> None:
        """Bring everything back that has moved, each page to the node from where it came.

        :raises MoveError: something could not; it is tried again with the next call
        :raises OSError: the process is gone
        """
        self._steps.close()
        if not self._carrier.take_back():
            full = [f"NUMA node {node} is full" for node in self._carrier.refused]
            reason = ", ".join(full) or "something holds it"
            raise MoveError(f"not all memory could be moved back: {reason}")

    def _run(self, regions: list[Region]) -> Generator[Progress, None, None]:
        begin = time.monotonic()
        for _ in range(PASSES):
            carried = self._carrier.carried
            for _ in self._carry_chunks(regions):
                done = self._carrier.carried >> 20
                yield Progress(done, self._total_mib, time.monotonic() - begin)
            regions = self._regions()
            if not any(map(self._sources, regions)):
                return
            if self._carrier.carried == carried:
                time.sleep(_PAUSE_SECONDS)
        held = numa_maps.residency(regions)
        if residency.share(held, self._mask) < residency.LEAST_SHARE:
            stay = [
                f"{mib} MiB in pages of {size} KiB stay on NUMA node {node}"
                for size, nodes in held.items()
                for node, mib in nodes.items()
                if mib and not self._mask >> node & 1
            ]
            raise MoveError(f"{', '.join(stay)}: something holds them")

    def _regions(self) -> list[Region]:
        return list(numa_maps.parse(self._read("numa_maps")))

    def _sources(self, region: Region) -> set[int]:
        """Return the nodes that pages of a region are to leave."""
        return {node for node in region.pages if not self._mask >> node & 1}

    def _carry_chunks(self, regions: list[Region]) -> Iterator[None]:
        """Carry what is in some regions; each step carries parts of as many as make a chunk.

        :raises MoveError: there is no room, or a node is not allowed
        """
        for page, work in self._work(regions).items():
            while work:
                chunk = [work.pop()]
                size = chunk[0].size
                # rather a bit more than a step for little
                while work and size + work[-1].size <= _CHUNK * 5 // 4:
                    chunk.append(work.pop())
                    size += chunk[-1].size
                sources = {node for part in chunk for node in part.sources}
                room = self._room(page >> 10)
                goal = {
                    source: max(
                        cpuset.members(self._routes.get(source, self._mask)), key=room.__getitem__
                    )
                    for source in sources
                }
                if page >> 10 != _SMALL_KIB:
                    room = {}  # a node that has too few in its pool may make some
                left = self._carrier.carry([part.places for part in chunk], page, goal, room)
                self._require_no_refusal(page >> 10)
                work += [_Part(places, sources, len(places) * page) for places in left]
                yield

    def _work(self, regions: list[Region]) -> dict[int, list[_Part]]:
        """Return by page size what there is to carry."""
        work: dict[int, list[_Part]] = {}
        ends = numa_maps.extents(self._read("smaps"))
        for region in regions:
            sources = self._sources(region)
            if not sources:
                continue
            page = region.page_kib << 10
            held = sum(region.pages[node] for node in sources) * page
            end, huge = ends.get(region.start, (region.start, False))
            first, last = end, end
            if huge and page < BLOCK:
                first = min(end, -(-region.start // BLOCK) * BLOCK)
                last = max(first, end // BLOCK * BLOCK)
            for start, stop, step in (
                (region.start, first, page),
                (first, last, BLOCK),
                (last, end, page),
            ):
                most = max(_CHUNK, step)
                for at in range(start, stop, most):
                    extent = min(most, stop - at)
                    size = min(extent, max(held, extent // _SPARSE))
                    part = _Part(range(at, at + extent, step), sources, size)
                    work.setdefault(page, []).append(part)
        return work

    def _room(self, page_kib: int) -> dict[int, int]:
        """Return how many bytes each target has to give at this moment, in pages of a size."""
        room = {node: self._free_mib(node, page_kib) for node in cpuset.members(self._mask)}
        if page_kib == _SMALL_KIB:
            room = {node: mib - self._keep.get(node, 0) for node, mib in room.items()}
        return {node: mib << 20 for node, mib in room.items()}

    def _require_no_refusal(self, page_kib: int) -> None:
        for node, code in self._carrier.refused.items():
            if code == errno.EACCES:
                raise MoveError(f"the process is not allowed to use NUMA node {node}")
            raise self._full(node, page_kib)

    def _free_mib(self, node: int, page_kib: int) -> int:
        """Return how much a node has free in pages of a size.

        :raises MoveError: there is no such node
        """
        try:
            if page_kib == _SMALL_KIB:
                lines = files.read(f"{_NODES}/node{node}/meminfo").splitlines()
                return next(int(line.split()[3]) for line in lines if "MemFree:" in line) >> 10
            pool = f"{_NODES}/node{node}/hugepages/hugepages-{page_kib}kB/free_hugepages"
            return int(files.read(pool)) * page_kib >> 10
        except FileNotFoundError as error:
            raise MoveError(f"this machine has no NUMA node {node}") from error

    def _full(self, node: int, page_kib: int) -> MoveError:
        kept = f" beyond the {self._keep[node]} MiB to keep" if node in self._keep else ""
        return MoveError(
            f"NUMA node {node} has no room left in pages of {page_kib} KiB{kept}:"
            f" {self._carrier.carried >> 20} of {self._total_mib} MiB have moved"
        )

    def _read(self, name: str) -> str:
        return files.read(f"/proc/{self._pid}/{name}")
