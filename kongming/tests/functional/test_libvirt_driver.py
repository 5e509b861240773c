# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver against real daemons and real QEMU processes; /proc has the last word."""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time

import fixtures
import libvirt
import testtools
from testtools.testcase import gather_details

from kongming.agent.store import Held, Store
from kongming.hypervisor.driver import Event, HypervisorError, InstanceGone, NotNow, Scope
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.tests.base import Configuration
from kongming.tests.functional.fixtures import cgroup
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.fixtures.fakehost import PCI, FakeHost
from kongming.tests.functional.fixtures.libvirtd import Libvirtd
from kongming.tests.unit.agent import base
from kongming.topology import cpuset
from kongming.topology.host import Core, NumaNode
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.telling import told
from kongming.topology.usage import Conflict

NOBODY = "9d6a151f-0e17-45f4-9907-44629d06ecb0"
EVENT_SECONDS = 60
BOTH = (Scope.LIVE, Scope.PERSISTENT)


def vcpu(number):
    return Part("vcpu", number)


def iothread(number):
    return Part("iothread", number)


class DriverTestCase(testtools.TestCase):
    """Tests of one class share a daemon, because each daemon examines QEMU for a second."""

    daemon: Libvirtd

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.new_daemon()
        cls.addClassCleanup(cls.daemon.cleanUp)
        cls.daemon.setUp()

    @classmethod
    def new_daemon(cls):
        return Libvirtd()

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.addOnException(lambda _: gather_details(self.daemon.getDetails(), self.getDetails()))
        self.driver = self.new_driver()

    def new_driver(self):
        driver = LibvirtDriver(self.daemon.uri, "compute-1")
        self.addCleanup(driver.close)
        return driver

    def refused(self, uuid, scope, part, mask):
        changes = Placement({part: mask})
        error = self.assertRaises(HypervisorError, self.driver.write, uuid, scope, changes)
        self.assertNotIsInstance(error, InstanceGone | NotNow)
        return str(error)


class TestUsage(DriverTestCase):
    def busy(self, *cpus):
        """Start a domain for each pCPU, with a vCPU 0 that computes there without end."""
        domains = []
        for cpu in cpus:
            domain = self.useFixture(Domain(self.daemon, vcpus=2, iothreads=1, busy=True))
            self.driver.write(domain.uuid, Scope.LIVE, Placement({vcpu(0): 1 << cpu}))
            domains.append(domain)
        return domains

    def look(self, seconds=1.5):
        """Return what is told of so many seconds from now on, and by how many per cent that is
        uncertain: while it looks, the machine may let somebody else run.
        """
        host, times = self.driver.host(), [time.monotonic()]
        before = self.driver.sample()
        times.append(time.monotonic())
        time.sleep(seconds)
        times.append(time.monotonic())
        now = self.driver.sample()
        times.append(time.monotonic())
        looked = times[1] - times[0] + times[3] - times[2]
        usage = told(host, before, now, datetime.datetime.now(datetime.UTC))
        return usage, 100 * looked / (times[3] - times[0])

    def test_a_busy_vcpu_and_an_idle_one(self):
        (domain,) = self.busy(1)
        usage, uncertain = self.look()
        mine = usage.instances[domain.uuid]
        work, rest = mine.vcpus[0], mine.vcpus[1]
        # others use this machine, too
        self.assertTrue(work.run_percent > 2 > rest.run_percent, mine.vcpus)
        self.assertTrue(work.run_seconds > 0.05, mine.vcpus)
        # what does not run, waits, but for moments in which QEMU keeps it
        both = work.run_percent + work.wait_percent
        self.assertTrue(70 - uncertain < both < 105 + uncertain, f"{mine.vcpus} ±{uncertain}")
        self.assertTrue(usage.cpus[1].busy_percent > 50, usage.cpus)

        (thread,) = (each for each in mine.threads if each.part == vcpu(0))
        self.assertEqual((0b10, 1), (thread.cpus, thread.last_cpu))
        self.assertEqual([thread.tid], domain.threads()["vcpu0"])
        self.assertEqual(
            sorted(tid for tids in domain.threads().values() for tid in tids),
            sorted(each.tid for each in mine.threads),
        )
        held = sum(mib for nodes in mine.memory.values() for mib in nodes.values())
        self.assertTrue(0 < held < 512, mine.memory)
        self.assertEqual(100.0, mine.locality_percent)

    def test_two_on_one_pcpu(self):
        first, second = self.busy(1, 1)
        usage, uncertain = self.look()
        for domain in (first, second):
            work = usage.instances[domain.uuid].vcpus[0]
            # half for each, if nobody else is there
            self.assertTrue(work.run_percent < 60 + uncertain, f"{work} ±{uncertain}")
            self.assertTrue(work.wait_percent > 35 - uncertain, f"{work} ±{uncertain}")
        who = tuple(sorted((first.uuid, second.uuid)))
        self.assertIn(Conflict("pinned", 0b10, who), usage.conflicts)

    def test_who_is_off_is_left_out(self):
        (domain,) = self.busy(1)
        domain.lookup().destroy()
        sample = self.driver.sample()
        self.assertNotIn(domain.uuid, sample.threads)
        self.assertNotIn(domain.uuid, sample.memory)


