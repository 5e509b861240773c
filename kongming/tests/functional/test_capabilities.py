# SPDX-License-Identifier: Apache-2.0
"""Which capability an agent that is not root needs for what."""

import json
import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Collection

import fixtures

from kongming.tests import base
from kongming.tests.functional.fixtures.confined import NEEDED, confined
from kongming.tests.functional.programs import touch

# Like QEMU: somebody else's, with its uuid among the arguments and a thread for a vCPU.
QEMU = """
import ctypes, threading, time
def vcpu():
    ctypes.CDLL(None).prctl(15, b"CPU 0/TCG")
    print(flush=True)
    time.sleep(600)
threading.Thread(target=vcpu, daemon=True).start()
time.sleep(600)
"""
#: What is refused without each.
WITHOUT = {
    "sys_ptrace": {"memory", "pages", "move", "obstacles", "vhost"},
    "sys_nice": {"confine", "move"},
    "dac_override": {"obstacles", "vhost", "tune"},
}


class CapabilitiesTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.uuid = str(uuid.uuid4())
        command = [sys.executable, "-c", QEMU, "-uuid", self.uuid]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.process.stdout.readline()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.directory.chmod(0o755)
        # what belongs to root as a control group does
        (self.directory / "cpu.shares").write_text("1024")

    def refused(self, capabilities: Collection[str]) -> dict[str, str]:
        """Return what is refused to a user with some capabilities, and the words for it."""
        for tid in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(tid), os.sched_getaffinity(0))
        program = [sys.executable, touch.__file__, self.uuid, str(self.process.pid)]
        program += [str(self.directory), str(1 << min(os.sched_getaffinity(0)))]
        aside = self.directory / "-".join(["aside", *capabilities])
        ran = subprocess.run(
            confined(aside, capabilities, program), capture_output=True, text=True, check=False
        )
        self.assertEqual(0, ran.returncode, ran.stderr)
        answer: dict[str, str] = json.loads(ran.stdout)
        return answer

    def test_enough(self) -> None:
        self.assertEqual({}, self.refused(NEEDED))

    def test_none_can_be_left_out(self) -> None:
        self.assertEqual(set(NEEDED), set(WITHOUT))
        for missing, expected in WITHOUT.items():
            refused = self.refused([name for name in NEEDED if name != missing])
            self.assertEqual(expected, set(refused), f"without {missing}")
        self.assertEqual({"places", "counts"}, self.all() - set(self.refused(())))

    def all(self) -> set[str]:
        """Return everything that is tried."""
        return {"places", "counts"}.union(*WITHOUT.values())

    def test_words(self) -> None:
        memory = self.refused(["sys_nice"])["memory"]
        for word in (self.uuid, "numa_maps", "CAP_SYS_PTRACE"):
            self.assertIn(word, memory)
