# SPDX-License-Identifier: Apache-2.0
"""Running instances are made to match the placements that the agent holds."""

import dataclasses
from collections.abc import Collection
from typing import Any

import fixtures

from kongming import objects
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.reconciler import Reconciler
from kongming.agent.store import Held, Store
from kongming.hypervisor.driver import Event, HypervisorError, NotNow, Scope
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import (
    FULL,
    NOVA,
    OFF,
    VCPU_0,
    VCPU_1,
    VNF,
    CountingDriver,
    pin,
    placement,
)
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.wish import Wish

SMALL = Placement({VCPU_0: 1 << 6})
RULES = Rules(threshold=3, longest=200)


class Crash(Exception):
    """The agent is killed."""


class Crashing(CountingDriver):
    """Its agent is killed when it is about to make its n-th write."""

    crash_at = 0

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        if len(self.writes) + 1 == self.crash_at:
            raise Crash
        super().write_part(uuid, scope, part, mask)


class Stopping(CountingDriver):
    """The instance stops once two parts are in its definition."""

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        super().write_part(uuid, scope, part, mask)
        if len(self.writes) == len(FULL) + 2:
            self._fleet.stop(uuid)


class ReconcilerTestCase(base.AgentTestCase):
    limits = Limits(None, {})

    def setUp(self) -> None:
        super().setUp()
        self.now = 1000.0
        self.restart()

    def restart(self, host: str = "one", directory: str = "state") -> None:
        """Begin anew, as after a restart of the agent, with its file or another's."""
        self.store = Store(str(self.directory / directory), host)
        self.moving: list[objects.Moving] = []
        self.reconciler = Reconciler(
            self.driver,
            self.store,
            self.limits,
            RULES,
            self.moving.append,
            lambda moving: False,
            lambda: self.now,
        )

    def hold(self, *pins: objects.Pin) -> None:
        self.store.replace(pins)

    def bring(
        self, uuid: str = VNF, retry: bool = False, events: Collection[Event] = ()
    ) -> list[tuple[Any, ...]]:
        self.done = self.reconciler.bring(uuid, retry, events)
        return [
            (outcome.result, outcome.reason, outcome.generation, outcome.in_force)
            for outcome in self.done.outcomes
        ]

    def causes(self, *args: Any, **options: Any) -> list[tuple[str, str | None]]:
        """Bring it, and tell what happened and why."""
        self.bring(*args, **options)
        return [(outcome.result, outcome.cause) for outcome in self.done.outcomes]

    def held(self, uuid: str = VNF) -> Held:
        held = self.store.get(uuid)
        assert held is not None
        return held

    def applied(self, wanted: Placement = FULL, uuid: str = VNF, generation: int = 1) -> None:
        """Hold a pin and see it applied."""
        self.hold(pin(uuid, wanted, generation))
        self.assertEqual([("applied", None, generation, wanted)], self.bring(uuid))
        self.assertEqual([], wanted.differences(self.live(uuid)))
        self.driver.writes.clear()


class OffTest(ReconcilerTestCase):
    def test_sweep_looks_for_no_process(self) -> None:
        self.hold(pin(OFF, SMALL))
        asked: list[str] = []
        self.useFixture(
            fixtures.MonkeyPatch(
                "kongming.tests.unit.agent.base.CountingDriver.process",
                lambda driver, uuid: asked.append(uuid),
            )
        )
        self.assertEqual([], self.bring(OFF, retry=True))
        self.assertEqual([], asked)


class FullDiskTest(ReconcilerTestCase):
    """What cannot be written down in advance is not carried out."""

    def test_until_there_is_room(self) -> None:
        self.hold(pin())
        before = self.both()
        state = self.directory / "state"
        state.rename(self.directory / "elsewhere")
        ((result, reason, *_),) = self.bring()
        self.assertEqual("failed", result)
        self.assertIn("its placements cannot be kept in", reason)
        self.assertEqual(before, self.both())
        self.assertNotIn("Traceback", self.log.output)
        (self.directory / "elsewhere").rename(state)
        self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=True))


