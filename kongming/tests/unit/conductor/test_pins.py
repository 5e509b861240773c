# SPDX-License-Identifier: Apache-2.0
"""Pins are made, changed and deleted; pCPUs are claimed."""

import datetime
import functools
import threading
from collections.abc import Callable, Collection
from typing import Any

import fixtures
import sqlalchemy as sa
from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor import locked
from kongming.conductor import reports as conductor_reports
from kongming.db import engine, hosts, models, pin_events, pins
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B, C, D, placement
from kongming.topology.wish import Wish


class CreateTest(base.ConductorTestCase):
    def test_placed_where_the_instance_is(self) -> None:
        self.run_instances(A)
        pin = self.create(
            A,
            cpu_policy="dedicated",
            vcpus={"0": "4", "1": "5-6"},
            emulator="0-1",
            iothreads={"1": "2"},
            memory={"nodes": "0"},
        )
        self.assertEqual(("one", "pending", None, 1), _summary(pin))
        expected = placement(
            vcpus={"0": "4", "1": "5-6"},
            emulator="0-1",
            iothreads={"1": "2"},
            memory={"nodes": "0"},
        )
        self.assertEqual(expected, pin.placement)
        self.assertEqual((None, None), (pin.in_force, pin.updated_at))
        self.assertEqual({A: "4-6"}, self.claims())
        stored = self.row(A)
        self.assertEqual(
            (pin.wish, expected, "pending"), (stored.wish, stored.placement, stored.status)
        )
        self.assertEqual(["created"], self.events(A))

    def test_generation_of_the_host_rises(self) -> None:
        self.run_instances(A)
        before = self.host_row().generation
        self.create(A, "1")
        self.assertEqual(before + 1, self.host_row().generation)

    def test_owner_is_that_of_the_instance(self) -> None:
        for number, project_id in enumerate(("owner", None), start=1):
            uuid = f"{number:08d}-1111-4111-8111-111111111111"
            self.run_instances(uuid, project_id="owner", user_id="somebody")
            pin = self.create(uuid, f"{number}", project_id=project_id)
            self.assertEqual(("owner", "somebody"), (pin.project_id, pin.user_id))

    def test_instance_of_another_project_is_not_known(self) -> None:
        # the API refuses that too, unless the instance appeared just now
        self.run_instances(A, project_id="owner")
        for wait in (True, False):
            self.refused(
                exception.InstanceNotFound, self.create, A, "1", wait=wait, project_id="thief"
            )

    def test_owner_of_an_instance_without_metadata_is_the_caller(self) -> None:
        self.run_instances(A, project_id=None, user_id=None)
        pin = self.create(A, "1", project_id="caller")
        self.assertEqual(("caller", "mano"), (pin.project_id, pin.user_id))

    def test_shared_claims_nothing(self) -> None:
        self.run_instances(A)
        pin = self.create(A, vcpus={"*": "4-7"})
        self.assertEqual("pending", pin.status)
        self.assertEqual({}, self.claims())

    def test_unknown_instance(self) -> None:
        self.run_instances(B)
        error = self.refused(exception.InstanceNotFound, self.create, A, "1")
        self.assertIn(A, error.message)

    def test_twice(self) -> None:
        self.run_instances(A)
        self.create(A, "1")
        self.refused(exception.PinExists, self.create, A, "2")

    def test_impossible_wish(self) -> None:
        self.run_instances(A)
        error = self.refused(
            exception.BadRequest, self.create, A, vcpus={"2": "0"}, emulator="14-16"
        )
        self.assertEqual(
            [
                (
                    "resource_pin.vcpu_unknown",
                    "vcpus.2: the instance has no vCPU 2 (it has 2)",
                ),
                ("resource_pin.pcpu_offline", "emulator: pCPU 15 is offline"),
                ("resource_pin.pcpu_unknown", "emulator: the host has no pCPU 16"),
            ],
            error.errors,
        )

    def test_stopped_instance_is_claimed_for_but_waits(self) -> None:
        for state in ("shutoff", "crashed", "nostate"):
            self.run_instances(A, state=state)
            pin = self.create(A, "3")
            self.assertEqual(("one", "waiting", None, 1), _summary(pin), state)
            self.assertEqual({A: "3"}, self.claims())
            self.delete(A)
            self.report(full=True)


