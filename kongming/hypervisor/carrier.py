# SPDX-License-Identifier: Apache-2.0
"""Carry pages of a process from NUMA node to NUMA node, and remember from where each came."""

import errno
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, compress
from typing import NamedTuple

from kongming.hypervisor import syscalls

#: A transparent huge page; moving the first small page of it moves all.
BLOCK = 2 << 20
_TRIES = 3
_WINDOW = 64
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

    def carry(self, places: list[range], page: int, goal: Mapping[int, int]) -> list[range]:
        """Move the pages at some places from each node in ``goal`` to the node it names.

        What is elsewhere, absent or busy stays as it is, and so may all that is ``refused``.

        :param places: ranges whose step is ``page``, or `BLOCK`, where each place may be the
            first of a transparent huge page
        :param page: bytes of the pages
        :return: places that are yet to be carried, page by page
        """
        single = [part for part in places if part.step == page]
        blocks = [part for part in places if part.step != page]
        heads = _addresses(blocks)
        tails = array("Q", (head + BLOCK - page for head in heads))
        before = syscalls.where(self._pid, tails)
        unlike = [
            first != last or last < 0
            for first, last in zip(syscalls.where(self._pid, heads), before, strict=True)
        ]
        single += [range(head + page, head + BLOCK, page) for head in compress(heads, unlike)]
        self.refused.clear()
        singles = _addresses(single)
        moved = self._move(singles + heads, goal)
        self._note(single, page, False, goal, moved[: len(singles)])
        origins = moved[len(singles) :]
        after = syscalls.where(self._pid, tails)
        whole = [
            origin == was and now == goal.get(origin)
            for origin, was, now in zip(origins, before, after, strict=True)
        ]
        for kind in (True, False):
            ours = (o if w is kind else _STAYED for o, w in zip(origins, whole, strict=True))
            self._note(blocks, page, kind, goal, array("i", ours))
        left = [
            range(head, head + BLOCK, page)
            for head, is_whole, is_unlike in zip(heads, whole, unlike, strict=True)
            if not (is_whole or is_unlike)
        ]
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

    def _move(self, addresses: "array[int]", goal: Mapping[int, int]) -> "array[int]":
        """Move pages, and return the node that each has left."""
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
            try:
                after = syscalls.move(self._pid, wanted, target)
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