class ApplyTest(ReconcilerTestCase):
    def test_apply(self) -> None:
        self.hold(pin(generation=3))
        self.assertEqual([("applied", None, 3, FULL)], self.bring())
        self.assertEqual((FULL, FULL), self.both())
        self.assertEqual((FULL, Placement()), (self.held().in_force, self.held().given))

    def test_nothing_is_held(self) -> None:
        self.assertEqual([], self.bring())
        self.assertEqual([], self.driver.writes)

    def test_again_without_a_change(self) -> None:
        self.applied()
        for retry in (False, True):
            self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=retry))
        self.assertEqual([], self.driver.writes)

    def test_wish_for_nothing(self) -> None:
        self.applied(Placement())
        self.assertEqual((Placement(), Placement()), (self.held().in_force, self.held().given))

    def test_next_wish(self) -> None:
        self.applied(SMALL)
        self.applied(Placement({VCPU_0: 1 << 3}), generation=2)

    def test_same_placement_of_a_next_wish(self) -> None:
        self.applied()
        self.hold(pin(generation=2))
        self.assertEqual([("applied", None, 2, FULL)], self.bring())
        self.assertEqual([], self.driver.writes)

    def test_after_a_restart_of_the_agent(self) -> None:
        self.applied()
        self.restart()
        self.assertEqual([("applied", None, 1, FULL)], self.bring())
        self.assertEqual([], self.driver.writes)

    def test_lost_definition_after_a_restart_of_the_agent(self) -> None:
        self.applied()
        self.driver.write(VNF, Scope.PERSISTENT, Placement({VCPU_0: 1}))
        self.restart()
        self.assertEqual([("applied", None, 1, FULL)], self.bring())
        self.assertEqual((FULL, FULL), self.both())


class ManagedTest(ReconcilerTestCase):
    limits = Limits(~0b11, {})

    def test_nothing_is_put_elsewhere(self) -> None:
        before = self.both()
        self.hold(pin())
        reason = "emulator: pCPU 0-1 is not among [agent] managed_cpus"
        self.assertEqual([("failed", reason, 1, None)], self.bring())
        self.assertEqual(before, self.both())

    def test_what_is_in_place_stays_and_is_released(self) -> None:
        self.limits = Limits(None, {})
        self.restart()
        before = self.live()
        self.applied()
        self.limits = type(self).limits
        self.restart()
        self.assertEqual([("applied", None, 1, FULL)], self.bring())
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        results = [result for result, *_ in self.bring()]
        self.assertEqual(["drifted", "applied"], results)
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual("released", self.bring()[-1][0])
        self.assertEqual(before, self.live())


class DriftTest(ReconcilerTestCase):
    def test_put_back_and_told(self) -> None:
        self.applied()
        # with and without an event: who calls is not asked how he knows
        for event in (True, False):
            self.fleet.tamper(VNF, VCPU_0, 1 << 9, event=event)
            self.assertEqual(
                [
                    ("drifted", "vCPU 0 is on 9 instead of 4", 1, FULL),
                    ("applied", None, 1, FULL),
                ],
                self.bring(),
            )
            self.assertEqual([(Scope.LIVE, VCPU_0, 1 << 4)], self.driver.writes)
            self.assertEqual(FULL, self.live())
            self.driver.writes.clear()

    def test_all_that_moved_is_named(self) -> None:
        self.applied()
        self.fleet.tamper(VNF, VCPU_1, 1)
        self.fleet.tamper(VNF, MEMORY, 1)
        ((_, reason, _, _), _) = self.bring()
        self.assertEqual("vCPU 1 is on 0 instead of 5, memory is on 0 instead of 1", reason)

    def test_first_application_is_no_drift(self) -> None:
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.applied()

    def test_parts_without_a_wish_may_move(self) -> None:
        self.applied(SMALL)
        self.fleet.tamper(VNF, VCPU_1, 1 << 9)
        self.assertEqual([("applied", None, 1, SMALL)], self.bring())
        self.assertEqual([], self.driver.writes)

    def test_pin_that_comes_back_was_not_drifting(self) -> None:
        self.applied()
        self.hold()
        self.assertEqual([], self.bring())
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.applied()

    def test_that_cannot_be_put_back(self) -> None:
        self.applied()
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.fleet.fail_next(VNF, 1, "no luck")
        self.assertEqual([("failed", "vCPU 0: no luck", 1, FULL)], self.bring()[-1:])
        # a sweep tries again
        self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=True))


