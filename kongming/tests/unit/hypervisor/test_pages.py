# SPDX-License-Identifier: Apache-2.0
"""Memory of a real process, which cannot go anywhere else with one NUMA node, and on a kernel with
as many as it takes. For real: see the NUMA tests.
"""

import errno
import mmap
import subprocess
import sys
from array import array

import fixtures
import testtools

from kongming.hypervisor import numa_maps, pages, syscalls
from kongming.hypervisor.carrier import BLOCK
from kongming.tests.unit.hypervisor.test_carrier import BASE, SMALL, Kernel

PAGE = mmap.PAGESIZE
# Takes 64 MiB, of which the last page is never touched, says where, and waits.
CHILD = """
import ctypes, mmap, sys
memory = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for place in range(0, (64 << 20) - mmap.PAGESIZE, mmap.PAGESIZE):
    memory[place] = 1
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
sys.stdin.read()
"""


class ProcessTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(self.process.communicate)
        assert self.process.stdout
        self.start = int(self.process.stdout.readline())
        self.pid = self.process.pid
        with open("/sys/devices/system/node/online", encoding="ascii") as file:
            if file.read().strip() != "0":
                self.skipTest("this machine has several NUMA nodes")

    def test_where_pages_are(self) -> None:
        addresses = array("Q", [self.start, self.start + (64 << 20) - PAGE])
        self.assertEqual([0, -errno.ENOENT], list(syscalls.where(self.pid, addresses)))

    def test_a_page_that_is_there_already(self) -> None:
        addresses = array("Q", range(self.start, self.start + 8 * PAGE, PAGE))
        self.assertEqual([0] * 8, list(syscalls.move(self.pid, addresses, 0)))

    def test_a_node_that_is_not_there(self) -> None:
        error = self.assertRaises(OSError, syscalls.move, self.pid, array("Q", [self.start]), 1)
        self.assertEqual(errno.ENODEV, error.errno)
        message = str(self.assertRaises(pages.MoveError, pages.Move, self.pid, 0b11))
        self.assertEqual("this machine has no NUMA node 1", message)

    def test_nothing_to_move(self) -> None:
        move = pages.Move(self.pid, 0b01)
        self.assertGreaterEqual(move.before[4][0], 63)
        self.assertEqual([], list(move))
        move.undo()

    def test_a_process_that_is_gone(self) -> None:
        self.process.communicate()
        addresses = array("Q", [self.start])
        self.assertRaises(ProcessLookupError, syscalls.where, self.pid, addresses)
        self.assertRaises(FileNotFoundError, pages.Move, self.pid, 1)

    def test_where_regions_end(self) -> None:
        with open(f"/proc/{self.pid}/smaps", encoding="utf-8") as file:
            ends = numa_maps.extents(file.read())
        start, end = next(
            (start, end) for start, (end, _) in ends.items() if start <= self.start < end
        )
        self.assertGreaterEqual(end, self.start + (64 << 20))