class TestPins(DriverTestCase):
    def setUp(self):
        super().setUp()
        self.domain = self.useFixture(Domain(self.daemon, vcpus=4, iothreads=2))
        self.uuid = self.domain.uuid

    def test_each_thread_is_where_it_was_put_and_starts_there_again(self):
        parts = {
            vcpu(0): 0b01,
            vcpu(1): 0b10,
            vcpu(2): 0b11,
            vcpu(3): 0b10,
            iothread(1): 0b01,
            iothread(2): 0b10,
            EMULATOR: 0b01,
        }
        for part, mask in parts.items():
            for scope in BOTH:
                self.driver.write(self.uuid, scope, Placement({part: mask}))
        expected = {
            "vcpu0": "0",
            "vcpu1": "1",
            "vcpu2": "0-1",
            "vcpu3": "1",
            "iothread1": "0",
            "iothread2": "1",
            "emulator": "0",
        }
        self.assertEqual(expected, self.domain.allowed())
        nodes = self.driver.host().node_ids
        self.assertEqual(parts | {MEMORY: nodes}, self.driver.read(self.uuid, Scope.LIVE))
        self.assertEqual(parts, self.driver.read(self.uuid, Scope.PERSISTENT))

        self.domain.lookup().destroy()
        self.domain.lookup().create()
        self.assertEqual(expected, self.domain.allowed())

    def test_unpinned_is_all_that_the_host_has(self):
        before = self.domain.allowed()
        self.driver.write(self.uuid, Scope.LIVE, Placement({vcpu(3): 0b10}))
        self.driver.write(self.uuid, Scope.LIVE, Placement({EMULATOR: 0b10}))
        everything = self.driver.unpinned(self.uuid)
        self.assertEqual(4 + 2 + 1 + 1, len(everything))
        for part, mask in everything.items():
            self.driver.write(self.uuid, Scope.LIVE, Placement({part: mask}))
        self.assertEqual(before, self.domain.allowed())
        self.assertEqual(everything, self.driver.read(self.uuid, Scope.LIVE))

    def test_the_definition_without_entries(self):
        self.assertEqual(Placement(), self.driver.read(self.uuid, Scope.PERSISTENT))

    def test_what_is_refused_leaves_no_trace(self):
        self.driver.write(self.uuid, Scope.LIVE, Placement({vcpu(0): 0b01}))
        self.driver.write(self.uuid, Scope.LIVE, Placement({vcpu(1): 0b10}))
        threads, document = self.domain.allowed(), self.domain.lookup().XMLDesc()
        host = self.driver.host()
        missing = (host.online | host.offline).bit_length()
        for scope in BOTH:
            # libvirt would pin to the first of these two without a word
            message = self.refused(self.uuid, scope, vcpu(2), 1 | 1 << missing)
            self.assertEqual(f"vCPU 2: the host has no pCPU {missing}", message)
            message = self.refused(self.uuid, scope, EMULATOR, 1 << 4000)
            self.assertEqual("emulator: the host has no pCPU 4000", message)
            message = self.refused(self.uuid, scope, MEMORY, 1 | 1 << 40)
            self.assertEqual("memory: the host has no NUMA node 40", message)
            self.assertIn("no vCPU 4 (it has 4)", self.refused(self.uuid, scope, vcpu(4), 1))
            self.assertIn("9 not found", self.refused(self.uuid, scope, iothread(9), 1))
            self.assertIn("vCPU 1", self.refused(self.uuid, scope, vcpu(1), 0))
        self.assertEqual(threads, self.domain.allowed())
        self.assertEqual(document, self.domain.lookup().XMLDesc())
        self.assertEqual(Placement(), self.driver.read(self.uuid, Scope.PERSISTENT))

    def test_a_vcpu_that_is_unplugged_has_no_place(self):
        domain = self.domain.lookup()
        domain.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        domain.destroy()
        domain.create()
        for scope in BOTH:
            message = self.refused(self.uuid, scope, vcpu(3), 1)
            self.assertIn("no vCPU 3 (it has 2)", message)
        for placement in (
            self.driver.unpinned(self.uuid),
            self.driver.read(self.uuid, Scope.LIVE),
        ):
            self.assertEqual([0, 1], sorted(placement.vcpus))
        self.assertEqual([2], [found.vcpus for found in self.driver.instances()])

    def test_a_domain_confined_to_some_cpus(self):
        domain = self.useFixture(Domain(self.daemon, vcpus=1, cpuset="1"))
        everything = self.driver.unpinned(domain.uuid)
        self.assertEqual(0b10, everything.cpus)
        self.assertEqual(everything, self.driver.read(domain.uuid, Scope.LIVE))

    def test_memory_that_is_where_it_should_be_is_not_touched(self):
        nodes = self.driver.host().node_ids
        self.driver.write(self.uuid, Scope.LIVE, Placement({MEMORY: nodes}))
        self.assertNotIn("numatune", self.domain.lookup().XMLDesc())
        self.driver.write(self.uuid, Scope.PERSISTENT, Placement({MEMORY: nodes}))
        self.assertEqual({MEMORY: nodes}, self.driver.read(self.uuid, Scope.PERSISTENT))
        document = self.domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        text = cpuset.to_text(nodes)
        self.assertIn(f"<memory mode='restrictive' nodeset='{text}'/>", document)

    def test_a_transient_domain_has_no_definition(self):
        domain = self.useFixture(Domain(self.daemon, persistent=False))
        self.assertEqual([Scope.LIVE, Scope.PERSISTENT], self.driver.scopes(self.uuid))
        self.assertEqual([Scope.LIVE], self.driver.scopes(domain.uuid))
        message = self.refused(domain.uuid, Scope.PERSISTENT, vcpu(0), 1)
        self.assertIn("transient domains do not have any persistent config", message)

    def test_a_domain_with_a_busy_monitor_is_refused_in_seconds(self):
        before = self.domain.allowed()
        with self.domain.occupied():
            start = time.monotonic()
            change = Placement({vcpu(0): 1})
            message = str(
                self.assertRaises(NotNow, self.driver.write, self.uuid, Scope.LIVE, change)
            )
            # libvirt would wait for 30
            self.assertLess(time.monotonic() - start, 25)
            self.assertEqual([self.uuid], [found.uuid for found in self.driver.instances()])
        self.assertIn("monitor", message)
        self.assertIn(self.uuid, message)
        self.assertEqual(before, self.domain.allowed())
        self.driver.write(self.uuid, Scope.LIVE, Placement({vcpu(0): 1}))