class CauseTest(ReconcilerTestCase):
    """Each drift is told with its likely cause."""

    def drift(self) -> str | None:
        """Bring the instance, which has drifted; return the cause."""
        (_, cause), *after = self.causes()
        self.assertEqual([("applied", None)], after)
        self.assertEqual(FULL, self.live())
        return cause

    def test_by_libvirt(self) -> None:
        self.applied()
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.fleet.tamper(VNF, MEMORY, 1)
        self.assertEqual("libvirt_client", self.drift())

    def test_behind_its_back(self) -> None:
        self.applied()
        self.fleet.tamper(VNF, VCPU_0, 1 << 9, event=False)
        self.fleet.tamper(VNF, VCPU_1, 1 << 8)
        self.assertEqual("outside_libvirt", self.drift())

    def test_all_widened(self) -> None:
        self.applied()
        for part in (VCPU_0, VCPU_1, EMULATOR):
            self.fleet.tamper(VNF, part, (1 << 15) - 1, event=False)
        self.assertEqual("systemd_reload", self.drift())

    def test_while_the_agent_was_away(self) -> None:
        self.applied()
        self.restart()
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.assertEqual("libvirt_client", self.drift())

    def test_pcpu_that_went_offline(self) -> None:
        self.applied(Placement({VCPU_0: 0b110000}))
        self.fleet.set_offline("one", 1 << 15 | 1 << 4)
        self.assertEqual([("drifted", "cpu_offline"), ("failed", None)], self.causes())
        self.fleet.set_offline("one", 1 << 15)
        self.assertEqual([("applied", None)], self.causes(retry=True))

    def test_vcpu_that_was_unplugged(self) -> None:
        self.applied()
        instance = self.fleet.running(VNF)
        instance.spec = dataclasses.replace(instance.spec, vcpus=1)
        del instance.live[VCPU_1]
        self.assertEqual([("drifted", "cpu_hotplug"), ("failed", None)], self.causes())

    def test_vcpu_that_was_plugged_in(self) -> None:
        self.applied(SMALL)
        instance = self.fleet.running(VNF)
        instance.spec = dataclasses.replace(instance.spec, vcpus=3)
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.assertEqual([("drifted", "cpu_hotplug"), ("applied", None)], self.causes())

    def test_migration(self) -> None:
        self.applied()
        self.fleet.migrate(VNF, "two")
        self.driver = CountingDriver(self.fleet, "two")
        self.restart(host="two")
        # it comes before the conductor knows
        self.assertEqual([], self.causes(events={Event.ARRIVED}))
        self.hold(pin(wanted=SMALL, in_force=FULL))
        self.assertEqual([("applied", "migration")], self.causes())
        self.fleet.hard_reboot(VNF)
        self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())

    def test_migration_away_and_back(self) -> None:
        self.applied()
        self.fleet.migrate(VNF, "two")
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.fleet.migrate(VNF, "one")
        self.assertEqual(
            [("drifted", "migration"), ("applied", None)],
            self.causes(events={Event.STOPPED, Event.ARRIVED}),
        )


class EnforceTest(ReconcilerTestCase):
    """A wish may leave drifts as they are."""

    def setUp(self) -> None:
        super().setUp()
        told = pin()
        told.wish = Wish(enforce=False)
        self.hold(told)
        self.assertEqual([("applied", None)], self.causes())
        self.driver.writes.clear()

    def test_told_and_left(self) -> None:
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        for retry in (False, True):
            self.assertEqual([("drifted", "libvirt_client")], self.causes(retry=retry))
        self.assertEqual([], self.driver.writes)
        self.assertEqual(1, self.log.output.count(f"Instance {VNF} drifted"))
        self.fleet.tamper(VNF, VCPU_0, FULL[VCPU_0])
        self.assertEqual([("applied", None)], self.causes())

    def test_after_a_restart_of_the_agent(self) -> None:
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.restart()
        self.assertEqual([("drifted", "libvirt_client")], self.causes())

    def test_next_start_is_placed(self) -> None:
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.fleet.hard_reboot(VNF)
        self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())
        self.assertEqual(FULL, self.live())

    def test_next_wish_is_placed(self) -> None:
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.applied(generation=2)