class StepsTest(testtools.TestCase):
    """Regions of a process, by start and end; those in ``huge`` have transparent huge pages."""

    def setUp(self) -> None:
        super().setUp()
        self.kernel = Kernel(room=100_000)
        self.regions: dict[int, int] = {}
        self.huge: set[int] = set()
        self.sizes: dict[int, int] = {}  # bytes of the pages, where they are not small
        self.free = {1: 64}  # MiB
        self.looks = 0
        files = {"numa_maps": self.numa_maps, "smaps": self.smaps}
        for name, value in (
            ("syscalls.where", self.kernel.where),
            ("syscalls.move", self.kernel.move),
            ("pages.Move._read", lambda _, name: files[name]()),
            ("pages.Move._free_mib", lambda _, node, page_kib: self.free[node]),
            ("pages._CHUNK", 2 * BLOCK),
            ("pages._PAUSE_SECONDS", 0),
        ):
            self.useFixture(fixtures.MonkeyPatch(f"kongming.hypervisor.{name}", value))

    def numa_maps(self) -> str:
        """Return what the kernel says of the regions."""
        self.looks += 1
        lines = []
        for start, end in self.regions.items():
            size = self.sizes.get(start, SMALL)
            nodes = [self.kernel.pages.get(place) for place in range(start, end, size)]
            counts = "".join(f" N{node}={nodes.count(node)}" for node in range(3) if node in nodes)
            lines.append(f"{start:x} default anon=1{counts} kernelpagesize_kB={size >> 10}\n")
        return "".join(lines)

    def smaps(self) -> str:
        """Return what the kernel says of their ends."""
        return "".join(
            f"{start:x}-{end:x} rw-p 0 00:00 0\nAnonHugePages: {2048 * (start in self.huge)} kB\n"
            for start, end in self.regions.items()
        )

    def add(self, start: int, end: int, held: int, node: int) -> None:
        """Add a region whose first pages are there, so many bytes of them, on a node."""
        self.regions[start] = end
        self.kernel.pages |= dict.fromkeys(range(start, start + held, SMALL), node)

    def test_regions_share_a_step(self) -> None:
        self.add(BASE + SMALL, BASE + 8 * SMALL, 7 * SMALL, 0)
        self.add(BASE + BLOCK, BASE + 2 * BLOCK, 2 * SMALL, 0)  # nearly empty
        self.add(BASE + 3 * BLOCK - SMALL, BASE + 5 * BLOCK, 2 * BLOCK + SMALL, 0)
        self.huge = {BASE + 3 * BLOCK - SMALL}
        self.kernel.huge = {BASE + 3 * BLOCK, BASE + 4 * BLOCK}
        before = dict(self.kernel.pages)
        move = pages.Move(1, 0b10)
        self.assertEqual([4], [each.moved_mib for each in move])
        self.assertEqual(1, self.kernel.moves)
        self.assertEqual({1}, set(self.kernel.pages.values()))
        move.undo()
        self.assertEqual(before, self.kernel.pages)

    def test_huge_pages_are_looked_at_as_such(self) -> None:
        self.add(BASE + SMALL, BASE + 4 * BLOCK, 4 * BLOCK - SMALL, 0)
        self.huge = {BASE + SMALL}
        self.kernel.huge = {BASE + n * BLOCK for n in (1, 2, 3)}
        list(pages.Move(1, 0b10))
        self.assertEqual({1}, set(self.kernel.pages.values()))
        # each of the small pages of the first block three times at most
        self.assertLess(self.kernel.looked_at, 3 * 512 + 50)

    def test_what_is_no_huge_page_takes_another_step(self) -> None:
        self.add(BASE, BASE + 2 * BLOCK, 2 * BLOCK, 0)
        self.huge = {BASE}
        self.kernel.huge = {BASE}
        self.assertEqual([2, 4], [each.moved_mib for each in pages.Move(1, 0b10)])
        self.assertEqual(2, self.looks)

    def test_much_that_is_empty_takes_many_steps(self) -> None:
        self.add(BASE, BASE + 64 * BLOCK, SMALL, 0)
        # ten parts of two blocks in each
        self.assertEqual(4, len(list(pages.Move(1, 0b10))))
        self.assertEqual({1}, set(self.kernel.pages.values()))

    def test_much_memory_takes_many_steps(self) -> None:
        self.add(BASE, BASE + 6 * BLOCK, 6 * BLOCK, 0)
        self.add(BASE + 7 * BLOCK, BASE + 7 * BLOCK + SMALL, SMALL, 2)
        before = dict(self.kernel.pages)
        move = pages.Move(1, 0b10)
        moved = [next(move).moved_mib, next(move).moved_mib]
        self.assertEqual([4, 8], moved)
        self.assertEqual({0, 1}, set(self.kernel.pages.values()))
        move.undo()
        self.assertEqual(before, self.kernel.pages)

    def test_a_busy_page_is_tried_again(self) -> None:
        self.add(BASE, BASE + BLOCK, BLOCK, 0)
        self.kernel.busy = {BASE + SMALL}
        move = pages.Move(1, 0b10)
        next(move)
        self.kernel.busy = set()
        self.assertEqual([2], [each.moved_mib for each in move])
        self.assertEqual({1}, set(self.kernel.pages.values()))

    def test_no_room(self) -> None:
        self.add(BASE, BASE + 4 * BLOCK, 4 * BLOCK, 0)
        self.free = {1: 6}
        move = pages.Move(1, 0b10)
        next(move)
        self.free = {1: 2}
        message = str(self.assertRaises(pages.MoveError, next, move))
        self.assertEqual(
            "NUMA node 1 has no room left in pages of 4 KiB: 4 of 8 MiB have moved", message
        )

    def test_what_is_to_stay_free_does(self) -> None:
        self.add(BASE, BASE + BLOCK, BLOCK, 0)
        self.free = {1: 9}
        move = pages.Move(1, 0b10, keep={1: 8})
        message = str(self.assertRaises(pages.MoveError, next, move))
        self.assertIn("NUMA node 1 has no room left in pages of 4 KiB beyond the 8 MiB", message)
        self.assertEqual({0}, set(self.kernel.pages.values()))

    def test_the_kernel_has_no_room(self) -> None:
        self.add(BASE, BASE + BLOCK, BLOCK, 0)
        self.kernel.room = 100
        move = pages.Move(1, 0b10)
        self.assertIn("no room left", str(self.assertRaises(pages.MoveError, next, move)))

    def test_a_node_that_is_not_allowed(self) -> None:
        self.add(BASE, BASE + BLOCK, BLOCK, 0)
        self.kernel.denied = {1}
        message = str(self.assertRaises(pages.MoveError, next, pages.Move(1, 0b10)))
        self.assertEqual("the process is not allowed to use NUMA node 1", message)

    def test_pages_larger_than_a_step(self) -> None:
        gib = 1 << 30
        self.sizes = {BASE: gib}
        self.regions[BASE] = BASE + 2 * gib
        self.kernel.pages = {BASE: 0, BASE + gib: 0}
        moved = [each.moved_mib for each in pages.Move(1, 0b10)]
        self.assertEqual([1024, 2048], moved)
