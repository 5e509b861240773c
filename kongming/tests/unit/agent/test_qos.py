# SPDX-License-Identifier: Apache-2.0
"""CPU time is given, corrected and taken back like a place."""

from typing import Any

import fixtures

from kongming import objects
from kongming.agent.store import Store
from kongming.agent.transaction import NotApplied, NotRestored
from kongming.hypervisor.driver import HypervisorError, Scope
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import VCPU_0, VNF, carry_out, pin, reconciler
from kongming.topology import qos
from kongming.topology.part import SHARES, Part
from kongming.topology.placement import Placement

QUOTA_0, GLOBAL = Part("vcpu_quota", 0), Part("global_quota")


def numbers(**data: Any) -> Placement:
    """Return the placement that a wish of qos alone becomes for VNF."""
    return Placement(qos.parse("qos", data).parts(2, [1]))


LOW = numbers(
    cpu_shares=512,
    global_quota=50000,
    vcpu_quota=40000,
    emulator_quota=30000,
    iothread_quota=20000,
    vcpus={"1": {"weight": 500, "quota": 10000}},
)
HIGH = numbers(
    cpu_shares=2048,
    global_quota=200000,
    vcpu_quota=180000,
    emulator_quota=190000,
    iothread_quota=170000,
    vcpus={"1": {"weight": 1, "quota": 150000}},
)


class QosTestCase(base.AgentTestCase):
    def carry_out(self, target: Placement) -> None:
        """Bring VNF to some numbers, and insist that the kernel has them."""
        carry_out(self.driver, VNF, target)
        self.assertEqual([], target.differences(self.live()))

    def state(self) -> tuple[Placement, Placement]:
        """Return what is live and what the definition says, with defaults left out."""
        definition = self.driver.read(VNF, Scope.PERSISTENT)
        entries = ((part, value) for part, value in definition.items() if value != part.default)
        return self.live(), Placement(entries)


class TransactionTest(QosTestCase):
    def test_up_and_down(self) -> None:
        for target in (LOW, HIGH, LOW, HIGH):
            self.carry_out(target)
        definition = self.driver.read(VNF, Scope.PERSISTENT)
        self.assertEqual(
            {part: value for part, value in HIGH.items() if not part.is_live_only}, definition
        )

    def test_the_simulated_kernel_insists_on_the_order(self) -> None:
        self.carry_out(LOW)
        for changes, file in (
            (Placement({QUOTA_0: 50001}), "50001' for 'cpu.cfs_quota_us'"),
            (Placement({GLOBAL: 39999}), "39999' for 'cpu.cfs_quota_us'"),
            (Placement({Part("emulator_period"): 59999}), "59999' for 'cpu.cfs_period_us'"),
        ):
            error = self.assertRaises(HypervisorError, self.driver.write, VNF, Scope.LIVE, changes)
            self.assertIn(f"Invalid value '{file}: Invalid argument", str(error))
        self.assertEqual([], LOW.differences(self.live()))

    def test_any_step_up_or_down_may_fail(self) -> None:
        for before, after in ((LOW, HIGH), (HIGH, LOW)):
            self.carry_out(before)
            state = self.state()
            self.driver.writes.clear()
            self.carry_out(after)
            steps = len(self.driver.writes)
            self.carry_out(before)
            for step in range(1, steps + 1):
                self.fleet.fail_next(VNF, step, "Invalid argument")
                error = self.assertRaises(NotApplied, self.carry_out, after)
                self.assertNotIsInstance(error, NotRestored, str(error))
                self.assertEqual(state, self.state(), f"step {step}")

    def test_the_kernel_disagrees(self) -> None:
        class Disobeyed(base.CountingDriver):
            def read(self, uuid: str, scope: Scope) -> Placement:
                read = super().read(uuid, scope)
                if scope is Scope.LIVE and QUOTA_0 in read and SHARES in read:
                    read[QUOTA_0] += 1
                return read

        self.driver = Disobeyed(self.fleet, "one")
        error = self.assertRaises(NotApplied, self.carry_out, LOW)
        self.assertIn("vCPU 0's quota is 40001 µs instead of 40000 µs", str(error))

    def test_no_definition_has_one_for_each_vcpu(self) -> None:
        error = self.assertRaises(
            HypervisorError,
            self.driver.write,
            VNF,
            Scope.PERSISTENT,
            Placement({QUOTA_0: 5000}),
        )
        self.assertIn("vCPU 0's quota: ", str(error))