class FightTest(ReconcilerTestCase):
    """Somebody moves an instance again and again."""

    def meet(self, mask: int = 1 << 9) -> list[str]:
        """Move it, and let a second pass; return what became of it."""
        self.now += 1
        self.fleet.tamper(VNF, VCPU_0, mask)
        return [result for result, _ in self.causes()]

    def fight(self) -> None:
        """Begin one."""
        for _ in range(RULES.threshold):
            self.assertEqual(["drifted", "applied"], self.meet())
        self.assertEqual(["drifted"], self.meet())

    def test_stops_after_a_while(self) -> None:
        self.applied()
        self.fight()
        reason = "vCPU 0 is on 9 instead of 4; put back 3 times in 3 s; tried again in 60 s"
        self.assertEqual(reason, self.done.outcomes[0].reason)
        self.assertEqual(60, self.done.again)
        writes = len(self.driver.writes)
        # whatever happens meanwhile is not told each time
        self.now += 20
        for retry, mask in ((True, 1 << 9), (False, 1 << 8)):
            self.fleet.tamper(VNF, VCPU_0, mask)
            self.assertEqual([("drifted", reason, 1, FULL)], self.bring(retry=retry))
            self.assertEqual(40, self.done.again)
        self.assertEqual(writes, len(self.driver.writes))
        # each repair, and once that there are none for a while
        self.assertEqual(RULES.threshold + 1, self.log.output.count(f"Instance {VNF} drifted"))
        self.assertIn(f"drifted (libvirt_client): {reason}", self.log.output)

    def test_pauses_become_longer(self) -> None:
        self.applied()
        self.fight()
        for pause in (60, 120, 200, 200):
            self.assertEqual(pause, self.done.again)
            self.now += pause
            self.assertEqual(["drifted", "applied"], self.meet())
            self.assertEqual(["drifted"], self.meet())

    def test_over_after_a_quiet_minute(self) -> None:
        self.applied()
        self.fight()
        self.now += 60
        self.assertEqual(["drifted", "applied"], self.meet())
        self.now += 61
        self.fight()
        self.assertEqual(60, self.done.again)

    def test_rare_drifts_are_no_fight(self) -> None:
        self.applied()
        for _ in range(20):
            self.now += 30
            self.assertEqual(["drifted", "applied"], self.meet())

    def test_hard_reboots_are_no_fight(self) -> None:
        self.applied()
        for _ in range(20):
            self.fleet.hard_reboot(VNF)
            self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())

    def test_next_wish_ends_it(self) -> None:
        self.applied()
        self.fight()
        self.applied(generation=2)
        self.fight()

    def test_next_start_is_placed(self) -> None:
        self.applied()
        self.fight()
        self.fleet.hard_reboot(VNF)
        self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())


class Busy(CountingDriver):
    """A driver to whom the hypervisor has no time to listen after some writes."""

    left = 0

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        if not self.left:
            raise NotNow("the QEMU monitor is busy")
        self.left -= 1
        super().write_part(uuid, scope, part, mask)


