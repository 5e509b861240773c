# SPDX-License-Identifier: Apache-2.0
"""Memory of a real process. With one NUMA node it cannot go anywhere else: see the NUMA tests."""

import errno
import mmap
import subprocess
import sys
from array import array

import testtools

from kongming.hypervisor import numa_maps, pages, syscalls

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
