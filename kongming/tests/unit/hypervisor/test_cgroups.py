# SPDX-License-Identifier: Apache-2.0
"""Control groups as systemd and libvirt lay them out, made of files."""

import pathlib

import fixtures
import testtools

from kongming.hypervisor.cgroups import GroupError, Groups
from kongming.topology.placement import EMULATOR, Part

SCOPE = "/machine.slice/machine-qemu\\x2d7\\x2dinstance\\x2d00000007.scope"
PARTS = {40: "emulator", 41: "vcpu0", 42: "vcpu11", 43: "iothread1", 44: "emulator"}


class GroupsTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def machine(self, mountinfo: str, cgroup: str, hierarchy: str) -> Groups:
        """Return the groups of a process: ``cgroup`` is what each of its threads is in."""
        proc = self.root / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "self/mountinfo").write_text(mountinfo.format(root=self.root))
        for tid, part in PARTS.items():
            (proc / f"40/task/{tid}").mkdir(parents=True)
            (proc / f"40/task/{tid}/cgroup").write_text(cgroup.format(group=f"{SCOPE}/{part}"))
            group = pathlib.Path(f"{self.root}/{hierarchy}{SCOPE}/{part}")
            group.mkdir(parents=True, exist_ok=True)
            (group / "cpuset.mems").write_text("0-1\n")
        (proc / "40/task/45").mkdir()  # has just ended
        return Groups(40, str(proc))

    def unified(self) -> Groups:
        """Return the groups on a machine with version 2 alone."""
        return self.machine(
            "22 1 0:20 / {root}/fs rw - ext4 /dev/vda rw\n"
            "35 25 0:30 / {root}/cg rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::{group}\n",
            "cg",
        )

    def test_version_2(self) -> None:
        groups = self.unified()
        self.assertEqual(2, groups.version("cpuset"))
        self.assertEqual(
            [EMULATOR, Part("iothread", 1), Part("vcpu", 0), Part("vcpu", 11)],
            groups.parts("cpuset"),
        )
        self.assertEqual("0-1", groups.read(Part("vcpu", 11), "cpuset.mems"))
        groups.write(EMULATOR, "cpuset.mems", "")
        self.assertEqual("\n", (self.root / f"cg{SCOPE}/emulator/cpuset.mems").read_text())
        self.assertEqual("0-1", groups.read(Part("vcpu", 0), "cpuset.mems"))

    def test_mounts_that_change(self) -> None:
        self.assertEqual(2, self.unified().version("cpuset"))
        with (self.root / "proc/self/mountinfo").open("a") as file:
            file.write("38 25 0:34 / /cg/cpuset rw shared:13 - cgroup cgroup rw,cpuset\n")
        self.assertEqual(1, Groups(40, str(self.root / "proc")).version("cpuset"))

    def test_version_1(self) -> None:
        groups = self.machine(
            "30 25 0:26 / {root}/cg/unified rw shared:6 - cgroup2 cgroup2 rw\n"
            "36 25 0:32 / {root}/cg/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
            "38 25 0:34 / {root}/cg/cpuset rw shared:13 - cgroup cgroup rw,cpuset\n",
            "9:cpuset:{group}\n4:cpu,cpuacct:/elsewhere/vcpu3\n0::/unified/vcpu4\n",
            "cg/cpuset",
        )
        self.assertEqual((1, 1, 2), tuple(map(groups.version, ("cpuset", "cpu", "pids"))))
        self.assertEqual("0-1", groups.read(Part("iothread", 1), "cpuset.mems"))
        self.assertEqual([Part("vcpu", 3)], groups.parts("cpu"))
        self.assertEqual([Part("vcpu", 4)], groups.parts("pids"))

    def test_names_that_look_like_ends_of_lines(self) -> None:
        groups = self.machine(
            "22 1 0:20 / {root}/a\u2028user's\x0bown rw - fuse sshfs rw\n"
            "35 25 0:30 / {root}/cg rw - cgroup2 cgroup2 rw\n",
            "0::{group}\n1:name=of\u2028somebody:/\x0b\n",
            "cg",
        )
        self.assertEqual("0-1", groups.read(EMULATOR, "cpuset.mems"))

    def test_the_hierarchy_of_a_container(self) -> None:
        groups = self.machine(
            "35 25 0:30 /machine.slice {root}/cg/machine.slice rw - cgroup2 cgroup2 rw\n",
            "0::{group}\n",
            "cg",
        )
        self.assertEqual("0-1", groups.read(EMULATOR, "cpuset.mems"))

    def test_a_part_without_a_group(self) -> None:
        groups = self.unified()
        for part, file in ((Part("vcpu", 1), "cpuset.mems"), (EMULATOR, "cpu.max")):
            error = self.assertRaises(GroupError, groups.read, part, file)
            self.assertIn(f"{file} for {part}", str(error))