class BusyTest(ReconcilerTestCase):
    """An instance that is busy is tried again, and nothing is undone."""

    def setUp(self) -> None:
        super().setUp()
        self.driver = self.busy = Busy(self.fleet, "one")
        self.restart()
        self.hold(pin())

    def test_tried_again_soon(self) -> None:
        pauses = []
        for _ in range(7):
            self.assertEqual([], self.bring())
            pauses.append(self.done.again)
        self.assertEqual([0.5, 1, 2, 4, 5, 5, 5], pauses)
        self.busy.left = 100
        self.assertEqual([("applied", None, 1, FULL)], self.bring())
        self.assertIsNone(self.done.again)

    def test_that_lasts(self) -> None:
        for self.now in (1000.0, 1029.0):
            self.assertEqual([], self.bring())
        self.now = 1030.0
        self.assertEqual([("failed", "the QEMU monitor is busy", 1, FULL)], self.bring())
        self.busy.left = 100
        # no sweep is needed
        self.assertEqual([("applied", None, 1, FULL)], self.bring())

    def test_between_two_parts(self) -> None:
        for left in range(1, 2 * len(FULL)):
            self.hold(pin(generation=left + 1))
            self.fleet.hard_reboot(VNF)
            self.busy.left = left
            self.assertEqual([], self.bring())
            self.busy.left = 100
            self.assertEqual([("applied", None, left + 1, FULL)], self.bring())
            self.assertEqual((FULL, FULL), self.both())

    def test_with_a_drift(self) -> None:
        self.busy.left = 2 * len(FULL)
        self.assertEqual([("applied", None)], self.causes())
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.assertEqual([("drifted", "libvirt_client")], self.causes())
        self.busy.left = 100
        self.assertEqual([("applied", None)], self.causes())


class ReleaseTest(ReconcilerTestCase):
    def test_everything_goes_back(self) -> None:
        before = self.both()
        self.applied()
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual(before, self.both())
        self.assertEqual((None, None), (self.held().in_force, self.held().given))

    def test_to_what_nova_gave(self) -> None:
        before, definition = self.both(NOVA), self.driver.read(NOVA, Scope.PERSISTENT)
        self.assertEqual({VCPU_0: 1 << 6, VCPU_1: 1 << 7, EMULATOR: 3 << 6}, definition)
        wanted = Placement({VCPU_0: 1 << 1, VCPU_1: 1 << 2, EMULATOR: 1, MEMORY: 2})
        self.applied(wanted, NOVA)
        self.assertEqual(definition, self.held(NOVA).given)
        # given is what was there before the first pin, not before the last
        self.applied(Placement({VCPU_0: 1 << 3}), NOVA, generation=2)
        self.applied(wanted, NOVA, generation=3)
        self.restart()
        self.hold(pin(NOVA, None, generation=4))
        self.assertEqual([("released", None, 4, None)], self.bring(NOVA))
        self.assertEqual(before, self.both(NOVA))

    def test_part_that_the_wish_names_no_more(self) -> None:
        before = self.both()
        self.applied()
        self.applied(SMALL, generation=2)
        self.assertEqual(tuple(Placement(was | SMALL) for was in before), self.both())
        self.assertEqual(SMALL, self.held().in_force)
        # from now on it is let alone
        self.fleet.tamper(VNF, VCPU_1, 1 << 9)
        self.assertEqual([("applied", None, 2, SMALL)], self.bring())
        self.assertEqual(1 << 9, self.live()[VCPU_1])

    def test_part_of_novas_that_the_wish_names_no_more(self) -> None:
        before = self.both(NOVA)
        self.applied(Placement({VCPU_0: 1 << 1, VCPU_1: 1 << 2}), NOVA)
        self.applied(Placement({VCPU_0: 1 << 3}), NOVA, generation=2)
        self.assertEqual(
            tuple(Placement(was | {VCPU_0: 1 << 3}) for was in before), self.both(NOVA)
        )

    def test_again(self) -> None:
        self.applied()
        self.hold(pin(wanted=None, generation=2))
        self.bring()
        self.driver.writes.clear()
        self.assertEqual([("released", None, 2, None)], self.bring(retry=True))
        self.assertEqual([], self.driver.writes)

    def test_what_was_never_placed(self) -> None:
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual([], self.driver.writes)

    def test_that_fails_is_tried_by_a_sweep(self) -> None:
        before = self.both()
        self.applied()
        self.hold(pin(wanted=None, generation=2))
        self.fleet.fail_next(VNF, 2, "no luck")
        ((result, _, _, in_force),) = self.bring()
        self.assertEqual(("failed", FULL), (result, in_force))
        self.assertEqual((FULL, FULL), self.both())
        self.assertEqual([("released", None, 2, None)], self.bring(retry=True))
        self.assertEqual(before, self.both())

    def test_of_pin_and_new_pin_at_once(self) -> None:
        # deleted and made anew before the agent asked
        self.applied()
        self.applied(SMALL, generation=3)
        self.assertEqual(SMALL, self.held().in_force)

    def test_after_an_attempt_that_was_undone(self) -> None:
        before = self.both()
        self.hold(pin())
        self.fleet.fail_next(VNF, len(FULL) + 3, "no luck")
        self.bring()
        self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=True))
        # the definition had no entries when all began, though undoing has made some
        self.assertEqual(Placement(), self.held().given)
        self.fleet.set_offline("one", 1 << 15 | 1 << 3)
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual(before[0].vcpus[0] & ~(1 << 3), self.live().vcpus[0])


