# SPDX-License-Identifier: Apache-2.0
"""What becomes of the control groups of an instance whose memory moves; they are made of files."""

import os
import pathlib
import shutil

import fixtures

from kongming.hypervisor import pages, relocation
from kongming.hypervisor.cgroups import Groups
from kongming.hypervisor.kernel import Kernel
from kongming.tests import base
from kongming.topology.residency import Progress

UUID = "59f0f179-a1fb-4cf9-90a2-5937446018f1"
PARTS = {40: "emulator", 41: "vcpu0", 42: "vcpu1"}
GROUPS = "kongming.hypervisor.relocation.Groups"


class Carried(pages.Move):
    """Pages of which the first step moves all."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.before = {4: {0: 12}}
        self.undone = False

    def __next__(self) -> Progress:
        return Progress(12, 12, 0.1)

    def undo(self) -> None:
        self.undone = True


class UndoTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.proc = self.root / "proc"
        process = self.proc / "40"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/mountinfo").write_text(
            f"35 25 0:30 / {self.root}/cg rw - cgroup2 cgroup2 rw\n"
        )
        for tid, part in PARTS.items():
            (process / f"task/{tid}").mkdir(parents=True)
            (process / f"task/{tid}/cgroup").write_text(f"0::/vm/{part}\n")
            self.group(part).parent.mkdir(parents=True)
            self.group(part).write_text("0\n")
        (process / "cmdline").write_text(f"qemu\0-uuid\0{UUID}\0")
        (process / "status").write_text("Mems_allowed_list:\t0\n")
        (process / "stat").write_text(f"40 (qemu) S {' 0' * 18} 7 0\n")
        (process / "fd").mkdir()
        (self.proc / "1").mkdir()
        proc = str(self.proc)
        self.useFixture(fixtures.MonkeyPatch(GROUPS, lambda pid: Groups(pid, proc)))
        self.useFixture(fixtures.MonkeyPatch("kongming.hypervisor.pages.Move", Carried))
        for name in ("pinning", "movers"):
            path = f"kongming.hypervisor.obstacles.{name}"
            self.useFixture(fixtures.MonkeyPatch(path, lambda *args: []))
        kernel = Kernel(proc, os.sched_getaffinity, "6.18.0")
        self.move = relocation.Relocation(kernel, UUID, 0b10, {})
        next(self.move)

    def group(self, part: str) -> pathlib.Path:
        return self.root / f"cg/vm/{part}/cpuset.mems"

    def nodes(self) -> dict[str, str]:
        """Return from which nodes each part may take memory."""
        there = (part for part in PARTS.values() if self.group(part).exists())
        return {part: self.group(part).read_text().strip() for part in there}

    def test_limits_are_as_before(self) -> None:
        self.assertEqual(dict.fromkeys(PARTS.values(), "0-1"), self.nodes())
        self.move.undo()
        self.assertTrue(self.move._move.undone)  # type: ignore[attr-defined]
        self.assertEqual(dict.fromkeys(PARTS.values(), "0"), self.nodes())

    def test_vcpu_that_was_unplugged_meanwhile(self) -> None:
        shutil.rmtree(self.proc / "40/task/42")
        shutil.rmtree(self.group("vcpu1").parent)
        self.move.undo()
        self.assertTrue(self.move._move.undone)  # type: ignore[attr-defined]
        self.assertEqual({"emulator": "0", "vcpu0": "0"}, self.nodes())
