# SPDX-License-Identifier: Apache-2.0
"""Carry pages of a process from NUMA node to NUMA node, and remember from where each came."""

import errno
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, compress
from operator import not_
from typing import NamedTuple

from kongming.hypervisor import files, syscalls

_TRIES = 3
_WINDOW = 64
#: Of so many pages that a call has left where they were, each may be the one that is held.
_FEW = 512
_STAYED = -1


def _block() -> int:
    try:
        return int(files.read("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"))
    except FileNotFoundError:  # a kernel without them
        return 2 << 20


#: Bytes of a transparent huge page; moving the first small page of it moves all.
BLOCK = _block()


class _Carried(NamedTuple):
    """Pages that went to ``goal[node]``; ``origins`` has the node of each place, if it moved.

    Compressed, because a large instance has millions of places, nearly all alike.
    """

    places: list[range]
    size: int  # bytes of the page at a place
    whole: bool  # each place is the first page of a block that moved as one
    goal: Mapping[int, int]
    origins: bytes


class Carrier:
    """Carries pages of one process; places are addresses, one of each page.

    Every method raises OSError when the process is gone.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._log: list[_Carried] = []
        #: Bytes carried so far.
        self.carried = 0
        #: Why the kernel took no more pages to a node in the last call: ENOMEM or EACCES.
        self.refused: dict[int, int] = {}

    def carry(
        self,
        places: list[range],
        page: int,
        goal: Mapping[int, int],
        room: Mapping[int, int],
    ) -> list[range]:
        """Move the pages at some places from each node in ``goal`` to the node it names.

        What is elsewhere, absent or busy stays as it is, and so may all that is ``refused``.

        :param places: ranges whose step is ``page``, or `BLOCK`, where each place may be the
            first of a transparent huge page
        :param page: bytes of the pages
        :param room: bytes that targets take at most, where there is a limit
        :return: places that are yet to be carried, page by page
        """
        single = [part for part in places if part.step == page]
        blocks = [part for part in places if part.step != page]
        heads = _addresses(blocks)
        firsts, lasts = self._ends(heads, page)
        alike = [first == last >= 0 for first, last in zip(firsts, lasts, strict=True)]
        # the others are no huge pages
        single += [range(head, head + BLOCK, page) for head in compress(heads, map(not_, alike))]
        heads = array("Q", compress(heads, alike))
        singles = _addresses(single)
        self.refused.clear()
        # huge pages first: a held one among single pages would stop the call before them
        moved = self._move(heads + singles, goal, dict(room), page, len(heads))
        self._note(single, page, False, goal, moved[len(heads) :])
        moved = moved[: len(heads)]
        _, lasts = self._ends(heads, page)
        whole = [
            origin != _STAYED and last == goal[origin]
            for origin, last in zip(moved, lasts, strict=True)
        ]
        for kind in (True, False):
            ours = (o if w is kind else _STAYED for o, w in zip(moved, whole, strict=True))
            origins = array("i", (next(ours) if each else _STAYED for each in alike))
            self._note(blocks, page, kind, goal, origins)
        left = [range(head, head + BLOCK, page) for head in compress(heads, map(not_, whole))]
        if self.refused and heads:  # a huge page that found no room may find it in small ones
            self.refused.clear()
            left += single
        return left

    def take_back(self) -> bool:
        """Move everything back, last first, and return whether nothing is left to do."""
        self.refused.clear()
        left = []
        while self._log:
            carried = self._log.pop()
            if not self._undo(carried):
                left.append(carried)
        self._log = left[::-1]
        return not left

    def _ends(self, heads: "array[int]", page: int) -> tuple["array[int]", "array[int]"]:
        """Return where the first and where the last small page of blocks are."""
        tails = array("Q", (head + BLOCK - page for head in heads))
        return syscalls.where(self._pid, heads), syscalls.where(self._pid, tails)

    def _move(
        self,
        addresses: "array[int]",
        goal: Mapping[int, int],
        room: dict[int, int],
        page: int,
        blocks: int = 0,
    ) -> "array[int]":
        """Move pages, and return the node that each has left.

        :param room: bytes that a target takes, if there is a limit; what is taken is taken off
        :param blocks: so many of the addresses, the first ones, are huge pages
        """
        before = syscalls.where(self._pid, addresses)
        origins = array("i", [_STAYED]) * len(addresses)
        for source, target in goal.items():
            found = list(_places(before, source))
            wanted = array("Q")
            for part in found:
                if isinstance(part, range):
                    wanted += addresses[part.start : part.stop]
                else:
                    wanted.extend(map(addresses.__getitem__, part))
            if not wanted:
                continue
            if target in room:
                size = len(wanted) * page + before[:blocks].count(source) * (BLOCK - page)
                if size > room[target]:
                    self.refused[target] = errno.ENOMEM
                    continue
                room[target] -= size
            try:
                after = self._send(wanted, target)
            except OSError as error:
                if error.errno not in (errno.ENOMEM, errno.EACCES):
                    raise
                self.refused[target] = error.errno
                after = syscalls.where(self._pid, wanted)
            begin = 0
            for part in found:
                now = after[begin : begin + len(part)]
                begin += len(part)
                if isinstance(part, range) and now.count(target) == len(part):
                    origins[part.start : part.stop] = array("i", [source]) * len(part)
                else:
                    for n in compress(part, map(target.__eq__, now)):
                        origins[n] = source
        return origins

    def _send(self, addresses: "array[int]", target: int) -> "array[int]":
        """Move pages, around those that are held; return where each is then.

        :raises OSError: as `syscalls.move` does
        """
        after = syscalls.move(self._pid, addresses, target)
        if after.count(target) == len(after):
            return after
        left = [
            address
            for address, node in zip(addresses, after, strict=True)
            if node >= 0 and node != target
        ]
        if len(left) > _FEW:
            middle = len(left) // 2
            for half in (left[:middle], left[middle:]):
                self._send(array("Q", half), target)
            after = syscalls.where(self._pid, addresses)
        return after

    def _note(
        self,
        places: list[range],
        size: int,
        whole: bool,
        goal: Mapping[int, int],
        origins: "array[int]",
    ) -> None:
        count = len(origins) - origins.count(_STAYED)
        if count:
            packed = zlib.compress(origins.tobytes(), 1)
            self._log.append(_Carried(places, size, whole, goal, packed))
            self.carried += count * (BLOCK if whole else size)

    def _undo(self, carried: _Carried) -> bool:
        """Move pages to where they were; return whether none is left where it went."""
        origins = array("i", zlib.decompress(carried.origins))
        addresses = _addresses(carried.places)
        complete = True
        for source in set(origins) - {_STAYED}:
            target = carried.goal[source]
            ours = array("Q", compress(addresses, map(source.__eq__, origins)))
            if carried.whole:
                self._move(ours, {target: source}, {}, carried.size)
                # what has been split since lags behind
                ours = _addresses(range(head, head + BLOCK, carried.size) for head in ours)
            for _ in range(_TRIES):
                self._move(ours, {target: source}, {}, carried.size)
                if target not in syscalls.where(self._pid, ours):
                    break
            else:
                complete = False
        return complete


def _addresses(places: Iterable[range]) -> "array[int]":
    return array("Q", chain.from_iterable(places))


def _places(nodes: "array[int]", node: int) -> Iterator[range | list[int]]:
    """Yield where an array has a node: ranges, and lists of what is scattered.

    Neighbours are alike nearly always, and to look at one by one takes several times as long.
    """
    for start in range(0, len(nodes), _WINDOW):
        window = nodes[start : start + _WINDOW]
        count = window.count(node)
        if count == len(window):
            yield range(start, start + count)
        elif count:
            yield [n for n, other in enumerate(window, start) if other == node]