class TestReconciling(DriverTestCase):
    """What the agent does with the driver."""

    def setUp(self):
        super().setUp()
        self.domain = self.useFixture(Domain(self.daemon, vcpus=4, iothreads=1))
        self.uuid = self.domain.uuid
        self.wished = Placement({vcpu(n): 0b10 for n in range(4)} | {EMULATOR: 0b01})
        self.store = Store(self.useFixture(fixtures.TempDir()).path, "compute-1")
        self.store.put(Held(self.uuid, 1, self.wished))
        self.reconciler = base.reconciler(self.driver, self.store)

    def bring(self, retry=False):
        done = self.reconciler.bring(self.uuid, retry)
        return [(outcome.result, outcome.cause) for outcome in done.outcomes]

    def heard(self, events):
        """Return the events of the domain until now: they come later, but in their order."""
        last = self.useFixture(Domain(self.daemon, persistent=False)).uuid, Event.STARTED
        told = list(iter(lambda: events.get(timeout=EVENT_SECONDS), last))
        return [what for uuid, what in told if uuid == self.uuid]

    def test_what_is_in_place_is_not_written(self):
        self.assertEqual([("applied", None)], self.bring())
        events = queue.SimpleQueue[tuple[str, Event]]()
        self.driver.listen(lambda *event: events.put(event))
        self.heard(events)
        definition = self.daemon.definition(self.domain.name)
        before = definition.stat()
        for _ in range(5):
            self.assertEqual([("applied", None)], self.bring(retry=True))
        # libvirt writes the file of a definition anew, and tells of a live pin, whatever it says
        self.assertEqual(before.st_ino, definition.stat().st_ino)
        self.assertEqual(before.st_mtime_ns, definition.stat().st_mtime_ns)
        self.driver.write(self.uuid, Scope.LIVE, Placement({EMULATOR: 0b01}))
        self.assertEqual([Event.TUNED], self.heard(events))
        self.driver.write(self.uuid, Scope.PERSISTENT, Placement({EMULATOR: 0b01}))
        self.assertNotEqual(before.st_mtime_ns, definition.stat().st_mtime_ns)

    def test_causes(self):
        self.assertEqual([("applied", None)], self.bring())
        self.domain.lookup().pinVcpuFlags(0, (True, False), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        self.assertEqual([("drifted", "libvirt_client"), ("applied", None)], self.bring())
        (tid,) = self.domain.threads()["vcpu0"]
        (cgroup.of_thread(tid) / "cpuset.cpus").write_text("0-1")
        os.sched_setaffinity(tid, {0})
        self.assertEqual([("drifted", "outside_libvirt"), ("applied", None)], self.bring())
        self.domain.lookup().destroy()
        connection = self.daemon.connect()
        connection.defineXML(self.domain.xml).create()
        self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.bring())
        self.assertEqual("1", self.domain.allowed()["vcpu3"])


