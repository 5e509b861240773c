# SPDX-License-Identifier: Apache-2.0
"""What a simulated host counts follows from its pins and its clock."""

import datetime

from kongming.hypervisor import fleet, simulated
from kongming.tests import base
from kongming.tests.unit.agent.base import FLEET, NOVA, OFF, VNF
from kongming.topology.counted import vcpu_seconds
from kongming.topology.placement import EMULATOR, MEMORY, Part
from kongming.topology.telling import told
from kongming.topology.usage import Conflict, InstanceUsage, Usage, VcpuUsage

NOW = datetime.datetime(2026, 2, 28, tzinfo=datetime.UTC)


class CountedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 50.0
        self.fleet = simulated.Fleet(fleet.parse(FLEET), lambda: self.now)
        self.driver = simulated.SimulatedDriver(self.fleet, "one")
        self.addCleanup(self.driver.close)
        self.before = self.driver.sample()

    def look(self, seconds: float = 10) -> Usage:
        self.now += seconds
        before, self.before = self.before, self.driver.sample()
        return told(self.driver.host(), before, self.before, NOW)

    def pin(self, uuid: str, *cpus: int) -> None:
        for number, cpu in enumerate(cpus):
            self.fleet.tamper(uuid, Part("vcpu", number), 1 << cpu)

    def test_alone(self) -> None:
        self.pin(VNF, 4, 5)
        usage = self.look()
        self.assertEqual(VcpuUsage(6.0, 0.0, 60.0, 0.0), usage.instances[VNF].vcpus[0])
        busy = {cpu: load.busy_percent for cpu, load in usage.cpus.items() if load.busy_percent}
        self.assertEqual({4: 60.0, 5: 60.0, 6: 60.0, 7: 60.0}, busy)
        self.assertEqual(set(range(15)), set(usage.cpus))

    def test_two_on_one(self) -> None:
        self.pin(VNF, 6, 5)
        usage = self.look()
        for uuid in (VNF, NOVA):
            self.assertEqual(VcpuUsage(5.0, 1.0, 50.0, 10.0), usage.instances[uuid].vcpus[0])
        self.assertEqual(100.0, usage.cpus[6].busy_percent)
        self.assertIn(Conflict("pinned", 1 << 6, (VNF, NOVA)), usage.conflicts)
        self.pin(VNF, 4, 5)
        usage = self.look()
        self.assertEqual(VcpuUsage(11.0, 1.0, 60.0, 0.0), usage.instances[VNF].vcpus[0])
        self.assertEqual({"shared"}, {conflict.kind for conflict in usage.conflicts})

    def test_who_floats_uses_all_alike(self) -> None:
        usage = self.look()
        # 2 vCPUs, on 15 pCPUs, of which Nova's two others are at 0.6
        self.assertEqual(60.0, usage.instances[VNF].vcpus[1].run_percent)
        self.assertEqual(8.0, usage.cpus[0].busy_percent)

    def test_threads(self) -> None:
        self.fleet.tamper(VNF, EMULATOR, 0b110)
        usage = self.look()
        threads = usage.instances[VNF].threads
        self.assertEqual(4, len({thread.tid for thread in threads}))
        self.assertEqual(
            {"CPU 0/KVM", "CPU 1/KVM", "IO iothread1", "qemu-system-x86"},
            {thread.name for thread in threads},
        )
        (emulator,) = (thread for thread in threads if thread.part == EMULATOR)
        self.assertEqual((0b110, 1, 0.0), (emulator.cpus, emulator.last_cpu, emulator.run_seconds))

    def test_memory(self) -> None:
        self.pin(VNF, 4, 5)  # of node 1
        usage = self.look()
        self.assertEqual(({4: {0: 2048}}, 0.0), memory(usage.instances[VNF]))
        self.fleet.tamper(VNF, MEMORY, 0b10)
        usage = self.look()
        self.assertEqual(({4: {1: 2048}}, 100.0), memory(usage.instances[VNF]))

    def test_who_does_not_run(self) -> None:
        self.look()
        self.fleet._instances[NOVA].state = "paused"
        usage = self.look()
        self.assertNotIn(OFF, usage.instances)
        self.assertEqual(VcpuUsage(6.0, 0.0, 0.0, 0.0), usage.instances[NOVA].vcpus[0])
        self.fleet.stop(NOVA)
        self.assertNotIn(NOVA, self.look().instances)
        self.fleet.start(NOVA)
        self.look()
        self.assertEqual((6.0, 0.0), vcpu_seconds(self.before.threads[NOVA])[0])


def memory(usage: InstanceUsage) -> tuple[object, float | None]:
    return usage.memory, usage.locality_percent
