# SPDX-License-Identifier: Apache-2.0
"""Move the memory of an instance on this machine, within what its control groups allow."""

import contextlib
from collections.abc import Iterator, Mapping

from kongming.hypervisor import obstacles, pages
from kongming.hypervisor.cgroups import Groups
from kongming.hypervisor.driver import HypervisorError, Move
from kongming.hypervisor.kernel import Kernel
from kongming.topology import cpuset, residency
from kongming.topology.placement import Part
from kongming.topology.residency import Progress

_MEMS = "cpuset.mems"


class Relocation(Move):
    """Moves pages; until it is done or undone, the instance may use its old and new nodes."""

    def __init__(self, kernel: Kernel, uuid: str, mask: int, keep: Mapping[int, int]) -> None:
        """Look whether something is in the way; nothing changes yet.

        :param mask: bitmask of the target nodes
        :param keep: MiB by node that are to stay free in small pages
        :raises HypervisorError: something pins the memory; it is named
        """
        self._kernel = kernel
        self._uuid = uuid
        self._mask = mask
        self._was: dict[Part, str] | None = None
        with self._process() as pid:
            self._move = pages.Move(pid, mask, keep=keep)
            if residency.outside(self._move.before, mask) and (pinning := obstacles.pinning(pid)):
                raise HypervisorError(f"its memory cannot move: {'; '.join(pinning)} pins it")
            self.warnings = [f"{mover} may move it again" for mover in obstacles.movers()]

    def __next__(self) -> Progress:
        with self._process() as pid:
            if self._was is None:
                self._widen(pid)
            progress = next(self._move, None)
        if progress is None:
            raise StopIteration
        return progress

    def undo(self) -> None:
        """Bring the pages back, and then the limits; see `Move.undo`."""
        with self._process() as pid:
            groups = Groups(pid)
            # a vCPU or an I/O thread may have been unplugged meanwhile
            there = groups.parts("cpuset")
            was = {part: text for part, text in (self._was or {}).items() if part in there}
            homes = cpuset.from_members(residency.per_node(self._move.before))
            for part in was:
                # they may be narrower by now
                groups.write(part, _MEMS, cpuset.to_text(homes | self._mask))
            self._move.undo()
            for part, text in was.items():
                groups.write(part, _MEMS, text)
            self._was = None

    def _widen(self, pid: int) -> None:
        # the kernel moves no page to where the process may not take one itself
        allowed = self._kernel.memory_nodes(self._uuid)
        groups, both = Groups(pid), cpuset.to_text(allowed | self._mask)
        # a group that has had no limit of its own (version 2) cannot be without one again
        self._was = {
            part: groups.read(part, _MEMS) or cpuset.to_text(allowed)
            for part in groups.parts("cpuset")
        }
        if self._mask & ~allowed:
            for part in self._was:
                groups.write(part, _MEMS, both)

    @contextlib.contextmanager
    def _process(self) -> Iterator[int]:
        with self._kernel.process(self._uuid) as pid, refusals():
            yield pid


def confine(kernel: Kernel, uuid: str, mask: int) -> None:
    """Let every part of an instance take memory from the nodes in ``mask`` alone.

    The kernel moves there what is elsewhere on nodes that were allowed, however full it gets:
    see to that first. It also moves strict bindings with the nodes, the first to the first.

    :raises HypervisorError: the kernel refused
    """
    with kernel.process(uuid) as pid, refusals():
        groups = Groups(pid)
        parts = groups.parts("cpuset")
        if not parts:
            raise HypervisorError("libvirt has made no control groups that bind its memory")
        both = cpuset.to_text(kernel.memory_nodes(uuid) | mask)
        for text in (both, cpuset.to_text(mask)):
            for part in parts:
                groups.write(part, _MEMS, text)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Let what the kernel says of memory leave as `HypervisorError`."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        raise  # the process may be gone: `Kernel.process` tells
    except pages.MoveError as error:
        raise HypervisorError(str(error)) from error
    except OSError as error:
        raise HypervisorError(f"the kernel refused to move memory: {error}") from error
