# SPDX-License-Identifier: Apache-2.0
"""CPU time on a real libvirt and a real kernel: the files of the control groups have the word."""

import pathlib
import subprocess

import fixtures
import libvirt

from kongming import objects
from kongming.agent import transaction
from kongming.agent.store import Store
from kongming.hypervisor.driver import HypervisorError, Scope
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_libvirt_driver import DriverTestCase
from kongming.tests.unit.agent.base import carry_out, pin, reconciler
from kongming.topology import qos
from kongming.topology.part import SHARES, Part
from kongming.topology.placement import Placement

GROUPS = ("", "emulator", "iothread1", "vcpu0", "vcpu1")
FREE = "1024 -1/100000"


def numbers(**data):
    """The placement that a wish of qos alone becomes for two vCPUs and an I/O thread."""
    return Placement(qos.parse("qos", data).parts(2, [1]))


FULL = numbers(
    cpu_shares=2048,
    global_quota=150000,
    vcpu_quota=80000,
    emulator_quota=20000,
    emulator_period=50000,
    iothread_quota=30000,
    vcpus={"1": {"quota": 25000, "period": 50000, "weight": 200}},
)
FILES = {
    "": "2048 150000/100000",
    "emulator": "1024 20000/50000",
    "iothread1": "1024 30000/100000",
    "vcpu0": "1024 80000/100000",
    "vcpu1": "2048 25000/50000",
}


