# SPDX-License-Identifier: Apache-2.0
"""The lists of isolated pCPUs, as kernels of several ages have them; what tells of changes."""

import errno
import pathlib
import queue
import socket
from typing import Any

import fixtures

from kongming.hypervisor import pcpus
from kongming.tests import base


class IsolatedTest(base.BareTestCase):
    def test_lists_of_boot_and_of_partitions(self) -> None:
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.assertEqual(0, pcpus.isolated(root))
        for name, text, expected in (
            ("devices/system/cpu/isolated", "\n", 0),
            ("devices/system/cpu/isolated", "2-3,6\n", 0b100_1100),
            ("fs/cgroup/cpuset.cpus.isolated", "0,6\n", 0b100_1101),
            ("devices/system/cpu/isolated", "\n", 0b100_0001),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            self.assertEqual(expected, pcpus.isolated(root))


class Kernel:
    """Stands in for the netlink socket; what ``say`` is given comes from the kernel."""

    def __init__(self) -> None:
        self._ours, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.bound: Any = None
        self.fileno, self.bind = self._ours.fileno, lambda address: setattr(self, "bound", address)

    def say(self, message: bytes) -> None:
        self._peer.send(message)

    def recv(self, size: int) -> bytes:
        message = self._ours.recv(size)
        if message == b"lost":
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return message

    def close(self) -> None:
        self._ours.close()
        self._peer.close()


class WatchTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kernel = Kernel()
        self.addCleanup(self.kernel.close)
        self.calls: queue.Queue[int] = queue.Queue()

    def watch(self, made: Any) -> pcpus.Watch:
        with fixtures.MonkeyPatch("kongming.hypervisor.pcpus.socket.socket", made):
            return pcpus.Watch(lambda: self.calls.put(1))

    def test_only_cpus_count(self) -> None:
        watch = self.watch(lambda *_: self.kernel)
        self.assertEqual((0, 1), self.kernel.bound)
        memory = b"offline@/devices/memory1\0ACTION=offline\0SUBSYSTEM=memory\0SEQNUM=1\0"
        cpu = b"offline@/devices/cpu3\0ACTION=offline\0SUBSYSTEM=cpu\0SEQNUM=2\0"
        for message in (memory, cpu, memory, cpu):
            self.kernel.say(message)
        for _ in range(2):
            self.calls.get(timeout=10)
        watch.close()
        self.assertTrue(self.calls.empty())

    def test_what_was_lost_may_have_been_of_a_cpu(self) -> None:
        watch = self.watch(lambda *_: self.kernel)
        self.kernel.say(b"lost")
        self.calls.get(timeout=10)
        watch.close()

    def test_without_netlink(self) -> None:
        def refused(*_: Any) -> socket.socket:
            raise PermissionError("netlink is not for you")

        self.watch(refused).close()
        self.assertIn("noticed by the sweep alone: netlink is not for you", self.log.output)
