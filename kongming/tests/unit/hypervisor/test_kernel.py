# SPDX-License-Identifier: Apache-2.0
"""A procfs made of files stands in for the kernel."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import time

import fixtures
import testtools

from kongming.hypervisor.driver import HypervisorError, InstanceGone
from kongming.hypervisor.kernel import Kernel
from kongming.topology import cpuset
from kongming.topology.counted import Thread
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

UUID = "59f0f179-a1fb-4cf9-90a2-5937446018f1"
OTHER = "ecb47bc8-c584-46fb-aa4b-e3406f713fa6"

# Lines of a KVM guest with memory of every kind, on two nodes.
NUMA_MAPS = """\
55cde7ecb000 default file=/usr/bin/qemu-system-x86_64 mapped=1031 N0=1031 kernelpagesize_kB=4
55cde8b60000 default file=/usr/bin/qemu-system-x86_64 anon=256 dirty=256 N0=256 kernelpagesize_kB=4
55ce0c294000 default heap anon=1024 dirty=1024 active=0 N0=1024 kernelpagesize_kB=4
7f5494021000 default
7f54a3e00000 bind:0-1 anon=3072 dirty=3072 active=0 N0=2048 N1=1024 kernelpagesize_kB=4
7f54c3e00000 default file=/memfd:pc.ram\\040(deleted) dirty=512 mapmax=2 N1=512 kernelpagesize_kB=4
7f54d3e00000 bind:1 file=/dev/hugepages/libvirt/qemu/7-instance-00000007/ram huge dirty=8 N1=8 \
kernelpagesize_kB=2048
7ffdcd646000 default stack anon=5 dirty=5 active=1 N0=5 kernelpagesize_kB=4
"""


def _ticks_now():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


class TestStart(testtools.TestCase):
    def test_start_of_a_process(self):
        before = time.time()
        program = [sys.executable, "-c", "print(flush=True); input()", "-uuid", UUID]
        pipe = subprocess.PIPE
        with subprocess.Popen(program, stdin=pipe, stdout=pipe) as process:
            after = time.time()
            assert process.stdout is not None
            process.stdout.readline()  # it may have no arguments yet
            kernel = Kernel()
            started = kernel.started_ms(UUID)
            self.assertEqual(started, kernel.started_ms(UUID))
            process.communicate(b"\n")
        # ticks are of 10 ms
        self.assertGreaterEqual(started, 1000 * before - 20)
        self.assertLessEqual(started, 1000 * after + 20)
        self.assertRaises(InstanceGone, kernel.started_ms, UUID)


class TestKernel(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.allowed: dict[int, set[int]] = {}
        (self.root / "self").mkdir()
        self._process(1, ["/sbin/init"])
        self._process(30, ["grep", "-uuid"])
        self.kernel = Kernel(str(self.root), lambda tid: self.allowed[tid], "6.18.0")

    def _process(self, pid, arguments, nodes="0-1", numa_maps=NUMA_MAPS, ticks=7):
        process = self.root / str(pid)
        process.mkdir()
        (process / "cmdline").write_text("".join(f"{argument}\0" for argument in arguments))
        (process / "status").write_text(f"Name:\tx\nMems_allowed_list:\t{nodes}\nThreads:\t9\n")
        (process / "numa_maps").write_text(numa_maps)
        (process / "stat").write_text(f"{pid} (CPU 0/KVM) S {' 0' * 18} {ticks} 0\n")

    def _thread(self, pid, tid, name, *cpus, group="emulator"):
        task = self.root / str(pid) / "task" / str(tid)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "cgroup").write_text(
            f"3:cpuset:/machine/qemu-7-vcpu0.libvirt-qemu/{group}\n8:pids:/vcpu0/machine\n0::/\n"
        )
        (task / "stat").write_text(f"{tid} ({name}) S{' 0' * 35} {max(cpus)} 0 0\n")
        (task / "schedstat").write_text(f"{tid}000000000 500000000 3\n")
        self.allowed[tid] = set(cpus)

    def _qemu(self, pid, uuid, **kwargs):
        name = f"guest={uuid},debug-threads=on"
        self._process(pid, ["/usr/bin/qemu", "-name", name, "-uuid", uuid, "-S"], **kwargs)
        self._thread(pid, pid, "qemu-system-x86", 0, 1)

    def test_process_that_began_anew(self):
        self._qemu(40, UUID, ticks=1000)
        self.assertEqual("40-1000", self.kernel.run(UUID))
        shutil.rmtree(self.root / "40")
        self.assertRaises(InstanceGone, self.kernel.run, UUID)
        # ids come again, and smaller ones than before
        for pid in (40, 60, 35):
            self._qemu(pid, UUID, ticks=2000)
            self.assertEqual(f"{pid}-2000", self.kernel.run(UUID))
            shutil.rmtree(self.root / str(pid))

    def test_a_start_does_not_make_it_look_at_processes_that_it_has_seen(self):
        self._qemu(40, UUID)
        looked_at = set()

        class Watched(Kernel):
            def _read(self, pid, name):
                looked_at.add(pid)
                return super()._read(pid, name)

        kernel = Watched(str(self.root), lambda tid: self.allowed[tid], "6.18.0")
        kernel.run(UUID)
        now = _ticks_now()
        # the ids have started over
        for pid in (60, 20):
            looked_at.clear()
            # libvirt has forked, and will tell of its start when a report has asked for it
            self._process(pid, ["/usr/sbin/libvirtd"], ticks=now)
            self.assertRaises(InstanceGone, kernel.run, OTHER)
            shutil.rmtree(self.root / str(pid))
            self._qemu(pid, OTHER, ticks=now)
            looked_at.clear()
            for _ in range(2):
                kernel.forget(OTHER)
                self.assertEqual(f"{pid}-{now}", kernel.run(OTHER))
            self.assertEqual(set(), looked_at & {1, 30, 40})
            shutil.rmtree(self.root / str(pid))

    def test_of_two_processes_it_is_the_younger_even_if_it_was_seen_for_another(self):
        self._qemu(40, UUID, ticks=1000)
        self.assertEqual("40-1000", self.kernel.run(UUID))
        now = _ticks_now()
        self._process(50, ["/usr/sbin/libvirtd"], ticks=now)
        self._qemu(60, OTHER, ticks=now)
        self.kernel.run(OTHER)
        shutil.rmtree(self.root / "50")
        self._qemu(50, UUID, ticks=now)
        self.kernel.forget(UUID)
        self.assertEqual(f"50-{now}", self.kernel.run(UUID))

    def test_placement_of_every_part(self):
        self._qemu(40, UUID, nodes="1")
        self._thread(40, 41, "CPU 0/KVM", 4)
        self._thread(40, 42, "CPU 11/KVM", 5, 6)
        self._thread(40, 43, "IO iothread2", 7)
        self._thread(40, 44, "IO mon_iothread", 0)
        self._thread(40, 45, "worker", 9)
        self.assertEqual(
            Placement(
                {
                    Part("vcpu", 0): 1 << 4,
                    Part("vcpu", 11): 0b11 << 5,
                    Part("iothread", 2): 1 << 7,
                    EMULATOR: 1 << 9 | 0b11,
                    MEMORY: 0b10,
                }
            ),
            self.kernel.placement(UUID),
        )

    def test_machine_that_has_run_out_of_something(self):
        self._qemu(40, UUID)

        def refuse(tid):
            raise OSError(errno.ENFILE, "Too many open files in system")

        kernel = Kernel(str(self.root), refuse, "6.18.0")
        error = self.assertRaises(HypervisorError, kernel.placement, UUID)
        self.assertIn("Too many open files in system", str(error))

    def test_machine_that_has_run_out_of_something_does_not_tell_of_processes(self):
        self._qemu(40, UUID)

        def refuse(*_):
            raise OSError(errno.EMFILE, "Too many open files")

        for what in ("kongming.hypervisor.kernel.Kernel._read", "os.listdir"):
            with fixtures.MonkeyPatch(what, refuse):
                error = self.assertRaises(HypervisorError, self.kernel.placement, UUID)
            self.assertNotIsInstance(error, InstanceGone)

    def test_emulated_vcpus(self):
        self._qemu(40, UUID)
        self._thread(40, 41, "CPU 0/TCG", 3)
        self.assertEqual({0: 1 << 3}, self.kernel.placement(UUID).vcpus)

    def test_what_a_thread_starts_belongs_to_its_part(self):
        self._qemu(40, UUID)
        self._thread(40, 41, "CPU 0/KVM", 4, group="vcpu0")
        self._thread(40, 42, "kvm-nx-lpage-re", 4, 5, group="vcpu0")
        self._thread(40, 43, "IO iothread1", 6, group="iothread1")
        self._thread(40, 44, "worker", 7, group="iothread1")
        self.assertEqual(
            {
                Part("vcpu", 0): 0b11 << 4,
                Part("iothread", 1): 0b11 << 6,
                EMULATOR: 0b11,
                MEMORY: 0b11,
            },
            self.kernel.placement(UUID),
        )

    def test_one_group_per_instance_in_the_unified_hierarchy(self):
        self._qemu(40, UUID)
        self._thread(40, 41, "worker", 7)
        scope = "machine-qemu\\x2d7\\x2dinstance\\x2d00000007.scope"
        (self.root / "40/task/41/cgroup").write_text(f"0::/machine.slice/{scope}/libvirt/vcpu3\n")
        self.assertEqual({3: 1 << 7}, self.kernel.placement(UUID).vcpus)

    def test_a_thread_that_ends_meanwhile_is_left_out(self):
        self._qemu(40, UUID)
        self._thread(40, 41, "worker", 9)
        (self.root / "40/task/41/comm").unlink()
        self.assertEqual(0b11, self.kernel.placement(UUID)[EMULATOR])

    def test_process_that_is_known_until_it_is_started_again(self):
        self._qemu(40, UUID, nodes="0", ticks=8)
        self.assertEqual(0b1, self.kernel.memory_nodes(UUID))
        self._qemu(50, UUID, nodes="1", ticks=9)
        self._qemu(60, OTHER, nodes="0-1")
        self.kernel.memory_nodes(OTHER)
        self.assertEqual(0b1, self.kernel.memory_nodes(UUID))
        self.kernel.forget(UUID)
        self.assertEqual(0b10, self.kernel.memory_nodes(UUID))

    def test_younger_of_two_with_one_uuid(self):
        self._qemu(40, UUID, nodes="0", ticks=9)
        self._qemu(50, UUID, nodes="1", ticks=8)
        self.assertEqual(0b1, self.kernel.memory_nodes(UUID))

    def test_threads_of_the_kernel_that_work_for_it(self):
        self._qemu(40, UUID)
        self._process(90, [])
        (self.root / "90/comm").write_text("vhost-40\n")
        (self.root / "90/stat").write_text(f"90 (vhost-40) S {' 0' * 40}\n")
        (self.root / "90/schedstat").write_text("3000000000 500000000 9\n")
        self.allowed[90] = {6}
        for release, device, cpus in (
            ("6.1.0-31-amd64", "/dev/vhost-net", {0, 1, 6}),
            ("5.14.0", "/dev/vhost-vsock", {0, 1, 6}),
            ("6.1.0", "/dev/net/tun", {0, 1}),
            # since then it is one of the process
            ("6.4.0", "/dev/vhost-net", {0, 1}),
        ):
            shutil.rmtree(self.root / "40/fd", ignore_errors=True)
            (self.root / "40/fd").mkdir()
            (self.root / "40/fd/7").symlink_to(device)
            kernel = Kernel(str(self.root), lambda tid: self.allowed[tid], release)
            found = kernel.placement(UUID)[EMULATOR]
            self.assertEqual(cpus, set(cpuset.members(found)), f"{device} of Linux {release}")
            tids = [thread.tid for thread in kernel.threads(UUID)]
            self.assertEqual(6 in cpus, 90 in tids)

    def test_threads_with_what_was_counted(self):
        self._qemu(40, UUID)
        self._thread(40, 41, "CPU 0/KVM", 4, 5)
        self._thread(40, 42, "worker", 7, group="iothread1")
        self._thread(40, 43, "worker", 9)
        (self.root / "40/task/43/schedstat").unlink()
        self.assertEqual(
            [
                Thread(EMULATOR, "qemu-system-x86", 40, 0b11, 1, 40.0, 0.5),
                Thread(Part("vcpu", 0), "CPU 0/KVM", 41, 0b110000, 5, 41.0, 0.5),
                Thread(Part("iothread", 1), "worker", 42, 1 << 7, 7, 42.0, 0.5),
            ],
            sorted(self.kernel.threads(UUID), key=lambda thread: thread.tid),
        )

    def test_time_of_pcpus(self):
        (self.root / "stat").write_text("cpu 9 0 0 0 0 0 0 0\ncpu3 9 0 0 0 0 0 0 0 0 0\n")
        self.assertEqual([3], list(self.kernel.cpu_times()))

    def test_instance_without_a_process(self):
        self._qemu(40, OTHER)
        for method in (
            self.kernel.placement,
            self.kernel.threads,
            self.kernel.memory_nodes,
            self.kernel.memory_mib,
        ):
            error = self.assertRaises(InstanceGone, method, UUID)
            self.assertIn(UUID, str(error))

    def test_restarted_under_another_pid(self):
        self._qemu(40, UUID, nodes="0")
        self.assertEqual(0b1, self.kernel.memory_nodes(UUID))
        shutil.rmtree(self.root / "40")
        self._qemu(50, UUID, nodes="1")
        self.assertEqual(0b10, self.kernel.memory_nodes(UUID))

    def test_its_pid_is_now_another_instance(self):
        self._qemu(40, UUID, nodes="0")
        self.kernel.memory_nodes(UUID)
        shutil.rmtree(self.root / "40")
        self._qemu(40, OTHER, nodes="1")
        self.assertRaises(InstanceGone, self.kernel.placement, UUID)
        self.assertEqual(0b10, self.kernel.memory_nodes(OTHER))

    def test_its_process_ends_between_two_looks(self):
        self._qemu(40, UUID)
        (self.root / "40/status").unlink()
        self.assertRaises(InstanceGone, self.kernel.placement, UUID)
        shutil.rmtree(self.root / "40/task")
        self.assertRaises(InstanceGone, self.kernel.placement, UUID)
        (self.root / "40/numa_maps").unlink()
        self.assertRaises(InstanceGone, self.kernel.memory_mib, UUID)

    def test_memory_without_binaries(self):
        self._qemu(40, UUID)
        self.assertEqual({4: {0: 4 + 8, 1: 4 + 2}, 2048: {1: 16}}, self.kernel.memory_mib(UUID))

    def test_a_kernel_without_memory_nodes(self):
        self._qemu(40, UUID)
        (self.root / "40/status").write_text("Name:\tx\n")
        error = self.assertRaises(HypervisorError, self.kernel.memory_nodes, UUID)
        self.assertNotIsInstance(error, InstanceGone)