class FailureTest(ReconcilerTestCase):
    def test_first_pin(self) -> None:
        before = self.both()
        self.hold(pin())
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        self.assertEqual([("failed", "I/O thread 1: Invalid argument", 1, None)], self.bring())
        self.assertEqual(before, self.both())
        self.assertIsNone(self.held().in_force)

    def test_next_pin(self) -> None:
        self.applied(SMALL)
        self.hold(pin(generation=2))
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        ((result, _, generation, in_force),) = self.bring()
        self.assertEqual(("failed", 2, SMALL), (result, generation, in_force))
        self.assertEqual(SMALL[VCPU_0], self.live()[VCPU_0])
        self.assertEqual(SMALL, self.held().in_force)

    def test_events_do_not_try_again_but_a_sweep_does(self) -> None:
        self.hold(pin())
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        failed = self.bring()
        self.driver.writes.clear()
        for _ in range(3):
            self.assertEqual(failed, self.bring())
        self.assertEqual([], self.driver.writes)
        self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=True))
        self.assertEqual([("applied", None, 1, FULL)], self.bring())

    def test_next_wish_is_tried_at_once(self) -> None:
        self.hold(pin())
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        self.bring()
        self.applied(SMALL, generation=2)

    def test_instance_that_starts_anew_is_tried_at_once(self) -> None:
        self.hold(pin())
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        self.bring()
        self.fleet.stop(VNF)
        self.assertEqual([], self.bring())
        self.fleet.start(VNF)
        self.assertEqual([("applied", None, 1, FULL)], self.bring())

    def test_that_was_not_undone(self) -> None:
        self.applied(SMALL)
        self.hold(pin(generation=2))
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        self.fleet.fail_next(VNF, 5, "Device or resource busy")
        ((result, reason, _, in_force),) = self.bring()
        self.assertEqual("failed", result)
        self.assertIn("could not be undone", reason)
        # each part may be at either place
        joined = SMALL.joined(FULL)
        self.assertEqual((joined, joined), (in_force, self.held().in_force))
        self.restart()
        self.assertEqual(joined, self.held().in_force)

    def test_nobody_answers(self) -> None:
        self.applied()

        def fail(*_: Any) -> Placement:
            raise HypervisorError("the daemon does not answer")

        with fixtures.MonkeyPatch(f"{base.__name__}.CountingDriver.read", fail):
            self.assertEqual([("failed", "the daemon does not answer", 1, FULL)], self.bring())
        self.assertEqual([("applied", None, 1, FULL)], self.bring(retry=True))
        self.assertEqual([], self.driver.writes)


class StopTest(ReconcilerTestCase):
    def test_instance_that_does_not_run(self) -> None:
        self.hold(pin(OFF, Placement({VCPU_0: 1})))
        for retry in (False, True):
            self.assertEqual([], self.bring(OFF, retry))

    def test_restart_that_keeps_the_places_is_no_drift(self) -> None:
        self.applied()
        self.fleet.stop(VNF)
        self.assertEqual([], self.bring())
        self.fleet.start(VNF)
        self.assertEqual([("applied", None)], self.causes())
        self.assertEqual([], self.driver.writes)
        # and from now on this process is the one in which it is in place
        self.fleet.tamper(VNF, VCPU_0, 1 << 9)
        self.assertEqual([("drifted", "libvirt_client"), ("applied", None)], self.causes())

    def test_hard_reboot_is_told_whether_seen_or_not(self) -> None:
        self.applied()
        for seen in (True, False):
            if seen:
                self.fleet.stop(VNF)
                self.assertEqual([], self.bring())
            self.fleet.hard_reboot(VNF)
            self.assertNotEqual(FULL, self.live())
            self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())
            self.assertEqual((FULL, FULL), self.both())

    def test_hard_reboot_while_the_agent_is_away(self) -> None:
        self.applied()
        self.fleet.hard_reboot(VNF)
        self.restart()
        self.assertEqual([("drifted", "hard_reboot"), ("applied", None)], self.causes())

    def test_while_it_is_placed(self) -> None:
        self.driver = Stopping(self.fleet, "one")
        self.restart()
        self.hold(pin())
        self.assertEqual([], self.bring())
        # some of its definition was written: all of that is to be released one day
        self.assertEqual(FULL, self.held().in_force)
        self.fleet.start(VNF)
        self.assertEqual(FULL[VCPU_0], self.live()[VCPU_0])
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual((self.driver.unpinned(VNF),) * 2, self.both())


