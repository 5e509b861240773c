# SPDX-License-Identifier: Apache-2.0
"""Control groups made of files, as libvirt makes them on either version and under systemd."""

import pathlib

import fixtures
import testtools

from kongming.hypervisor import cpu_time
from kongming.hypervisor.cgroups import Groups
from kongming.hypervisor.driver import HypervisorError
from kongming.topology.part import SHARES, Part
from kongming.topology.placement import Placement

PID = 40
V1 = {"cpu.shares": "1024", "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}
V2 = {"cpu.weight": "100", "cpu.max": "max 100000"}
GROUPS = (".", "emulator", "iothread2", "vcpu0", "vcpu11")


class GroupsTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.proc = self.root / "proc"
        (self.proc / "self").mkdir(parents=True)

    def process(self, group, *mounts):
        for tid, name in enumerate(("emulator", "iothread2", "vcpu0", "vcpu11"), PID):
            task = self.proc / f"{PID}/task/{tid}"
            task.mkdir(parents=True, exist_ok=True)
            (task / "cgroup").write_text(group.replace("emulator", name))
        lines = [
            f"{number} 1 0:{number} {top} {self.root}/{place} rw - {kind} {kind} rw,{options}\n"
            for number, (top, place, kind, options) in enumerate(mounts, 30)
        ]
        (self.proc / "self/mountinfo").write_text(
            "20 1 0:1 / / rw - ext4 sda rw\n" + "".join(lines)
        )
        return Groups(PID, str(self.proc))

    def make(self, whole, files):
        self.whole = self.root / whole
        for group in GROUPS:
            (self.whole / group).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (self.whole / group / name).write_text(f"{text}\n")

    def set(self, group, file, text):
        (self.whole / group / file).write_text(f"{text}\n")

    def get(self, group, file):
        return (self.whole / group / file).read_text().strip()


class TestVersion1(GroupsTestCase):
    def setUp(self):
        super().setUp()
        self.make("cpu,cpuacct/machine/qemu-1-a.libvirt-qemu", V1)
        self.groups = self.process(
            "9:name=systemd:/\n2:cpu,cpuacct:/machine/qemu-1-a.libvirt-qemu/emulator\n0::/\n",
            ("/", "cpu,cpuacct", "cgroup", "cpu,cpuacct"),
            ("/", "unified", "cgroup2", "nsdelegate"),
        )

    def test_defaults(self):
        self.assertEqual({}, cpu_time.read(self.groups))

    def test_there_and_back(self):
        numbers = Placement(
            {
                SHARES: 3000,
                Part("global_quota"): 5000,
                Part("global_period"): 6000,
                Part("emulator_quota"): 7000,
                Part("iothread_period", 2): 8000,
                Part("vcpu_quota", 0): 9000,
                Part("vcpu_weight", 11): 333,
            }
        )
        for part, value in numbers.items():
            cpu_time.write(self.groups, part, value)
        self.assertEqual(numbers, cpu_time.read(self.groups))
        self.assertEqual("3000", self.get(".", "cpu.shares"))
        self.assertEqual("3410", self.get("vcpu11", "cpu.shares"))
        self.assertEqual("5000", self.get(".", "cpu.cfs_quota_us"))
        self.assertEqual("8000", self.get("iothread2", "cpu.cfs_period_us"))
        for part in numbers:
            cpu_time.write(self.groups, part, part.default)
        self.assertEqual({}, cpu_time.read(self.groups))


class TestVersion2(GroupsTestCase):
    def setUp(self):
        super().setUp()
        scope = "machine.slice/machine-qemu\\x2d1\\x2da.scope"
        self.make(f"cgroup/{scope}/libvirt", V2)
        for name, text in V2.items():
            (self.whole.parent / name).write_text(text)
        self.groups = self.process(
            f"0::/{scope}/libvirt/emulator\n", ("/", "cgroup", "cgroup2", "nsdelegate")
        )

    def test_defaults(self):
        self.assertEqual({}, cpu_time.read(self.groups))

    def test_the_weight_is_that_of_the_scope(self):
        cpu_time.write(self.groups, SHARES, 2048)
        self.assertEqual("200", (self.whole.parent / "cpu.weight").read_text().strip())
        self.assertEqual("100", self.get(".", "cpu.weight"))
        self.assertEqual({SHARES: 2048}, cpu_time.read(self.groups))

    def test_quota_and_period_share_a_file(self):
        quota, period = Part("vcpu_quota", 0), Part("vcpu_period", 0)
        cpu_time.write(self.groups, period, 50000)
        self.assertEqual("max 50000", self.get("vcpu0", "cpu.max"))
        self.assertEqual({period: 50000}, cpu_time.read(self.groups))
        self.set("vcpu0", "cpu.max", "20000 50000")
        self.assertEqual({quota: 20000, period: 50000}, cpu_time.read(self.groups))
        cpu_time.write(self.groups, period, 60000)
        self.assertEqual("20000 60000", self.get("vcpu0", "cpu.max"))
        for value, text in ((30000, "30000"), (-1, "max")):
            cpu_time.write(self.groups, quota, value)
            # the kernel adds the period that it has
            self.assertEqual(text, self.get("vcpu0", "cpu.max"))

    def test_weight_of_a_vcpu(self):
        cpu_time.write(self.groups, Part("vcpu_weight", 11), 333)
        self.assertEqual("333", self.get("vcpu11", "cpu.weight"))
        self.assertEqual({Part("vcpu_weight", 11): 333}, cpu_time.read(self.groups))

    def test_of_a_container(self):
        groups = self.process(
            "0::/pod/machine/q/emulator\n", ("/pod", "inside", "cgroup2", "nsdelegate")
        )
        self.make("inside/machine/q", V2)
        self.set("emulator", "cpu.max", "5000 100000")
        self.assertEqual({Part("emulator_quota"): 5000}, cpu_time.read(groups))


class TestWithout(GroupsTestCase):
    def refused(self, groups, part, file):
        self.assertEqual({}, cpu_time.read(groups))
        error = self.assertRaises(HypervisorError, cpu_time.write, groups, part, 5000)
        self.assertEqual(f"libvirt has made no control group with {file} for {part}", str(error))

    def test_no_group_of_its_own(self):
        groups = self.process("1:cpu:/\n8:pids:/a/emulator\n0::/\n", ("/", "cpu", "cgroup", "cpu"))
        for part in (Part("vcpu_quota", 0), Part("global_quota"), Part("emulator_quota")):
            self.refused(groups, part, "cpu.cfs_quota_us")
        self.refused(groups, SHARES, "cpu.shares")

    def test_no_such_controller(self):
        self.make("cgroup/m", {"cpu.stat": ""})
        groups = self.process("0::/m/emulator\n", ("/", "cgroup", "cgroup2", "nsdelegate"))
        self.refused(groups, Part("vcpu_quota", 0), "cpu.max")

    def test_no_such_vcpu(self):
        self.make("cgroup/m", V2)
        groups = self.process("0::/m/emulator\n", ("/", "cgroup", "cgroup2", "nsdelegate"))
        self.refused(groups, Part("vcpu_weight", 7), "cpu.weight")

    def test_what_the_kernel_refuses(self):
        self.make("cgroup/m", V2)
        (self.whole / "vcpu0/cpu.weight").unlink()
        (self.whole / "vcpu0/cpu.weight").symlink_to("/dev/full")
        groups = self.process("0::/m/emulator\n", ("/", "cgroup", "cgroup2", "nsdelegate"))
        error = self.assertRaises(
            HypervisorError, cpu_time.write, groups, Part("vcpu_weight", 0), 7
        )
        self.assertEqual("Unable to write '7' to 'cpu.weight': No space left on device", str(error))