class TestInstances(DriverTestCase):
    def test_facts(self):
        domain = self.useFixture(Domain(self.daemon, vcpus=3, iothreads=2, display_name="vnf-1"))
        [instance] = self.driver.instances()
        self.assertEqual(domain.uuid, instance.uuid)
        self.assertEqual("compute-1", instance.host)
        self.assertEqual("vnf-1", instance.name)
        self.assertEqual(domain.project_id, instance.project_id)
        self.assertEqual(domain.user_id, instance.user_id)
        self.assertEqual((3, 64, [1, 2]), (instance.vcpus, instance.memory_mib, instance.iothreads))
        self.assertEqual("running", instance.state)
        self.assertEqual(self.driver.read(domain.uuid, Scope.LIVE), instance.observed)

    def test_states(self):
        domain = self.useFixture(Domain(self.daemon))
        domain.lookup().suspend()
        [instance] = self.driver.instances()
        self.assertEqual("paused", instance.state)
        self.assertIsNotNone(instance.observed)
        domain.lookup().destroy()
        [instance] = self.driver.instances()
        self.assertEqual("shutoff", instance.state)
        self.assertIsNone(instance.observed)
        domain.lookup().undefine()
        self.assertEqual([], self.driver.instances())

    def test_kernel_that_tells_nothing(self):
        """What it has would be free for others if it were left out."""
        domain = self.useFixture(Domain(self.daemon, display_name="n" * 300))

        def refuse(*_):
            raise OSError(errno.EMFILE, "Too many open files")

        with fixtures.MonkeyPatch("kongming.hypervisor.kernel.Kernel._read", refuse):
            [instance] = self.driver.instances()
        self.assertEqual(domain.uuid, instance.uuid)
        self.assertEqual(("running", None), (instance.state, instance.observed))
        self.assertIn("Too many open files", self.log.output)
        self.assertEqual("n" * 255, instance.name)

    def test_an_instance_that_does_not_run(self):
        domain = self.useFixture(Domain(self.daemon))
        domain.lookup().destroy()
        for uuid in (domain.uuid, NOBODY):
            for method, *arguments in (
                (self.driver.scopes,),
                (self.driver.read, Scope.LIVE),
                (self.driver.read, Scope.PERSISTENT),
                (self.driver.unpinned,),
                (self.driver.write, Scope.LIVE, Placement({vcpu(0): 1})),
                (self.driver.write, Scope.PERSISTENT, Placement({MEMORY: 1})),
            ):
                error = self.assertRaises(InstanceGone, method, uuid, *arguments)
                self.assertIn(uuid, str(error))

    def test_killed_before_the_daemon_knows(self):
        domain = self.useFixture(Domain(self.daemon))
        other = self.useFixture(Domain(self.daemon))
        self.driver.instances()
        os.kill(domain.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            while domain.pid:
                time.sleep(0.001)
        found = {instance.uuid: instance for instance in self.driver.instances()}
        self.assertIsNone(found[domain.uuid].observed)
        self.assertIsNotNone(found[other.uuid].observed)
        self.assertRaises(InstanceGone, self.driver.read, domain.uuid, Scope.LIVE)

    def test_domains_that_come_and_go(self):
        self.useFixture(Domain(self.daemon))
        stop = threading.Event()

        def churn():
            while not stop.is_set():
                domain = Domain(self.daemon, persistent=False)
                with contextlib.suppress(libvirt.libvirtError), domain:
                    pass

        worker = threading.Thread(target=churn)
        worker.start()
        try:
            for _ in range(200):
                self.assertNotEqual([], self.driver.instances())
        finally:
            stop.set()
            worker.join()


class TestEvents(DriverTestCase):
    def setUp(self):
        super().setUp()
        self.events = queue.Queue[tuple[str, Event]]()
        self.domain = self.useFixture(Domain(self.daemon))
        self.driver.host()  # connected: what was before is not reported
        self.driver.listen(lambda *event: self.events.put(event))
        self.drain()

    def drain(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self.events.get(timeout=0.2)

    def assert_event(self, uuid, what):
        """Wait for an event; others may come before."""
        while self.events.get(timeout=EVENT_SECONDS) != (uuid, what):
            pass

    def test_stop_and_start(self):
        before = self.driver.process(self.domain.uuid)
        self.domain.lookup().destroy()
        self.assert_event(self.domain.uuid, Event.STOPPED)
        self.assertRaises(InstanceGone, self.driver.process, self.domain.uuid)
        self.domain.lookup().create()
        self.assert_event(self.domain.uuid, Event.STARTED)
        self.assertNotEqual(before, self.driver.process(self.domain.uuid))

    def test_tuned_by_anybody(self):
        command = ["virsh", "-c", self.daemon.uri, "vcpupin", self.domain.uuid, "0", "1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.assert_event(self.domain.uuid, Event.TUNED)
        told = self.driver.circumstances(self.domain.uuid).told
        self.assertEqual(self.driver.read(self.domain.uuid, Scope.LIVE), told)
        self.assertEqual(0b10, told[vcpu(0)])
        self.driver.write(self.domain.uuid, Scope.LIVE, Placement({EMULATOR: 1}))
        self.assert_event(self.domain.uuid, Event.TUNED)

    def test_metadata(self):
        uri = "http://example.org/test"
        self.domain.lookup().setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<a/>", "a", uri, libvirt.VIR_DOMAIN_AFFECT_LIVE
        )
        self.assert_event(self.domain.uuid, Event.CHANGED)

    def test_end_of_a_job(self):
        self.domain.lookup().managedSave()
        self.assert_event(self.domain.uuid, Event.FREED)
        self.domain.lookup().managedSaveRemove()

    def test_out_of_libvirts_sight(self):
        (tid,) = self.domain.threads()["vcpu0"]
        os.sched_setaffinity(tid, {1})
        told = self.driver.circumstances(self.domain.uuid)
        self.assertEqual(told.online, told.told[vcpu(0)])
        self.assertEqual(0b10, self.driver.read(self.domain.uuid, Scope.LIVE)[vcpu(0)])

    def stop_daemon(self):
        self.daemon.stop_daemon()
        self.addCleanup(self.start_daemon)

    def start_daemon(self):
        with contextlib.suppress(FileNotFoundError):  # has been started
            self.daemon.start_daemon()

    def test_a_daemon_that_comes_back(self):
        self.stop_daemon()
        for call in (
            self.driver.host,
            self.driver.instances,
            lambda: self.driver.scopes(self.domain.uuid),
        ):
            error = self.assertRaises(HypervisorError, call)
            self.assertNotIsInstance(error, InstanceGone)
            self.assertIn(f"libvirt at {self.daemon.uri} does not answer: ", str(error))
        self.start_daemon()
        self.assert_event("", Event.MISSED)
        self.assertEqual([self.domain.uuid], [found.uuid for found in self.driver.instances()])
        self.driver.write(self.domain.uuid, Scope.LIVE, Placement({vcpu(0): 1}))
        self.assert_event(self.domain.uuid, Event.TUNED)

    def test_a_connection_of_the_daemon_before(self):
        def ask():
            with self.driver._daemon.answers() as connection:
                self.stop_daemon()
                self.start_daemon()
                self.assert_event("", Event.MISSED)
                connection.getLibVersion()

        self.assertRaises(NotNow, ask)
        # the new one stays
        self.assertRaises(queue.Empty, self.events.get, timeout=1)
        self.assertEqual(1, self.log.output.count("connecting again"))

    def test_a_driver_that_starts_before_the_daemon(self):
        self.stop_daemon()
        driver = self.new_driver()
        self.assertRaises(HypervisorError, driver.instances)
        events = queue.Queue[str]()
        driver.listen(lambda uuid, _: events.put(uuid))
        self.start_daemon()
        self.assertEqual("", events.get(timeout=EVENT_SECONDS))
        self.assertEqual(1, len(driver.instances()))

    def test_closing_one_driver_of_two(self):
        other = self.new_driver()
        silent = queue.Queue[str]()
        other.host()
        other.listen(lambda uuid, _: silent.put(uuid))
        other.close()
        while not silent.empty():
            silent.get()
        self.driver.write(self.domain.uuid, Scope.LIVE, Placement({vcpu(0): 1}))
        self.assert_event(self.domain.uuid, Event.TUNED)
        self.assertEqual(0, silent.qsize())
        self.assertRaises(HypervisorError, other.instances)
        names = [thread.name for thread in threading.enumerate()]
        self.assertEqual(1, names.count(f"libvirt {self.daemon.uri}"))
        self.assertEqual(1, names.count("libvirt events"))

    def test_a_callback_that_fails(self):
        noted = queue.Queue[str]()

        def callback(uuid, what):
            noted.put(uuid)
            raise RuntimeError("full")

        self.driver.listen(callback)
        for cpu in (0, 1):
            self.driver.write(self.domain.uuid, Scope.LIVE, Placement({vcpu(0): 1 << cpu}))
            self.assertEqual(self.domain.uuid, noted.get(timeout=EVENT_SECONDS))


# Does as the agent does, in a process of its own: only such a one sees the CPUs of a FakeHost.
PIN_AND_READ = """
import json, sys
import kongming.tests
from kongming.hypervisor.driver import Scope
from kongming.hypervisor.libvirt import LibvirtDriver
from kongming.topology.placement import Placement

uri, uuid, wish = sys.argv[1:]
driver = LibvirtDriver(uri, "compute-1")
for part, mask in Placement.from_dict(json.loads(wish)).items():
    driver.write(uuid, Scope.LIVE, Placement({part: mask}))
print(json.dumps(driver.read(uuid, Scope.LIVE).to_dict()))
driver.close()
"""


class TestLargeHost(DriverTestCase):
    OFFLINE = 31

    @classmethod
    def new_daemon(cls):
        return FakeHost(nodes=4, cores=4, threads=2, memory_mib=8192, offline=[cls.OFFLINE])

    def test_topology(self):
        host = self.driver.host()
        self.assertEqual(1 << self.OFFLINE, host.offline)
        self.assertEqual((1 << 31) - 1, host.online)
        for number, node in enumerate(host.nodes):
            cores = [
                Core(number, 0, core, cpuset.from_members([cpu, cpu + 16]) & host.online)
                for core, cpu in enumerate(range(4 * number, 4 * number + 4))
            ]
            expected = NumaNode(
                id=number,
                cpus=cpuset.from_members(range(4 * number, 4 * number + 4)) * 0x10001 & host.online,
                memory_mib=8192,
                pages=node.pages,
                distances={other: 10 * min(3, 1 + abs(number - other)) for other in range(4)},
                cores=tuple(cores),
            )
            self.assertEqual(expected, node)
            small = {pages.size_kib: pages for pages in node.pages}[4]
            self.assertEqual((2 << 20, 2 << 20), (small.total, small.free))

    def test_a_cpu_that_this_machine_lacks(self):
        domain = self.useFixture(Domain(self.daemon, vcpus=2, iothreads=1))
        wish = {"vcpus": {"0": "25", "1": "3,9"}, "emulator": "16-19", "iothreads": {"1": "30"}}
        output = subprocess.run(
            [sys.executable, "-c", PIN_AND_READ, self.daemon.uri, domain.uuid, json.dumps(wish)],
            env={**os.environ, **self.daemon.agent_env},
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        placement = json.loads(output)
        del placement["memory"]  # /proc/PID/status tells of this machine's nodes
        self.assertEqual(wish, placement)
        self.assertEqual(
            {"vcpu0": "25", "vcpu1": "3,9", "emulator": "16-19", "iothread1": "30"},
            domain.allowed(),
        )

    def test_an_offline_cpu(self):
        domain = self.useFixture(Domain(self.daemon))
        before = domain.allowed()
        for scope in BOTH:
            message = self.refused(domain.uuid, scope, vcpu(0), 0b11 << 30)
            self.assertEqual("vCPU 0: pCPU 31 is offline", message)
        self.assertEqual(before, domain.allowed())
        self.assertEqual("0-30", cpuset.to_text(self.driver.unpinned(domain.uuid).cpus))

    def test_memory_stays_movable(self):
        domain = self.useFixture(Domain(self.daemon))
        for nodes in (0b0100, 0b1000, 0b1010):
            self.driver.write(domain.uuid, Scope.PERSISTENT, Placement({MEMORY: nodes}))
            document = domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            text = cpuset.to_text(nodes)
            self.assertIn(f"<memory mode='restrictive' nodeset='{text}'/>", document)
        self.assertEqual(0b1111, self.driver.unpinned(domain.uuid)[MEMORY])

    def test_memory_that_nova_bound(self):
        extra = "<numatune><memory mode='strict' nodeset='1'/></numatune>"
        domain = self.useFixture(Domain(self.daemon, extra=extra))
        self.assertEqual(0b0010, self.driver.unpinned(domain.uuid)[MEMORY])
        self.driver.write(domain.uuid, Scope.PERSISTENT, Placement({MEMORY: 0b0100}))
        document = domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.assertIn("<memory mode='strict' nodeset='2'/>", document)

    def test_memory_that_the_kernel_does_not_move(self):
        domain = self.useFixture(Domain(self.daemon))
        document = domain.lookup().XMLDesc()
        before = self.driver.memory(domain.uuid)
        # libvirt knows of this node, the kernel of this machine does not
        message = self.refused(domain.uuid, Scope.LIVE, MEMORY, 0b0100)
        self.assertIn("this machine has no NUMA node 2", message)
        self.assertEqual(document, domain.lookup().XMLDesc())
        self.assertEqual(before[4].keys(), self.driver.memory(domain.uuid)[4].keys())


def numa_nodes_of_devices():
    """NUMA node of each PCI device of this machine by address, as the kernel tells it."""
    return {
        device.name: int((device / "numa_node").read_text()) for device in sorted(PCI.glob("*"))
    }


@testtools.skipUnless(numa_nodes_of_devices(), "this machine has no PCI bus")
class TestDevices(DriverTestCase):
    def test_all_devices_are_read(self):
        self.assertEqual(numa_nodes_of_devices(), self.driver.host().devices)

    def test_a_daemon_that_goes_away_is_no_host_without_devices(self):
        self.driver.host()
        self.daemon.stop_daemon()
        self.addCleanup(self.daemon.start_daemon)
        self.assertRaises(HypervisorError, self.driver.host)


@testtools.skipUnless(numa_nodes_of_devices(), "this machine has no PCI bus")
class TestDevicesOnNodes(DriverTestCase):
    @classmethod
    def new_daemon(cls):
        first = min(numa_nodes_of_devices())
        return FakeHost(nodes=2, cores=1, threads=1, devices={first: 1})

    def test_node_of_a_device(self):
        nodes = numa_nodes_of_devices()
        self.assertEqual(nodes | {min(nodes): 1}, self.driver.host().devices)


class NoNodeDevices(Libvirtd):
    """A daemon whose driver of node devices is not installed."""

    def prepare(self):
        super().prepare()
        (self.directory / "drivers").mkdir()
        for place in ("lib*", "lib/*"):  # of the distribution, of its architecture
            for library in pathlib.Path("/usr").glob(f"{place}/libvirt/connection-driver/*.so"):
                link = self.directory / "drivers" / library.name
                if not link.exists():
                    link.symlink_to(library)
        self.remove()

    def remove(self):
        """Uninstall the driver, which takes effect when the daemon starts."""
        self._driver.rename(self._driver.with_suffix(".off"))

    def install(self):
        """Install the driver, which takes effect when the daemon starts."""
        self._driver.with_suffix(".off").rename(self._driver)

    @property
    def _driver(self):
        return self.directory / "drivers/libvirt_driver_nodedev.so"

    def daemon(self):
        return ["env", f"LIBVIRT_DRIVER_DIR={self.directory}/drivers", *super().daemon()]


class TestNoDevices(DriverTestCase):
    daemon: NoNodeDevices

    @classmethod
    def new_daemon(cls):
        return NoNodeDevices()

    def test_a_host_without_devices_and_one_line_of_log(self):
        for _ in range(3):
            self.assertEqual({}, self.driver.host().devices)
        lines = [line for line in self.log.output.splitlines() if "PCI" in line]
        self.assertEqual(
            [
                "libvirt lists no PCI devices of this host: this function is not supported by the"
                " connection driver: virConnectListAllNodeDevices"
            ],
            lines,
        )
        domain = self.useFixture(Domain(self.daemon))
        self.driver.write(domain.uuid, Scope.LIVE, Placement({vcpu(0): 1}))

    @testtools.skipUnless(numa_nodes_of_devices(), "this machine has no PCI bus")
    def test_devices_are_known_until_others_are(self):
        self.assertEqual({}, self.driver.host().devices)
        events = queue.Queue[str]()
        for change in (self.daemon.install, self.daemon.remove):
            self.driver.listen(lambda uuid, _: events.put(uuid))
            self.daemon.stop_daemon()
            change()
            self.daemon.start_daemon()
            self.assertEqual("", events.get(timeout=EVENT_SECONDS))
            self.assertEqual(numa_nodes_of_devices(), self.driver.host().devices)
        self.assertIn("libvirt lists no PCI devices of this host", self.log.output)


class TestCrampedHost(DriverTestCase):
    @classmethod
    def new_daemon(cls):
        return FakeHost(nodes=2, cores=1, threads=1, memory_mib=260)

    def test_memory_that_the_operator_reserves(self):
        domain = self.useFixture(Domain(self.daemon))
        document = domain.lookup().XMLDesc()
        configuration = self.useFixture(Configuration())
        self.useFixture(fixtures.FakeLogger())  # the one before was replaced
        configuration.set("uri", self.daemon.uri, "libvirt")
        configuration.set("reserved_memory_mib", {"1": "259"}, "agent")
        self.driver = LibvirtDriver.from_conf(configuration.conf)
        self.addCleanup(self.driver.close)
        message = self.refused(domain.uuid, Scope.LIVE, MEMORY, 0b10)
        self.assertIn("has 260 MiB of them free and must keep 259 MiB", message)
        self.assertEqual(document, domain.lookup().XMLDesc())

    def test_memory_that_would_fill_a_node(self):
        domain = self.useFixture(Domain(self.daemon))
        document = domain.lookup().XMLDesc()
        message = self.refused(domain.uuid, Scope.LIVE, MEMORY, 0b10)
        self.assertRegex(
            message,
            f"^memory: [1-9][0-9]* MiB of instance {domain.uuid} in pages of 4 KiB would move to"
            " NUMA node 1, which has 260 MiB of them free and must keep 256 MiB$",
        )
        self.assertEqual(document, domain.lookup().XMLDesc())
