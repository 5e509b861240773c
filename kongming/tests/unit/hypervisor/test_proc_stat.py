# SPDX-License-Identifier: Apache-2.0
"""Files of Linux, as they are in a kernel's /proc."""

import pathlib
import threading
import time

import fixtures

from kongming.hypervisor import proc_stat
from kongming.tests import base
from kongming.topology.counted import CpuTime

STAT = """\
cpu  2010 198 443 2090 91 3 140 17 30 4
cpu0 1000 100 200 1000 41 1 40 7 30 4
cpu12 1010 98 243 1090 50 2 100 10 0 0
intr 12 3
ctxt 45
"""
THREAD = (
    "41 (CPU 0/KVM (x) 1) S 1 40 40 0 -1 4210752 137 0 0 0 12 3 0 0 20 0 6 0 8814 9 5 "
    "18446744073709551615 1 1 0 0 0 0 0 4096 17642 0 0 0 -1 7 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


class FormatTest(base.TestCase):
    def test_time_of_each_pcpu(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.hypervisor.proc_stat._TICKS", 100))
        self.assertEqual(
            {0: CpuTime(13.41, 0.41, 0.07, 10.0), 12: CpuTime(14.53, 0.5, 0.1, 10.9)},
            {
                cpu: CpuTime(round(each.busy, 2), each.iowait, each.steal, each.idle)
                for cpu, each in proc_stat.cpu_times(STAT).items()
            },
        )

    def test_thread(self) -> None:
        self.assertEqual(("CPU 0/KVM (x) 1", 7), proc_stat.name_and_cpu(THREAD))
        self.assertEqual((1.5, 0.25), proc_stat.run_and_wait("1500000000 250000000 99\n"))


class OwnKernelTest(base.TestCase):
    def test_a_busy_thread_of_this_process(self) -> None:
        task = pathlib.Path(f"/proc/self/task/{threading.get_native_id()}")
        before = proc_stat.run_and_wait((task / "schedstat").read_text())
        begun = time.thread_time()
        while time.thread_time() < begun + 0.1:
            pass
        after = proc_stat.run_and_wait((task / "schedstat").read_text())
        self.assertTrue(0.09 <= after[0] - before[0] <= 1, (before, after))
        _, cpu = proc_stat.name_and_cpu((task / "stat").read_text())
        self.assertIn(cpu, proc_stat.cpu_times(pathlib.Path("/proc/stat").read_text()))
