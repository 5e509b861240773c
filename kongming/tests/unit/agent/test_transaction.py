# SPDX-License-Identifier: Apache-2.0
"""An instance is brought to a placement wholly or not at all."""

from kongming.agent.transaction import NotApplied, NotRestored
from kongming.hypervisor.driver import HypervisorError, InstanceGone, Scope
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import FULL, IOTHREAD_1, NOVA, OFF, VCPU_0, VCPU_1, VNF
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

STEPS = 2 * len(FULL)
NOVAS = Placement({VCPU_0: 1 << 4, VCPU_1: 1 << 5, EMULATOR: 1})


class Troubled(base.CountingDriver):
    """A driver to whose host something happens right after its n-th write."""

    def happen(self) -> None:
        """Make it happen."""

    after_write = 0

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        super().write_part(uuid, scope, part, mask)
        if len(self.writes) == self.after_write:
            self.happen()


class Stopping(Troubled):
    """The instance stops."""

    def happen(self) -> None:
        self._fleet.stop(VNF)


class Disobeyed(Troubled):
    """The kernel does otherwise."""

    def happen(self) -> None:
        self._fleet.tamper(VNF, VCPU_1, 1 << 9, event=False)


class Lost(Troubled):
    """The daemon does not answer any more."""

    gone = False

    def happen(self) -> None:
        self.gone = True

    def _answer(self) -> None:
        if self.gone:
            raise HypervisorError("the daemon does not answer")

    def read(self, uuid: str, scope: Scope) -> Placement:
        self._answer()
        return super().read(uuid, scope)

    def unpinned(self, uuid: str) -> Placement:
        self._answer()
        return super().unpinned(uuid)

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        self._answer()
        super().write_part(uuid, scope, part, mask)


class Transient(base.CountingDriver):
    """Its instances have no definition that would outlive them."""

    def scopes(self, uuid: str) -> list[Scope]:
        return super().scopes(uuid)[:1]


class TransactionTestCase(base.AgentTestCase):
    def carry_out(self, target: Placement = FULL, uuid: str = VNF) -> None:
        base.carry_out(self.driver, uuid, target)


class CarryOutTest(TransactionTestCase):
    def test_every_part_live_and_in_the_definition(self) -> None:
        self.carry_out()
        self.assertEqual((FULL, FULL), self.both())
        self.assertEqual(STEPS, len(self.driver.writes))

    def test_survives_a_restart(self) -> None:
        self.carry_out()
        self.fleet.stop(VNF)
        self.fleet.start(VNF)
        self.assertEqual(FULL, self.live())

    def test_other_parts_are_left_alone(self) -> None:
        before = self.live()
        self.carry_out(Placement({VCPU_1: 1 << 3}))
        expected = Placement(before | {VCPU_1: 1 << 3})
        self.assertEqual((expected, expected), self.both())
        self.assertEqual(
            [(Scope.LIVE, VCPU_1, 1 << 3), (Scope.PERSISTENT, VCPU_1, 1 << 3)], self.driver.writes
        )

    def test_what_is_in_place_is_not_written(self) -> None:
        self.carry_out()
        self.fleet.tamper(VNF, EMULATOR, 1 << 9)
        self.driver.writes.clear()
        self.carry_out()
        self.assertEqual([(Scope.LIVE, EMULATOR, FULL[EMULATOR])], self.driver.writes)
        self.driver.writes.clear()
        self.carry_out()
        self.assertEqual([], self.driver.writes)

    def test_transient_instance(self) -> None:
        self.driver = Transient(self.fleet, "one")
        self.carry_out()
        self.assertEqual(FULL, self.live())
        self.assertEqual({Scope.LIVE}, {scope for scope, _, _ in self.driver.writes})

    def test_instance_that_does_not_run(self) -> None:
        for uuid in (OFF, "99999999-9999-4999-8999-999999999999"):
            self.assertRaises(InstanceGone, self.carry_out, uuid=uuid)


