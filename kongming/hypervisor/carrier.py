# SPDX-License-Identifier: Apache-2.0
"""Carry pages of a process from NUMA node to NUMA node, and remember from where each came."""

import errno
import zlib
from array import array
from collections.abc import Iterable, Mapping
from itertools import chain, compress
from typing import NamedTuple

from kongming.hypervisor import syscalls

#: A transparent huge page; moving the first small page of it moves all.
BLOCK = 2 << 20
_TRIES = 3
_STAYED = -1


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

    def carry(self, places: list[range], goal: Mapping[int, int], blocks: bool) -> None:
        """Move the pages at some places from each node in ``goal`` to the node it names.

        What is elsewhere, absent or busy stays as it is, and so may all that is ``refused``.

        :param places: ranges whose step is the size of a page
        :param blocks: there are transparent huge pages among them
        """
        if blocks:
            places = self._carry_blocks(places, goal)
        self.refused.clear()  # a huge page that found no room may find it in small ones
        self._note(places, places[0].step, False, goal, self._move(_addresses(places), goal))

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

    def _carry_blocks(self, places: list[range], goal: Mapping[int, int]) -> list[range]:
        """Move transparent huge pages, and return the places where there is none."""
        heads, left = [], []
        for part in places:
            first = -(-part.start // BLOCK) * BLOCK
            last = max(first, part.stop // BLOCK * BLOCK)
            heads.append(range(first, last, BLOCK))
            left += [range(part.start, min(first, part.stop), part.step)]
            left += [range(last, part.stop, part.step)]
        size = places[0].step
        starts = _addresses(heads)
        tails = array("Q", (start + BLOCK - size for start in starts))
        before = syscalls.where(self._pid, tails)
        origins = self._move(starts, goal)
        after = syscalls.where(self._pid, tails)
        whole = [
            origin == was and now == goal.get(origin)
            for origin, was, now in zip(origins, before, after, strict=True)
        ]
        for kind in (True, False):
            ours = (o if w is kind else _STAYED for o, w in zip(origins, whole, strict=True))
            self._note(heads, size, kind, goal, array("i", ours))
        return left + [
            range(start, start + BLOCK, size)
            for start, is_whole in zip(starts, whole, strict=True)
            if not is_whole
        ]

    def _move(self, addresses: "array[int]", goal: Mapping[int, int]) -> "array[int]":
        """Move pages, and return the node that each has left."""
        before = syscalls.where(self._pid, addresses)
        origins = array("i", [_STAYED]) * len(addresses)
        for source, target in goal.items():
            count = before.count(source)
            alike = count == len(before)  # nearly always: worth a short cut
            wanted = addresses
            if not alike:
                wanted = array("Q", compress(addresses, map(source.__eq__, before)))
            if not count:
                continue
            try:
                after = syscalls.move(self._pid, wanted, target)
            except OSError as error:
                if error.errno not in (errno.ENOMEM, errno.EACCES):
                    raise
                self.refused[target] = error.errno
                after = syscalls.where(self._pid, wanted)
            if alike and after.count(target) == count:
                return array("i", [source]) * count
            ours = compress(range(len(before)), map(source.__eq__, before))
            for place in compress(ours, map(target.__eq__, after)):
                origins[place] = source
        return origins

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
                self._move(ours, {target: source})
                # what has been split since lags behind
                tails = array("Q", (head + BLOCK - carried.size for head in ours))
                lagging = map(target.__eq__, syscalls.where(self._pid, tails))
                ours = _addresses(
                    range(head, head + BLOCK, carried.size) for head in compress(ours, lagging)
                )
            for _ in range(_TRIES):
                self._move(ours, {target: source})
                if target not in syscalls.where(self._pid, ours):
                    break
            else:
                complete = False
        return complete


def _addresses(places: Iterable[range]) -> "array[int]":
    return array("Q", chain.from_iterable(places))