class WaitTest(base.ConductorTestCase):
    def test_instance_nowhere(self) -> None:
        pin = self.create(A, "1", wait=True)
        self.assertEqual((None, "waiting", None, 1), _summary(pin))
        self.assertIsNone(pin.placement)
        self.assertEqual(["created"], self.events(A))

    def test_instance_that_is_known_does_not_wait(self) -> None:
        self.run_instances(A)
        self.assertEqual("pending", self.create(A, "1", wait=True).status)

    def test_twice(self) -> None:
        self.create(A, "1", wait=True)
        self.refused(exception.PinExists, self.create, A, "1", wait=True)

    def test_change(self) -> None:
        self.create(A, "1", wait=True)
        pin = self.update(A, "2")
        self.assertEqual((None, "waiting", None, 2), _summary(pin))
        self.run_instances(A)
        self.assertEqual(placement(vcpus={"0": "2", "1": "2"}), self.row(A).placement)

    def test_delete_is_final_at_once(self) -> None:
        self.create(A, "1", wait=True)
        self.assertIsNone(self.delete(A))
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual(["created", "deleted"], self.events(A))


class ClaimsTest(base.ConductorTestCase):
    """Who may use which pCPU beside whom; each row fails if its rule is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B, C)

    def test_two_dedicated_never_share_a_pcpu_of_vcpus(self) -> None:
        self.create(A, "4-7")
        error = self.refused(exception.CpuAlreadyClaimed, self.create, B, "6-9")
        self.assertEqual(
            f"pCPU 6-7 of host one is already held by the pin of instance {A}.", error.message
        )

    def test_holder_of_the_first_conflict_is_named(self) -> None:
        self.create(A, "4-5")
        self.create(B, "6-7")
        error = self.refused(exception.CpuAlreadyClaimed, self.create, C, "5-6")
        self.assertEqual(
            f"pCPU 5 of host one is already held by the pin of instance {A}.", error.message
        )

    def test_no_part_of_another_pin_goes_to_a_claimed_pcpu(self) -> None:
        self.create(A, "4-7")
        for wish in (
            {"vcpus": {"0": "7-8"}},
            {"vcpus": {"*": "0-15,^15"}},
            {"emulator": "7"},
            {"iothreads": {"1": "3-4"}},
            {"cpu_policy": "dedicated", "vcpus": {"0": "8"}, "emulator": "7"},
            {"cpu_policy": "dedicated", "vcpus": {"0": "8"}, "iothreads": {"1": "7"}},
        ):
            error = self.refused(exception.CpuAlreadyClaimed, self.create, B, **wish)
            self.assertIn(A, error.message)

    def test_dedicated_vcpus_go_to_no_pcpu_in_use(self) -> None:
        for wish in (
            {"vcpus": {"0": "4"}},
            {"emulator": "4-5"},
            {"iothreads": {"1": "3-4"}},
            {"cpu_policy": "dedicated", "vcpus": {"*": "8"}, "emulator": "4"},
            {"cpu_policy": "dedicated", "vcpus": {"*": "8"}, "iothreads": {"1": "4"}},
        ):
            self.create(A, **wish)
            error = self.refused(exception.CpuAlreadyClaimed, self.create, B, "4,9")
            self.assertEqual(
                f"pCPU 4 of host one is used by the pin of instance {A},"
                " so that nobody else can have it alone.",
                error.message,
            )
            self.delete(A)
            self.confirm(A)

    def test_memory_is_shared_by_all(self) -> None:
        self.create(A, "0", memory={"nodes": "0"})
        self.assertEqual("pending", self.create(B, "1", memory={"nodes": "0"}).status)

    def test_node_is_not_taken_for_a_pcpu(self) -> None:
        self.create(A, "0-1")
        self.assertEqual("pending", self.create(B, memory={"nodes": "0-1"}).status)

    def test_emulators_and_iothreads_of_dedicated_pins_may_share(self) -> None:
        for number, uuid in enumerate((A, B, C)):
            pin = self.create(uuid, f"{4 + number}", emulator="0-1", iothreads={"1": "0-1"})
            self.assertEqual("pending", pin.status)
        self.assertEqual({A: "4", B: "5", C: "6"}, self.claims())

    def test_shared_pins_may_share(self) -> None:
        for uuid in (A, B, C):
            self.assertEqual("pending", self.create(uuid, vcpus={"*": "4-7"}).status)

    def test_parts_of_one_dedicated_pin_may_share(self) -> None:
        pin = self.create(
            A, cpu_policy="dedicated", vcpus={"*": "4-5"}, emulator="4", iothreads={"1": "5"}
        )
        self.assertEqual("pending", pin.status)

    def test_another_host_has_pcpus_of_its_own(self) -> None:
        self.create(A, "4-7")
        self.report(self.instance(B, "two"), host="two", full=True)
        self.assertEqual("two", self.create(B, "4-7").host)
        self.assertEqual(({A: "4-7"}, {B: "4-7"}), (self.claims("one"), self.claims("two")))


class UpdateTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)

    def test_claims_stay_until_the_host_confirms(self) -> None:
        self.create(A, "4-5")
        self.confirm(A)
        pin = self.update(A, "5-6")
        self.assertEqual(("one", "pending", None, 2), _summary(pin))
        self.assertEqual({0: 0b110_0000, 1: 0b110_0000}, pin.placement.vcpus)
        self.assertEqual({0: 0b11_0000, 1: 0b11_0000}, pin.in_force.vcpus)
        self.assertIsNotNone(pin.updated_at)
        self.assertEqual({A: "4-6"}, self.claims())
        error = self.refused(exception.CpuAlreadyClaimed, self.create, B, "4")
        self.assertIn(f"pCPU 4 of host one is already held by the pin of instance {A}", str(error))

        self.confirm(A)
        self.assertEqual({A: "5-6"}, self.claims())
        self.assertEqual("pending", self.create(B, "4").status)
        self.assertEqual(["created", "applied", "changed", "applied"], self.events(A))

    def test_claims_of_wishes_that_may_have_been_carried_out_add_up(self) -> None:
        # nothing was confirmed: the agent may be at any of them
        self.create(A, "4")
        self.update(A, "5")
        self.update(A, "6")
        self.assertEqual({A: "4-6"}, self.claims())
        self.assertEqual(placement(vcpus={"0": "4-5", "1": "4-5"}), self.row(A).in_force)
        self.confirm(A)
        self.assertEqual({A: "6"}, self.claims())

    def test_time_of_change(self) -> None:
        self.assertIsNone(self.create(A, "4").updated_at)
        self.assertIsNotNone(self.update(A, "5").updated_at)

    def test_from_nothing_and_to_nothing(self) -> None:
        self.create(A)
        self.assertIsNone(self.update(A).in_force)
        self.update(A, "4")
        self.update(A)
        self.assertEqual({A: "4"}, self.claims())
        self.confirm(A)
        self.assertEqual(("applied", {}), (self.status(A)[0], self.claims()))

    def test_dedicated_to_shared(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        self.update(A, vcpus={"*": "4-7"})
        self.assertEqual({A: "4"}, self.claims())
        self.refused(exception.CpuAlreadyClaimed, self.create, B, vcpus={"*": "4"})
        self.confirm(A)
        self.assertEqual({}, self.claims())
        self.assertEqual("pending", self.create(B, vcpus={"*": "4"}).status)

    def test_shared_to_dedicated(self) -> None:
        self.create(A, vcpus={"*": "4-5"})
        self.confirm(A)
        self.update(A, "6")
        # may still run on 4-5, but never claimed them
        self.assertEqual({A: "6"}, self.claims())
        error = self.refused(exception.CpuAlreadyClaimed, self.create, B, "5")
        self.assertIn(f"pCPU 5 of host one is used by the pin of instance {A}", str(error))
        self.assertEqual("pending", self.create(B, vcpus={"*": "5"}).status)

    def test_refused_change_leaves_all_as_it_was(self) -> None:
        self.create(A, "4")
        self.create(B, "5")
        error = self.refused(exception.CpuAlreadyClaimed, self.update, B, "4-5")
        self.assertIn(A, error.message)
        self.refused(exception.BadRequest, self.update, B, vcpus={"0": "99"})

    def test_generation_guards(self) -> None:
        self.create(A, "4")
        self.assertEqual(2, self.update(A, "4", generation=1).generation)
        error = self.refused(exception.StaleGeneration, self.update, A, "5", generation=1)
        self.assertEqual("generation: 1 is stale, the pin is at generation 2.", error.message)
        self.refused(exception.StaleGeneration, self.update, A, "5", generation=3)
        self.assertEqual(3, self.update(A, "4").generation)

    def test_no_pin(self) -> None:
        self.refused(exception.PinNotFound, self.update, A, "4")

    def test_deleted_pin(self) -> None:
        self.create(A, "4")
        self.delete(A)
        self.refused(exception.PinNotFound, self.update, A, "4")

    def test_failed_pin_is_tried_anew(self) -> None:
        self.create(A, "4")
        self.report(outcomes=[base.outcome(A, 1, "failed", "no luck")])
        self.assertEqual(("failed", "no luck"), self.status(A))
        self.assertEqual(("one", "pending", None, 2), _summary(self.update(A, "5")))

    def test_pin_of_another_project_gets_no_place(self) -> None:
        # who guesses a UUID may wait for it, no more
        self.create(C, "1", wait=True, project_id="thief")
        self.run_instances(C, project_id="owner")
        pin = self.update(C, "2")
        self.assertEqual(
            ("failed", "the instance belongs to another project than the pin"),
            (pin.status, pin.reason),
        )
        self.assertEqual((None, {}), (pin.placement, self.claims()))


class DeleteTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)

    def test_claims_stay_until_the_host_has_released(self) -> None:
        self.create(A, "4-5", emulator="0")
        self.confirm(A)
        self.assertEqual("one", self.delete(A))
        tombstone = self.row(A)
        self.assertTrue(tombstone.deleted)
        self.assertEqual((None, 2), (tombstone.placement, tombstone.generation))
        self.assertEqual(
            placement(vcpus={"0": "4-5", "1": "4-5"}, emulator="0"), tombstone.in_force
        )
        self.assertEqual({A: "4-5"}, self.claims())
        self.refused(exception.CpuAlreadyClaimed, self.create, B, "5")
        self.refused(exception.CpuAlreadyClaimed, self.create, B, "0")

        self.confirm(A)
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual({}, self.claims())
        self.assertEqual("pending", self.create(B, "0,5").status)
        self.assertEqual(["created", "applied", "deleted", "released"], self.events(A))

    def test_what_was_perhaps_carried_out_is_released_too(self) -> None:
        self.create(A, "4")
        self.assertEqual("one", self.delete(A))
        self.assertEqual(placement(vcpus={"0": "4", "1": "4"}), self.row(A).in_force)
        self.assertEqual({A: "4"}, self.claims())

    def test_nothing_was_ever_placed(self) -> None:
        self.create(A)
        self.assertIsNone(self.delete(A))
        self.assertIsNone(self.row_or_none(A))

    def test_twice(self) -> None:
        self.create(A, "4")
        self.delete(A)
        self.refused(exception.PinNotFound, self.delete, A)

    def test_no_pin(self) -> None:
        self.refused(exception.PinNotFound, self.delete, A)

    def test_new_pin_before_the_old_one_is_released(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        self.delete(A)
        pin = self.create(A, "5")
        # rises on, so that word of the old pin is not taken for word of the new one
        self.assertEqual(("one", "pending", None, 3), _summary(pin))
        self.assertFalse(self.row(A).deleted)
        self.assertEqual({A: "4-5"}, self.claims())
        self.report(outcomes=[base.outcome(A, 2, "released")])
        self.assertEqual(("pending", {A: "4-5"}), (self.status(A)[0], self.claims()))
        self.confirm(A)
        self.assertEqual(("applied", {A: "5"}), (self.status(A)[0], self.claims()))

    def test_new_pin_is_as_young_as_any(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        self.delete(A)
        then = datetime.datetime(2020, 2, 2)
        with engine.writer() as session:
            session.execute(sa.update(models.Pin).values(created_at=then, updated_at=then))
        pin = self.create(A, "5")
        self.assertGreater(pin.created_at.year, then.year)
        self.assertIsNone(pin.updated_at)

    def test_generation_of_the_host_rises(self) -> None:
        self.create(A, "4")
        before = self.host_row().generation
        self.delete(A)
        self.assertEqual(before + 1, self.host_row().generation)

    def test_refused_new_pin_leaves_the_old_one_deleted(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        self.delete(A)
        self.create(B, "6")
        self.refused(exception.CpuAlreadyClaimed, self.create, A, "6")

    def test_instance_that_is_gone_has_nothing_to_release(self) -> None:
        self.create(A, "4")
        self.report(gone=[A])
        self.assertIsNone(self.delete(A))
        self.assertIsNone(self.row_or_none(A))


class HistoryTest(base.ConductorTestCase):
    def test_who_did_what(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.confirm(A)
        self.update(A, "5")
        self.report(outcomes=[base.outcome(A, 2, "failed", "no luck")])
        self.delete(A)
        with engine.reader() as session:
            lines = pin_events.of_pin(session, A, pin_events.owners(session, A), 100)
            told = [(line.event, line.generation, line.reason) for line in lines]
            wishes = [line.wish and line.wish.every_vcpu for line in lines]
            whose = {(line.host, line.project_id, line.user_id, line.request_id) for line in lines}
            newest = pin_events.last(session, A)
            self.assertEqual("deleted", newest and newest.event)
        self.assertEqual(
            [
                ("created", 1, None),
                ("applied", 1, None),
                ("changed", 2, None),
                ("failed", 2, "no luck"),
                ("deleted", 3, None),
            ],
            told,
        )
        self.assertEqual([0b1_0000, None, 0b10_0000, None, None], wishes)
        self.assertEqual({("one", "telco", "mano", "req-1")}, whose)

    def test_outlives_the_pin(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.delete(A)
        self.confirm(A)
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual(["created", "deleted", "released"], self.events(A))
        self.create(A, "4")
        self.assertEqual("created", self.events(A)[-1])

    def test_refused_is_not_told(self) -> None:
        self.run_instances(A)
        self.refused(exception.BadRequest, self.create, A, "99")
        self.assertEqual([], self.events(A))


class ForAgentTest(base.ConductorTestCase):
    """What the agent of a host is told to do."""

    def told(self, host: str = "one") -> dict[str, bool]:
        """Return the instances that the agent is told of: ``{uuid: whether to place it}``."""
        with engine.reader() as session:
            return {
                pin.instance_uuid: pin.placement is not None
                for pin in pins.for_agent(session, host)
            }

    def test_place_and_release(self) -> None:
        self.run_instances(A, B, C)
        self.report(self.instance(D, "two"), host="two", full=True)
        for number, uuid in enumerate((A, B, D)):
            self.create(uuid, str(number))
        self.delete(B)
        self.assertEqual(({A: True, B: False}, {D: True}), (self.told(), self.told("two")))

    def test_refused_but_not_waiting_ones(self) -> None:
        self.create(A, "99", wait=True)
        self.create(B, "1", wait=True)
        self.run_instances(A)
        self.assertEqual(("failed", {A: False}), (self.status(A)[0], self.told()))

    def test_stopped_ones_too(self) -> None:
        # their next start may come while no conductor answers
        self.run_instances(A, state="shutoff")
        self.create(A, "1")
        self.assertEqual({A: True}, self.told())

    def test_instance_that_left(self) -> None:
        self.run_instances(A, B)
        self.create(A, "1")
        self.create(B, "2")
        self.delete(B)
        self.report(full=True)
        self.assertEqual({}, self.told())


class RaceTest(base.ConductorTestCase):
    """What two conductors, or two threads of one, do at once."""

    rounds = 3

    def test_one_pcpu_for_many(self) -> None:
        uuids = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(6)]
        self.run_instances(*uuids)
        for pcpu in map(str, range(self.rounds)):
            results = self.race(*(functools.partial(self.create, uuid, pcpu) for uuid in uuids))
            (winner,) = (pin.instance_uuid for pin in results if isinstance(pin, objects.Pin))
            losers = [error for error in results if not isinstance(error, objects.Pin)]
            self.assertEqual({exception.CpuAlreadyClaimed}, set(map(type, losers)), str(results))
            for error in losers:
                self.assertIn(winner, error.message)
            self.assertEqual({winner: pcpu}, self.claims())
            self.delete(winner)
            self.confirm(winner)

    def test_pcpus_of_their_own_for_many(self) -> None:
        uuids = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(6)]
        self.run_instances(*uuids)
        results = self.race(
            *(functools.partial(self.create, uuid, str(n)) for n, uuid in enumerate(uuids))
        )
        self.assertEqual({"pending"}, {pin.status for pin in results}, str(results))
        self.assertEqual({uuid: str(n) for n, uuid in enumerate(uuids)}, self.claims())

    def test_one_pin_made_by_many(self) -> None:
        self.run_instances(A)
        self._one_of_many(wait=False)

    def test_one_waiting_pin_made_by_many(self) -> None:
        self._one_of_many(wait=True)

    def test_instance_that_moves_between_look_up_and_lock(self) -> None:
        look_up = locked._look_up
        for call in (
            functools.partial(self.create, A, "4"),
            functools.partial(self.update, A, "5"),
            functools.partial(self.delete, A),
        ):
            self.report(self.instance(A), full=True)
            self.report(host="two", full=True)
            move = functools.partial(self.report, self.instance(A, "two"), host="two")
            moves: list[Callable[[], Any]] = [move]

            def look_up_and_move(uuid: str, moves: list[Callable[[], Any]] = moves) -> Any:
                found = look_up(uuid)
                if moves:
                    moves.pop()()
                return found

            name = f"{locked.__name__}._look_up"
            with fixtures.MonkeyPatch(name, look_up_and_move):
                call()
            self.assertEqual("two", self.row(A).host)
            self.assertEqual({}, self.claims("one"))

    def test_arrival_waits_for_the_host_that_its_instance_left(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.report(host="two", full=True)
        arrive = functools.partial(self.report, self.instance(A, "two"), host="two")
        arrival = threading.Thread(target=arrive)
        with engine.writer() as session:
            hosts.lock_all(session, ["one"])
            arrival.start()
            self.addCleanup(arrival.join)
            # time enough to get where it has to wait
            arrival.join(0.5)
            self.assertTrue(arrival.is_alive())
            # whoever waits holds nothing that the holder of the lock may want
            pin = sa.select(models.Pin).where(models.Pin.instance_uuid == A)
            session.execute(pin.with_for_update(nowait=True))
        arrival.join()
        self.assertEqual(
            ("two", {}, {A: "4"}), (self.row(A).host, self.claims(), self.claims("two"))
        )

    def test_arrival_from_elsewhere_than_it_seemed(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        look_up = conductor_reports._hosts_of
        moves = [functools.partial(self.report, self.instance(A, "two"), host="two")]
        for host in ("two", "three"):
            self.report(host=host, full=True)

        def look_up_and_move(report: objects.Report) -> set[str]:
            found = look_up(report)
            if moves:
                moves.pop()()
            return found

        names = []
        lock_all = hosts.lock_all

        def note(session: orm.Session, wanted: Collection[str]) -> dict[str, models.Host]:
            names.append(set(wanted))
            return lock_all(session, wanted)

        with (
            fixtures.MonkeyPatch(f"{conductor_reports.__name__}._hosts_of", look_up_and_move),
            fixtures.MonkeyPatch(f"{hosts.__name__}.lock_all", note),
        ):
            self.report(self.instance(A, "three"), host="three")
        self.assertEqual({"two", "three"}, names[-1])
        self.assertEqual(({}, {A: "4"}), (self.claims("two"), self.claims("three")))

    def _one_of_many(self, wait: bool) -> None:
        results = self.race(
            *(functools.partial(self.create, A, str(pcpu), wait=wait) for pcpu in range(5))
        )
        kinds = sorted(type(result).__name__ for result in results)
        self.assertEqual(["Pin"] + ["PinExists"] * 4, kinds, str(results))
        self.assertEqual(["created"], self.events(A))
        self.assertEqual(1, self.row(A).generation)

    def test_changes_of_one_pin(self) -> None:
        self.run_instances(A)
        self.create(A, "0")
        results = self.race(
            *(functools.partial(self.update, A, str(n), generation=1) for n in range(1, 5))
        )
        kinds = sorted(type(result).__name__ for result in results)
        self.assertEqual(["Pin"] + ["StaleGeneration"] * 3, kinds, str(results))
        (winner,) = (result for result in results if isinstance(result, objects.Pin))
        self.assertEqual(winner.wish, self.row(A).wish)

    def test_change_against_delete(self) -> None:
        self.run_instances(A)
        for _ in range(self.rounds):
            self.create(A, "0")
            changed, deleted = self.race(
                functools.partial(self.update, A, "1"), functools.partial(self.delete, A)
            )
            self.assertEqual("one", deleted)
            if not isinstance(changed, objects.Pin):
                self.assertIsInstance(changed, exception.PinNotFound)
            self.confirm(A)
            self.assertEqual((None, {}), (self.row_or_none(A), self.claims()))

    def test_new_pin_against_the_first_report_of_its_instance(self) -> None:
        for number in range(self.rounds):
            uuid = f"{number:08d}-1111-4111-8111-111111111111"
            created, _ = self.race(
                functools.partial(self.create, uuid, str(number), wait=True),
                functools.partial(self.report, self.instance(uuid), full=True),
            )
            self.assertIsInstance(created, objects.Pin)
            # whoever was first, the next full report at the latest finds them together
            self.report(self.instance(uuid), full=True)
            self.assertEqual(("pending", None), self.status(uuid))
            self.assertEqual({uuid: str(number)}, self.claims())

    def test_new_pin_against_a_migration(self) -> None:
        self.run_instances(B, host="two")
        for _ in range(self.rounds):
            self.run_instances(A, host="one")
            created, _ = self.race(
                functools.partial(self.create, A, "3"),
                functools.partial(self.report, self.instance(A, "two"), host="two"),
            )
            self.assertEqual("pending", created.status)
            self.report(self.instance(A, "two"), self.instance(B, "two"), host="two", full=True)
            self.assertEqual("two", self.row(A).host)
            self.assertEqual(({}, {A: "3"}), (self.claims("one"), self.claims("two")))
            self.delete(A)
            self.confirm(A, host="two")
            self.report(self.instance(B, "two"), host="two", full=True)


def _summary(pin: objects.Pin) -> tuple[str | None, str, str | None, int]:
    return pin.host, pin.status, pin.reason, pin.generation


class WishTest(base.ConductorTestCase):
    def test_stored_as_it_was_asked(self) -> None:
        self.run_instances(A)
        self.create(A, cpu_policy="dedicated", vcpus={"0": "1", "*": "2-3"}, emulator="0")
        self.assertEqual(Wish("dedicated", {0: 2}, 0b1100, emulator=1), self.row(A).wish)
