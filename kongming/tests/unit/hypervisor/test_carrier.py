# SPDX-License-Identifier: Apache-2.0
"""The bookkeeping of moves, on a kernel with as many NUMA nodes as it takes."""

import errno
from array import array

import fixtures
import testtools

from kongming.hypervisor.carrier import BLOCK, Carrier

SMALL = 4096
BASE = 1 << 32


class Kernel:
    """Pages of one process by address; ``huge`` are the blocks that are one page.

    As the real one does, it moves what has been queued when it meets a page that it cannot queue,
    and gives up on the rest of a call once something of that has not moved.
    """

    def __init__(self, room: int) -> None:
        self.pages: dict[int, int] = {}
        self.huge: set[int] = set()
        self.busy: set[int] = set()
        self.denied: set[int] = set()
        self.room = room  # pages of any node
        self.moves = 0
        self.looked_at = 0

    def where(self, pid: int, addresses: "array[int]") -> "array[int]":
        """Stand in for `syscalls.where`."""
        self.looked_at += len(addresses)
        return array("i", (self.pages.get(address, -errno.ENOENT) for address in addresses))

    def move(self, pid: int, addresses: "array[int]", node: int) -> "array[int]":
        """Stand in for `syscalls.move`."""
        self.moves += 1
        if node in self.denied:
            raise OSError(errno.EACCES, "Permission denied")
        queue: list[int] = []
        for address in addresses:
            block = address // BLOCK * BLOCK
            page = block if block in self.huge else address
            if self.pages.get(address, node) != node and page not in queue[-1:]:
                queue.append(page)
            elif not self._flush(queue, node):
                break
        else:
            self._flush(queue, node)
        return self.where(pid, addresses)

    def _flush(self, queue: list[int], node: int) -> bool:
        for page in queue:
            moving = range(page, page + BLOCK, SMALL) if page in self.huge else [page]
            if page not in self.busy:
                if self.room < len(moving):
                    raise OSError(errno.ENOMEM, "Cannot allocate memory")
                self.room -= len(moving)
                self.pages.update(dict.fromkeys(moving, node))
        done = not self.busy.intersection(queue)
        queue.clear()
        return done


class CarrierTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kernel = Kernel(room=100_000)
        for name in ("where", "move"):
            method = getattr(self.kernel, name)
            self.useFixture(
                fixtures.MonkeyPatch(f"kongming.hypervisor.carrier.syscalls.{name}", method)
            )
        self.carrier = Carrier(1)

    def fill(self, start: int, size: int, *nodes: int) -> range:
        """Give the process pages on the nodes in turn; return their places."""
        places = range(start, start + size, SMALL)
        self.kernel.pages |= {place: nodes[n % len(nodes)] for n, place in enumerate(places)}
        return places

    def nodes(self) -> set[int]:
        """Return the nodes that have a page."""
        return set(self.kernel.pages.values())

    def test_there_and_back(self) -> None:
        places = [self.fill(BASE, BLOCK, 0, 1, 2), self.fill(BASE + 2 * BLOCK, BLOCK, 1)]
        before = dict(self.kernel.pages)
        self.assertEqual([], self.carrier.carry(places, SMALL, {0: 2, 1: 3}, {}))
        self.assertEqual({2, 3}, self.nodes())
        self.assertEqual(sum(node < 2 for node in before.values()) * SMALL, self.carrier.carried)
        self.assertTrue(self.carrier.take_back())
        self.assertEqual(before, self.kernel.pages)

    def test_what_was_there_before_stays_after_undoing(self) -> None:
        places = self.fill(BASE, 4 * SMALL, 0, 1)
        self.carrier.carry([places], SMALL, {0: 1}, {})
        self.assertEqual({1}, self.nodes())
        self.assertEqual(2 * SMALL, self.carrier.carried)
        self.assertTrue(self.carrier.take_back())
        self.assertEqual([0, 1, 0, 1], list(self.kernel.pages.values()))

    def test_transparent_huge_pages_need_one_call(self) -> None:
        places = self.fill(BASE - SMALL, 3 * BLOCK + 2 * SMALL, 0)
        self.kernel.huge = {BASE, BASE + 2 * BLOCK}
        before = dict(self.kernel.pages)
        blocks = range(BASE, BASE + 3 * BLOCK, BLOCK)
        left = self.carrier.carry([places[:1], blocks, places[-1:]], SMALL, {0: 1}, {})
        # what may have been one has to be looked at again
        self.assertEqual([range(BASE + BLOCK, BASE + 2 * BLOCK, SMALL)], left)
        self.assertEqual([], self.carrier.carry(left, SMALL, {0: 1}, {}))
        self.assertEqual({1}, self.nodes())
        self.assertEqual(3 * BLOCK + 2 * SMALL, self.carrier.carried)
        self.assertEqual(2, self.kernel.moves)
        self.assertTrue(self.carrier.take_back())
        self.assertEqual(before, self.kernel.pages)

    def test_what_is_no_huge_page_goes_along(self) -> None:
        self.fill(BASE, 4 * BLOCK, 0)
        holes = (BASE, BASE + 2 * BLOCK - SMALL, BASE + 2 * BLOCK, BASE + 3 * BLOCK - SMALL)
        for hole in holes:
            del self.kernel.pages[hole]
        self.kernel.pages[BASE + 3 * BLOCK] = 1
        before = dict(self.kernel.pages)
        blocks = range(BASE, BASE + 4 * BLOCK, BLOCK)
        self.assertEqual([], self.carrier.carry([blocks], SMALL, {0: 2}, {}))
        self.assertEqual(1, self.kernel.moves)
        self.assertEqual({1, 2}, self.nodes())
        self.assertEqual((4 * 512 - 5) * SMALL, self.carrier.carried)
        self.assertTrue(self.carrier.take_back())
        self.assertEqual(before, self.kernel.pages)

    def test_a_huge_page_that_was_split_meanwhile(self) -> None:
        self.fill(BASE, 2 * BLOCK, 0)
        self.kernel.huge = {BASE, BASE + BLOCK}
        before = dict(self.kernel.pages)
        blocks = range(BASE, BASE + 2 * BLOCK, BLOCK)
        self.assertEqual([], self.carrier.carry([blocks], SMALL, {0: 1}, {}))
        self.kernel.huge = {BASE}
        self.assertTrue(self.carrier.take_back())
        self.assertEqual(before, self.kernel.pages)

    def test_no_room_for_huge_pages(self) -> None:
        places = self.fill(BASE - SMALL, BLOCK + SMALL, 0)
        self.kernel.huge = {BASE}
        self.kernel.room = 100
        self.kernel.pages[BASE + BLOCK] = 0  # of a block that is no huge page
        parts = [places[:1], range(BASE, BASE + 2 * BLOCK, BLOCK)]
        left = self.carrier.carry(parts, SMALL, {0: 1}, {})
        self.assertEqual({}, self.carrier.refused)
        self.kernel.huge, self.kernel.room = set(), 100_000
        self.assertEqual([], self.carrier.carry(left, SMALL, {0: 1}, {}))
        self.assertEqual({1}, self.nodes())

    def test_a_busy_page_is_left_for_another_time(self) -> None:
        places = self.fill(BASE, 4 * SMALL, 0)
        self.kernel.busy = {BASE + SMALL}
        self.carrier.carry([places], SMALL, {0: 1}, {})
        self.assertEqual([1, 0, 1, 1], list(self.kernel.pages.values()))
        self.assertEqual(3 * SMALL, self.carrier.carried)
        self.kernel.busy = {BASE}
        self.assertFalse(self.carrier.take_back())
        self.assertEqual([1, 0, 0, 0], list(self.kernel.pages.values()))
        self.kernel.busy = set()
        self.assertTrue(self.carrier.take_back())
        self.assertEqual({0}, self.nodes())

    def test_no_room_left(self) -> None:
        places = self.fill(BASE, 4 * SMALL, 0)
        self.kernel.room = 3
        self.carrier.carry([places], SMALL, {0: 1}, {})
        self.assertEqual({1: errno.ENOMEM}, self.carrier.refused)
        self.assertEqual([1, 1, 1, 0], list(self.kernel.pages.values()))
        self.kernel.room = 9
        self.assertTrue(self.carrier.take_back())
        self.assertEqual({0}, self.nodes())

    def test_no_more_than_a_node_is_to_take(self) -> None:
        places = self.fill(BASE, 6 * SMALL, 0, 1)
        room = {2: 5 * SMALL}
        self.carrier.carry([places], SMALL, {0: 2, 1: 2}, room)
        self.assertEqual({2: errno.ENOMEM}, self.carrier.refused)
        # what was from the first node fits, and what it took is not there for the second
        self.assertEqual([2, 1] * 3, list(self.kernel.pages.values()))
        self.assertEqual({2: 5 * SMALL}, room)
        self.carrier.carry([places], SMALL, {1: 2}, {2: 3 * SMALL})
        self.assertEqual({2}, self.nodes())

    def test_huge_pages_count_as_what_they_are(self) -> None:
        self.fill(BASE, 2 * BLOCK, 0)
        self.kernel.huge = {BASE, BASE + BLOCK}
        blocks = range(BASE, BASE + 2 * BLOCK, BLOCK)
        left = self.carrier.carry([blocks], SMALL, {0: 1}, {1: 2 * BLOCK - SMALL})
        self.assertEqual({0}, self.nodes())
        self.assertEqual(0, self.kernel.moves)
        self.carrier.carry(left, SMALL, {0: 1}, {1: 2 * BLOCK - SMALL})
        self.assertEqual({1: errno.ENOMEM}, self.carrier.refused)

    def test_a_page_that_is_held_holds_no_other(self) -> None:
        places = self.fill(BASE, 8 * BLOCK, 0)
        self.kernel.huge = {BASE + n * BLOCK for n in range(8)}  # which nobody has told of
        self.kernel.busy = {BASE + 2 * BLOCK}
        self.carrier.carry([places], SMALL, {0: 1}, {})
        held = set(range(BASE + 2 * BLOCK, BASE + 3 * BLOCK, SMALL))
        self.assertEqual(held, {place for place, node in self.kernel.pages.items() if node == 0})
        self.assertEqual(7 * BLOCK, self.carrier.carried)
        self.kernel.huge = set()
        self.assertTrue(self.carrier.take_back())
        self.assertEqual({0}, self.nodes())

    def test_held_pages_come_after_huge_ones(self) -> None:
        self.fill(BASE, 3 * BLOCK, 0)
        self.kernel.huge = {BASE, BASE + BLOCK, BASE + 2 * BLOCK}
        self.kernel.busy = {BASE}
        parts = [range(BASE, BASE + BLOCK, SMALL), range(BASE + BLOCK, BASE + 3 * BLOCK, BLOCK)]
        self.assertEqual([], self.carrier.carry(parts, SMALL, {0: 1}, {}))
        self.assertEqual(2 * BLOCK, self.carrier.carried)

    def test_a_huge_page_of_which_a_part_is_gone(self) -> None:
        self.fill(BASE, BLOCK, 0)
        self.kernel.huge = {BASE}
        self.carrier.carry([range(BASE, BASE + BLOCK, BLOCK)], SMALL, {0: 1}, {})
        self.kernel.huge = set()
        del self.kernel.pages[BASE + BLOCK - SMALL]
        self.assertTrue(self.carrier.take_back())
        self.assertEqual({0}, self.nodes())

    def test_another_refusal_is_not_hidden(self) -> None:
        places = self.fill(BASE, SMALL, 0)

        def move(*arguments: object) -> None:
            raise ProcessLookupError(errno.ESRCH, "No such process")

        self.useFixture(fixtures.MonkeyPatch("kongming.hypervisor.carrier.syscalls.move", move))
        self.assertRaises(ProcessLookupError, self.carrier.carry, [places], SMALL, {0: 1}, {})