class ReconcilerTest(QosTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = Store(str(self.useFixture(fixtures.TempDir()).path), "one")
        self.reconciler = reconciler(self.driver, self.store)

    def bring(self, wanted: Placement | None, generation: int = 1) -> list[tuple[str, str]]:
        """Hold a pin, and bring VNF there."""
        self.store.replace([pin(VNF, wanted, generation)])
        return [(out.result, out.reason) for out in self.reconciler.bring(VNF, True).outcomes]

    def test_released(self) -> None:
        before = self.state()
        self.assertEqual([("applied", None)], self.bring(LOW))
        self.assertEqual([(objects.report.RELEASED, None)], self.bring(None, 2))
        self.assertEqual(before, self.state())

    def test_what_the_definition_said_comes_back(self) -> None:
        given = Placement({SHARES: 3000, GLOBAL: 300000})
        for scope in Scope:
            self.driver.write(VNF, scope, given)
        before = self.state()
        self.assertEqual([("applied", None)], self.bring(LOW))
        self.assertEqual([("applied", None)], self.bring(Placement({VCPU_0: 1}), 2))
        self.assertEqual([], given.differences(self.live()))
        self.assertEqual([(objects.report.RELEASED, None)], self.bring(None, 3))
        self.assertEqual(before[0], self.state()[0])

    def test_what_came_along_is_not_somebody_elses(self) -> None:
        # the file is lost, or the instance has migrated with KongMing's own entries
        for scope in Scope:
            self.driver.write(VNF, scope, Placement({SHARES: 512, GLOBAL: 60000}))
        self.store.replace([pin(VNF, LOW, 1, in_force=Placement({GLOBAL: 60000}))])
        self.reconciler.bring(VNF, True)
        self.assertEqual([(objects.report.RELEASED, None)], self.bring(None, 2))
        live = self.live()
        self.assertEqual({}, {part: value for part, value in live.items() if part.is_number})

    def test_started_again(self) -> None:
        self.bring(LOW)
        self.fleet.stop(VNF)
        self.fleet.start(VNF)
        self.assertEqual(512, self.live()[SHARES])
        [(result, reason), applied] = self.bring(LOW)
        self.assertEqual("drifted", result)
        self.assertIn("vCPU 0's quota is unlimited instead of 40000 µs", reason)
        self.assertNotIn("cpu_shares", reason)
        self.assertEqual(("applied", None), applied)
        self.assertEqual([], LOW.differences(self.live()))

    def test_numbers_are_no_pcpus_outside_of_the_managed(self) -> None:
        self.reconciler = reconciler(self.driver, self.store, 0b11)
        self.assertEqual([("applied", None)], self.bring(LOW))

    def test_written_past_libvirt(self) -> None:
        self.bring(LOW)
        self.fleet.tamper(VNF, QUOTA_0, 1000, event=False)
        drift = "vCPU 0's quota is 1000 µs instead of 40000 µs"
        self.assertEqual([("drifted", drift), ("applied", None)], self.bring(LOW))

    def test_migrated(self) -> None:
        self.bring(LOW)
        self.fleet.migrate(VNF, "two")
        there = base.CountingDriver(self.fleet, "two").read(VNF, Scope.LIVE)
        self.assertEqual(512, there[SHARES])
        self.assertNotIn(QUOTA_0, there)