class UndoTest(TransactionTestCase):
    def test_any_step_may_fail(self) -> None:
        before, definition = self.both(), self.driver.read(VNF, Scope.PERSISTENT)
        self.assertEqual({}, definition)
        for step in range(1, STEPS + 1):
            self.fleet.fail_next(VNF, step, f"Invalid argument in step {step}")
            error = self.assertRaises(NotApplied, self.carry_out)
            self.assertNotIsInstance(error, NotRestored)
            part = list(FULL)[(step - 1) % len(FULL)]
            self.assertEqual(f"{part}: Invalid argument in step {step}", str(error))
            self.assertEqual(before, self.both(), f"step {step}")
        self.carry_out()
        self.assertEqual((FULL, FULL), self.both())

    def test_any_step_from_one_placement_to_another_may_fail(self) -> None:
        self.carry_out()
        other = Placement({part: mask << 1 if part != MEMORY else 1 for part, mask in FULL.items()})
        for step in range(1, STEPS + 1):
            self.fleet.fail_next(VNF, step, "Invalid argument")
            self.assertRaises(NotApplied, self.carry_out, other)
            self.assertEqual((FULL, FULL), self.both(), f"step {step}")

    def test_what_nova_gave_comes_back(self) -> None:
        before, definition = self.both(NOVA), self.driver.read(NOVA, Scope.PERSISTENT)
        self.assertEqual(3, len(definition))
        for step in range(1, 2 * len(NOVAS) + 1):
            self.fleet.fail_next(NOVA, step, "Invalid argument")
            self.assertRaises(NotApplied, self.carry_out, NOVAS, NOVA)
            self.assertEqual(before, self.both(NOVA))
            self.assertEqual(definition, self.driver.read(NOVA, Scope.PERSISTENT))

    def test_refused_by_the_host(self) -> None:
        before = self.both()
        for refused, reason in (
            (Placement({VCPU_1: 1 << 15}), "vCPU 1: Unable to write '15' to cpuset.cpus"),
            (Placement({EMULATOR: 1 << 16}), "emulator: Unable to write '16'"),
            (Placement({MEMORY: 0b100}), "unsupported configuration: NUMA node 2"),
            (Placement({Part("vcpu", 2): 1}), "vCPU 2"),
            (Placement({Part("iothread", 9): 1}), "I/O thread 9"),
        ):
            error = self.assertRaises(NotApplied, self.carry_out, Placement(FULL | refused))
            self.assertNotIsInstance(error, NotRestored)
            self.assertIn(reason, str(error))
            self.assertEqual(before, self.both(), reason)

    def test_kernel_disagrees(self) -> None:
        before = self.both()
        for step in (3, STEPS):
            self.driver = Disobeyed(self.fleet, "one")
            self.driver.after_write = step
            error = self.assertRaises(NotApplied, self.carry_out)
            self.assertNotIsInstance(error, NotRestored)
            self.assertEqual(
                "the kernel disagrees: vCPU 1 is on 9 instead of 5", str(error), f"step {step}"
            )
            self.assertEqual(before, self.both())

    def test_undoing_fails(self) -> None:
        before = self.live()
        self.fleet.fail_next(VNF, 4, "out of luck")
        # undone are steps 3, 2, 1; of these the second
        self.fleet.fail_next(VNF, 4 + 2, "Device or resource busy")
        error = self.assertRaises(NotRestored, self.carry_out)
        second = list(FULL)[1]
        self.assertIn("out of luck", str(error))
        self.assertIn(f"could not be undone: {second}: Device or resource busy (live)", str(error))
        self.assertEqual(Placement(before | {second: FULL[second]}), self.live())

    def test_undoing_fails_in_the_definition_alone(self) -> None:
        before = self.both()
        self.fleet.fail_next(VNF, STEPS, "out of luck")
        self.fleet.fail_next(VNF, STEPS + 1, "Device or resource busy")
        error = self.assertRaises(NotRestored, self.carry_out)
        part = list(FULL)[-2]
        self.assertIn(f"{part}: Device or resource busy (persistent)", str(error))
        self.assertEqual(before[0], self.live())
        self.assertEqual(FULL[part], self.driver.read(VNF, Scope.PERSISTENT)[part])

    def test_kernel_disagrees_with_the_undoing(self) -> None:
        self.fleet.fail_next(VNF, 3, "out of luck")
        self.driver = Disobeyed(self.fleet, "one")
        self.driver.after_write = 4  # undone was 2
        self.assertEqual(VCPU_1, list(FULL)[1])
        error = self.assertRaises(NotRestored, self.carry_out)
        self.assertIn("could not be undone: vCPU 1: the kernel disagrees (live)", str(error))

    def test_nobody_answers_when_it_is_to_be_undone(self) -> None:
        for step in range(1, STEPS):
            driver = self.driver = Lost(self.fleet, "one")
            driver.after_write = step
            error = self.assertRaises(NotRestored, self.carry_out)
            self.assertIn("could not be undone: the daemon does not answer", str(error))
            driver.gone = False
            for part in FULL:
                for scope in Scope:
                    driver.write_part(VNF, scope, part, driver.unpinned(VNF)[part])

    def test_nobody_answers_before_the_first_step(self) -> None:
        self.driver = Lost(self.fleet, "one")
        self.driver.gone = True
        error = self.assertRaises(HypervisorError, self.carry_out)
        self.assertEqual("the daemon does not answer", str(error))


class StopTest(TransactionTestCase):
    def test_while_it_is_placed(self) -> None:
        for step in range(1, STEPS + 1):
            self.driver = Stopping(self.fleet, "one")
            self.driver.after_write = step
            self.assertRaises(InstanceGone, self.carry_out)
            self.fleet.hard_reboot(VNF)

    def test_while_it_is_undone(self) -> None:
        for step in range(4, 6):
            self.fleet.fail_next(VNF, 3, "out of luck")
            self.driver = Stopping(self.fleet, "one")
            self.driver.after_write = step
            self.assertRaises(InstanceGone, self.carry_out)
            self.fleet.hard_reboot(VNF)

    def test_iothread_is_a_part_too(self) -> None:
        self.carry_out(Placement({IOTHREAD_1: 1}))
        self.assertEqual(1, self.live()[IOTHREAD_1])