class CrashTest(ReconcilerTestCase):
    """What was begun is known after a crash at any moment, and can be taken back."""

    def setUp(self) -> None:
        super().setUp()
        self.crashing = self.driver = Crashing(self.fleet, "one")
        self.restart()

    def crash(self, step: int) -> None:
        """Let the agent die before that step."""
        self.hold(pin())
        self.driver.writes.clear()
        self.crashing.crash_at = step
        self.assertRaises(Crash, self.reconciler.bring, VNF, False)
        self.crashing.crash_at = 0

    def test_then_released(self) -> None:
        before = self.both()
        for step in range(1, 2 * len(FULL) + 1):
            self.restart(directory=f"state-{step}")
            self.crash(step)
            self.restart(directory=f"state-{step}")
            self.hold(pin(wanted=None, generation=2, in_force=FULL))
            self.assertEqual([("released", None, 2, None)], self.bring())
            self.assertEqual(before, self.both(), f"step {step}")

    def test_then_applied(self) -> None:
        self.crash(7)
        self.restart()
        self.assertEqual([("applied", None, 1, FULL)], self.bring())


class ForeignTest(ReconcilerTestCase):
    """Pins in a definition that KongMing wrote, though this agent does not remember."""

    def test_brought_along_by_a_migration(self) -> None:
        self.applied()
        self.fleet.migrate(VNF, "two")
        self.assertEqual([], self.bring())
        self.driver = CountingDriver(self.fleet, "two")
        self.restart(host="two")
        self.assertEqual((FULL, FULL), self.both())
        self.hold(pin(generation=1, wanted=SMALL, in_force=FULL))
        self.assertEqual([("applied", None, 1, SMALL)], self.bring())
        unpinned = self.driver.unpinned(VNF)
        self.assertEqual((Placement(unpinned | SMALL),) * 2, self.both())
        self.hold(pin(wanted=None, generation=2))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual((unpinned,) * 2, self.both())

    def test_released_right_after_a_migration(self) -> None:
        self.applied()
        self.fleet.migrate(VNF, "two")
        self.driver = CountingDriver(self.fleet, "two")
        self.restart(host="two")
        self.hold(pin(wanted=None, generation=2, in_force=FULL))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual((self.driver.unpinned(VNF),) * 2, self.both())

    def test_file_was_lost(self) -> None:
        before = self.both()
        self.applied()
        self.restart(directory="empty")
        # the conductor knows what may be in force
        self.hold(pin(wanted=None, generation=2, in_force=FULL))
        self.assertEqual([("released", None, 2, None)], self.bring())
        self.assertEqual(before, self.both())

    def test_novas_pins_are_told_apart(self) -> None:
        before = self.both(NOVA)
        self.restart(directory="empty")
        # asked twice before this agent was there: the first wish was never carried out
        in_force = placement(vcpus={"0": "1", "1": "2"})
        self.hold(pin(NOVA, Placement({VCPU_0: 1 << 3}), generation=2, in_force=in_force))
        self.bring(NOVA)
        self.hold(pin(NOVA, None, generation=3))
        self.assertEqual([("released", None, 3, None)], self.bring(NOVA))
        self.assertEqual(before, self.both(NOVA))