class QosTestCase(DriverTestCase):
    """On this machine, whose control groups for CPU time must be of version 1."""

    extra = ""

    def setUp(self):
        super().setUp()
        self.domain = self.useFixture(Domain(self.daemon, vcpus=2, iothreads=1, extra=self.extra))
        self.uuid = self.domain.uuid

    def group(self):
        """The directory of the group for the whole instance."""
        for line in pathlib.Path(f"/proc/{self.domain.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                return pathlib.Path("/sys/fs/cgroup/cpu") / path.strip("/").removesuffix("emulator")
        raise AssertionError("this test needs the controller cpu of cgroup v1")

    def files(self):
        """Shares, quota and period by group."""
        found = {}
        for name in GROUPS:
            words = [
                (self.group() / name / f"cpu.{file}").read_text().strip()
                for file in ("shares", "cfs_quota_us", "cfs_period_us")
            ]
            found[name] = f"{words[0]} {words[1]}/{words[2]}"
        return found

    def virsh(self, *words):
        command = ["virsh", "-c", self.daemon.uri, *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def live(self):
        """The numbers that the driver reads."""
        live = self.driver.read(self.uuid, Scope.LIVE)
        return {part: value for part, value in live.items() if part.is_number}


class TestTransaction(QosTestCase):
    def test_every_number_is_in_the_files(self):
        self.assertEqual(dict.fromkeys(GROUPS, FREE), self.files())
        self.assertEqual({}, self.live())
        carry_out(self.driver, self.uuid, FULL)
        self.assertEqual(FILES, self.files())
        self.assertEqual([], FULL.differences(self.driver.read(self.uuid, Scope.LIVE)))
        definition = self.driver.read(self.uuid, Scope.PERSISTENT)
        self.assertEqual(
            {part: value for part, value in FULL.items() if not part.is_live_only}, definition
        )

    def test_raised_and_lowered_around_the_whole(self):
        low = numbers(global_quota=50000, vcpu_quota=40000, emulator_quota=30000)
        high = numbers(
            **{"global_quota": 800000, "global_period": 400000, "vcpu_quota": 150000},
            **{"emulator_quota": 900000, "emulator_period": 500000},
        )
        slow = numbers(
            **{"global_quota": 100000, "global_period": 200000},
            **{"vcpu_quota": 80000, "vcpu_period": 200000},
            **{"emulator_quota": 60000, "emulator_period": 200000},
        )
        for target in (low, high, low, slow, low, high, slow, high):
            carry_out(self.driver, self.uuid, target)
            self.assertEqual([], target.differences(self.driver.read(self.uuid, Scope.LIVE)))
        # what stays inside has too much for this, whatever the order
        error = self.assertRaises(
            transaction.NotApplied,
            carry_out,
            self.driver,
            self.uuid,
            numbers(global_quota=50000),
        )
        self.assertIn("instance's quota: Invalid value '50000'", str(error))
        self.assertEqual([], high.differences(self.driver.read(self.uuid, Scope.LIVE)))

    def test_a_refusal_in_between_leaves_no_trace(self):
        carry_out(self.driver, self.uuid, numbers(cpu_shares=512, vcpu_quota=90000))
        before, definition = self.files(), self.driver.read(self.uuid, Scope.PERSISTENT)
        wishes = FULL | {Part("vcpu_quota", 0): 150001, Part("vcpu_period", 0): 100000}
        error = self.assertRaises(
            transaction.NotApplied,
            carry_out,
            self.driver,
            self.uuid,
            Placement(wishes),
        )
        self.assertNotIsInstance(error, transaction.NotRestored)
        self.assertEqual(
            "vCPU 0's quota: Unable to write '150001' to 'cpu.cfs_quota_us': Invalid argument",
            str(error),
        )
        self.assertEqual(before, self.files())
        after = self.driver.read(self.uuid, Scope.PERSISTENT)
        self.assertEqual([], definition.differences(after))

    def test_what_is_not_there(self):
        for scope, part, words in (
            (Scope.LIVE, Part("vcpu_quota", 7), "vCPU 7's quota: libvirt has made no"),
            (Scope.PERSISTENT, Part("vcpu_quota", 0), "no definition has one for each vCPU"),
            (Scope.LIVE, SHARES, "cpu_shares: "),
        ):
            value = 1 if part == SHARES else 50000
            error = self.assertRaises(
                HypervisorError, self.driver.write, self.uuid, scope, Placement({part: value})
            )
            self.assertIn(words, str(error))
        self.assertEqual(dict.fromkeys(GROUPS, FREE), self.files())


class TestLife(QosTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.store = Store(directory, "compute-1")
        self.reconciler = reconciler(self.driver, self.store)

    def bring(self, wanted=None, generation=1):
        if generation:
            self.store.replace([pin(self.uuid, wanted, generation)])
        outcomes = self.reconciler.bring(self.uuid, True).outcomes
        return [(found.result, found.reason) for found in outcomes]

    def test_released(self):
        self.assertEqual([("applied", None)], self.bring(FULL))
        self.assertEqual(FILES, self.files())
        self.assertEqual([(objects.report.RELEASED, None)], self.bring(None, 2))
        self.assertEqual(dict.fromkeys(GROUPS, FREE), self.files())
        self.domain.lookup().destroy()
        self.domain.lookup().create()
        self.assertEqual(dict.fromkeys(GROUPS, FREE), self.files())

    def test_started_again(self):
        self.bring(FULL)
        self.domain.lookup().destroy()
        self.domain.lookup().create()
        # the definition has all but what libvirt has just one of
        started = FILES | {"vcpu0": FREE, "vcpu1": FREE}
        self.assertEqual(started, self.files())
        [drifted, applied] = self.bring(generation=0)
        self.assertEqual("drifted", drifted[0])
        self.assertIn("vCPU 0's quota is unlimited instead of 80000 µs", drifted[1])
        self.assertEqual(("applied", None), applied)
        self.assertEqual(FILES, self.files())

    def test_others_are_corrected(self):
        self.bring(FULL)
        self.virsh("schedinfo", self.uuid, "--live", "vcpu_quota=10000", "cpu_shares=100")
        (self.group() / "emulator" / "cpu.cfs_quota_us").write_text("-1")
        [(result, reason), applied] = self.bring(generation=0)
        self.assertEqual("drifted", result)
        for words in (
            "cpu_shares is 100 instead of 2048",
            "vCPU 1's quota is 10000 µs instead of 25000 µs",
            "emulator's quota is unlimited instead of 20000 µs",
        ):
            self.assertIn(words, reason)
        self.assertEqual(("applied", None), applied)
        self.assertEqual(FILES, self.files())


class TestFlavor(TestLife):
    """The flavor has ``quota:cpu_shares``, ``quota:cpu_quota`` and ``quota:cpu_period``."""

    extra = "<cputune><shares>3000</shares><period>40000</period><quota>30000</quota></cputune>"

    def test_released(self):
        before = self.files()
        self.assertEqual("3000 -1/100000", before[""])
        self.assertEqual("1024 30000/40000", before["vcpu0"])
        definition = self.domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.bring(FULL)
        self.assertEqual(FILES, self.files())
        self.assertEqual([(objects.report.RELEASED, None)], self.bring(None, 2))
        self.assertEqual(before, self.files())
        after = self.domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        for line in ("<shares>3000</shares>", "<period>40000</period>", "<quota>30000</quota>"):
            self.assertIn(line, definition)
            self.assertIn(line, after)

    def test_started_again(self):
        self.bring(FULL)
        self.domain.lookup().destroy()
        self.domain.lookup().create()
        self.assertEqual("1024 30000/40000", self.files()["vcpu0"])
        self.assertEqual(["drifted", "applied"], [word for word, _ in self.bring(generation=0)])
        self.assertEqual(FILES, self.files())
