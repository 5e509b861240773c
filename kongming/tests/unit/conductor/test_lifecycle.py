# SPDX-License-Identifier: Apache-2.0
"""What reports mean for pins: waiting, pending, applied, drifted, failed; host to host."""

from typing import Any

from kongming.conductor.reports import Answer
from kongming.db import engine, pins
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B, C, outcome, placement
from kongming.topology import cpuset


class MigrationTest(base.ConductorTestCase):
    """While an instance migrates two hosts know it; it lives where it runs."""

    def setUp(self) -> None:
        super().setUp()
        self.report(full=True)
        self.report(host="two", full=True)

    def host_of(self, uuid: str) -> str | None:
        instance = self.instance_row(uuid)
        return instance and instance.host

    def test_who_is_believed(self) -> None:
        for there, here, believed in (
            ("running", "running", "two"),
            ("running", "paused", "one"),
            ("running", "shutoff", "one"),
            ("paused", "running", "two"),
            ("paused", "shutoff", "one"),
            ("shutoff", "running", "two"),
            ("shutoff", "shutoff", "one"),
            ("crashed", "paused", "two"),
        ):
            self.report(self.instance(A, state=there), full=True)
            self.report(self.instance(A, "two", state=here), host="two")
            self.assertEqual(believed, self.host_of(A), f"{there} there, {here} here")
            self.report(gone=[A])
            self.report(gone=[A], host="two")

    def run_twice(self) -> None:
        """A is pinned on host one, and evacuated from there without being stopped."""
        self.report(self.instance(A, started_ms=1000))
        self.create(A, "4-5")
        self.confirm(A)
        self.report(self.instance(A, "two", started_ms=2000), host="two")
        self.confirm(A, host="two")

    def test_of_two_processes_the_younger_one_has_the_pin(self) -> None:
        self.run_twice()
        for state in ("running", "paused", "shutoff", "running"):
            # with the end of a process the pin does not go back to the older one
            observed = None if state == "shutoff" else placement()
            started = None if state == "shutoff" else 2000
            there = self.instance(A, "two", state=state, observed=observed, started_ms=started)
            self.report(there, host="two", full=True)
            events = self.events(A)
            for full in (True, False):
                self.report(self.instance(A, started_ms=1000), full=full)
                self.assertEqual("two", self.host_of(A), state)
                self.assertEqual(({}, {A: "4-5"}), (self.claims("one"), self.claims("two")), state)
                self.assertEqual(events, self.events(A))
        self.assertEqual(1, self.log.output.count(f"Instance {A} runs on host two and also"))

    def test_older_process_ends(self) -> None:
        self.run_twice()
        self.report(self.instance(A, started_ms=1000))
        before = self.database()["pins"], self.events(A)
        self.report(gone=[A])
        self.assertEqual(before, (self.database()["pins"], self.events(A)))

    def test_younger_process_is_gone(self) -> None:
        self.run_twice()
        self.report(gone=[A], host="two")
        self.assertEqual(("waiting", "the instance left host two"), self.status(A))
        # the other is what is left of the instance
        self.report(self.instance(A, started_ms=1000), full=True)
        self.assertEqual(("one", {A: "4-5"}), (self.row(A).host, self.claims("one")))

    def test_moved_back(self) -> None:
        self.run_twice()
        self.report(self.instance(A, started_ms=3000))
        self.assertEqual(("one", {A: "4-5"}), (self.row(A).host, self.claims("one")))

    def test_claims_move(self) -> None:
        self.report(self.instance(A))
        self.create(A, "4-5")
        self.confirm(A)
        before = self.host_row("one").generation, self.host_row("two").generation
        answer = self.report(self.instance(A, "two"), host="two")
        self.assertTrue(answer.placements_changed)
        pin = self.row(A)
        self.assertEqual(("two", "pending", None), (pin.host, pin.status, pin.reason))
        self.assertEqual(placement(vcpus={"0": "4-5", "1": "4-5"}), pin.placement)
        self.assertEqual(({}, {A: "4-5"}), (self.claims("one"), self.claims("two")))
        self.assertEqual(
            (before[0] + 1, before[1] + 1),
            (self.host_row("one").generation, self.host_row("two").generation),
        )
        # the source is late
        answer = self.report(gone=[A])
        self.assertEqual(False, answer.placements_changed)
        self.assertEqual(("two", {A: "4-5"}), (self.row(A).host, self.claims("two")))
        self.confirm(A, host="two")
        self.assertEqual(("applied", None), self.status(A))
        self.assertEqual(["created", "applied", "pending", "applied"], self.events(A))

    def test_source_tells_first(self) -> None:
        self.report(self.instance(A))
        self.create(A, "4-5")
        self.confirm(A)
        self.report(gone=[A])
        self.assertEqual(("waiting", "the instance left host one"), self.status(A))
        self.assertEqual(({}, None), (self.claims("one"), self.row(A).host))
        self.report(self.instance(A, "two"), host="two")
        self.assertEqual(("pending", None), self.status(A))
        self.assertEqual({A: "4-5"}, self.claims("two"))

    def test_stopped_instance_stays_until_its_host_is_rid_of_it(self) -> None:
        # Nova defines it on the target, and keeps it on the source until that is confirmed
        self.report(self.instance(A, state="shutoff"))
        self.create(A, "4-5")
        for _ in range(2):
            self.report(self.instance(A, "two", state="shutoff"), host="two", full=True)
            self.report(self.instance(A, state="shutoff"), full=True)
            self.assertEqual(({A: "4-5"}, {}), (self.claims("one"), self.claims("two")))
        self.report(gone=[A])
        self.report(self.instance(A, "two", state="shutoff"), host="two", full=True)
        self.assertEqual(({}, {A: "4-5"}), (self.claims("one"), self.claims("two")))
        self.assertEqual(["created", "waiting", "waiting", "waiting"], self.events(A))
        self.assertEqual(("waiting", "the instance is shutoff"), self.status(A))

    def test_target_is_told_what_the_instance_brought_along(self) -> None:
        # libvirt sends the pins with the instance; they are not what Nova gave it there
        in_force = placement(vcpus={"0": "4-5", "1": "4-5"}, emulator="0")
        for source_first in (True, False):
            self.report(self.instance(A))
            self.create(A, "4-5", emulator="0")
            self.confirm(A)
            if source_first:
                self.report(gone=[A])
            self.report(self.instance(A, "two"), host="two")
            self.assertEqual(in_force, self.row(A).in_force, f"source first: {source_first}")
            self.report(gone=[A], host="two")
            self.delete(A)

    def test_exact_cpus_are_taken_there(self) -> None:
        self.report(self.instance(A), self.instance(C))
        self.report(self.instance(B, "two"), host="two")
        self.create(A, "4-5")
        self.create(B, "5-6")
        answer = self.report(self.instance(A, "two"), host="two")
        self.assertTrue(answer.placements_changed)
        self.assertEqual(
            (
                "failed",
                f"pCPU 5 of host two is already held by the pin of instance {B}.",
            ),
            self.status(A),
        )
        pin = self.row(A)
        self.assertEqual(("two", None), (pin.host, pin.placement))
        self.assertEqual(({}, {B: "5-6"}), (self.claims("one"), self.claims("two")))
        self.assertEqual("pending", self.create(C, "4-5").status)
        # as soon as there is room, it is had
        self.delete(B)
        self.confirm(B, host="two")
        self.report(self.instance(A, "two"), self.instance(B, "two"), host="two", full=True)
        self.assertEqual(("pending", None), self.status(A))
        self.assertEqual({A: "4-5"}, self.claims("two"))

    def test_failure_is_told_once(self) -> None:
        self.report(self.instance(B, "two"), host="two")
        self.create(B, "4")
        self.create(A, "4", wait=True)
        for _ in range(3):
            self.report(self.instance(A, "two"), host="two")
        self.assertEqual(["created", "failed"], self.events(A))

    def test_deleted_pin_moves_to_be_released_there(self) -> None:
        self.report(self.instance(A))
        self.create(A, "4")
        self.confirm(A)
        self.delete(A)
        self.report(self.instance(A, "two"), host="two")
        pin = self.row(A)
        self.assertEqual(("two", None, True), (pin.host, pin.placement, pin.deleted))
        self.assertEqual({}, self.claims("one"))
        self.confirm(A, host="two")
        self.assertIsNone(self.row_or_none(A))

    def test_word_of_the_former_host_does_not_count(self) -> None:
        self.report(self.instance(A))
        self.create(A, "4")
        self.report(self.instance(A, "two"), host="two")
        before = self.status(A), self.claims("two"), self.row(A).in_force
        for result in ("applied", "failed", "drifted", "released"):
            self.report(outcomes=[outcome(A, 1, result)])
        self.assertEqual(before, (self.status(A), self.claims("two"), self.row(A).in_force))

    def test_word_of_a_former_stay_does_not_count(self) -> None:
        self.report(self.instance(A))
        self.create(A, "4")
        self.confirm(A)
        arrival = self.row(A).arrival
        self.report(self.instance(A, "two"), host="two")
        # what it says was carried out before
        late = outcome(A, 1, in_force=placement(vcpus={"0": "4", "1": "4"}), arrival=arrival)
        self.report(self.instance(A), outcomes=[late])
        self.assertEqual((arrival + 2, "pending"), (self.row(A).arrival, self.row(A).status))
        self.report(outcomes=[late])
        self.assertEqual("pending", self.row(A).status)
        self.confirm(A)
        self.assertEqual("applied", self.row(A).status)

    def test_both_ways_at_once(self) -> None:
        # each report changes the host of the other: whoever loses the race tries again
        for _ in range(3):
            self.report(self.instance(A), full=True)
            self.report(self.instance(B, "two"), host="two", full=True)
            self.create(A, "4")
            self.create(B, "5")
            results = self.race(
                lambda: self.report(self.instance(B)),
                lambda: self.report(self.instance(A, "two"), host="two"),
            )
            self.assertEqual([Answer] * 2, [type(result) for result in results], str(results))
            self.assertEqual(({B: "5"}, {A: "4"}), (self.claims("one"), self.claims("two")))
            for uuid in (A, B):
                self.delete(uuid)
            self.report(full=True)
            self.report(host="two", full=True)


class NoPlaceTest(base.ConductorTestCase):
    """An instance comes to a host on which another holds the pCPUs that its pin names."""

    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A)
        self.create(A, "4")
        self.confirm(A)
        self.run_instances(B, host="two")
        self.create(B, "4")
        self.confirm(B, host="two")
        self.report(self.instance(A, "two"), self.instance(B, "two"), host="two", full=True)

    def to_do(self) -> dict[str, Any]:
        """Return what the agent of the host shall do with each instance."""
        with engine.reader() as session:
            return {row.instance_uuid: row.placement for row in pins.for_agent(session, "two")}

    def test_what_it_brought_along_is_released(self) -> None:
        self.assertEqual("failed", self.row(A).status)
        self.assertEqual({B: "4"}, self.claims("two"))
        self.assertIsNone(self.to_do()[A])
        # it was here before, with nothing in force
        before = self.row(A).in_force
        self.report(host="two", outcomes=[outcome(A, 1, "released", arrival=0)])
        self.assertEqual(before, self.row(A).in_force)
        self.report(host="two", outcomes=[outcome(A, 1, "released")])
        self.assertEqual("failed", self.row(A).status)
        self.assertIsNone(self.row(A).in_force)
        # the agent says so with each full report
        generation = self.host_row("two").generation
        self.report(host="two", outcomes=[outcome(A, 1, "released")])
        self.assertEqual(generation, self.host_row("two").generation)

    def test_what_another_agent_did_unasked_is_released(self) -> None:
        self.report(host="two", outcomes=[outcome(A, 1, "released")])
        # host one still holds the pin: nobody has told it that the instance left
        self.report(self.instance(C), full=True)
        self.create(C, "4")
        self.report(self.instance(A), self.instance(C), full=True)
        self.assertEqual(("failed", None), (self.row(A).status, self.row(A).in_force))
        with engine.reader() as session:
            to_do = {row.instance_uuid: row.placement for row in pins.for_agent(session, "one")}
        self.assertIsNone(to_do[A])

    def test_pinned_elsewhere_a_moment_ago(self) -> None:
        # host two carried it out, and the instance left before it could say so
        self.update(A, "5")
        self.assertEqual("pending", self.row(A).status)
        self.report(self.instance(A, "three", holds="5"), host="three", full=True)
        self.assertEqual({A: "5"}, self.claims("three"))
        self.assertEqual("pending", self.row(A).status)
        # its next host must not take that for somebody else's doing, and can release it
        brought = self.row(A).in_force
        assert brought is not None
        self.assertTrue(brought.cpus >> 5 & 1)

    def test_placed_as_soon_as_there_is_room(self) -> None:
        self.report(host="two", outcomes=[outcome(A, 1, "released")])
        self.delete(B)
        self.confirm(B, host="two")
        self.report(self.instance(A, "two"), self.instance(B, "two"), host="two", full=True)
        self.assertEqual(("pending", 1), (self.row(A).status, self.row(A).generation))
        self.report(host="two", outcomes=[outcome(A, 1, "released")])
        self.assertEqual("pending", self.row(A).status)
        self.assertEqual({A: "4"}, self.claims("two"))
        self.confirm(A, host="two")
        self.assertEqual("applied", self.row(A).status)


class LifecycleTest(base.ConductorTestCase):
    """Waiting, pending, applied, drifted, failed."""

    def test_waiting_pin_is_adopted(self) -> None:
        self.create(A, "4", wait=True)
        answer = self.report(self.instance(A, project_id="telco", user_id="somebody"), full=True)
        self.assertTrue(answer.placements_changed)
        pin = self.row(A)
        self.assertEqual(("one", "pending", None, 1), _summary(pin))
        self.assertEqual(("telco", "somebody"), (pin.project_id, pin.user_id))
        self.assertEqual(placement(vcpus={"0": "4", "1": "4"}), pin.placement)
        self.assertEqual({A: "4"}, self.claims())
        self.assertEqual(["created", "pending"], self.events(A))
        self.assertFalse(self.report(self.instance(A), full=True).placements_changed)

    def test_waiting_pin_is_adopted_before_its_instance_runs(self) -> None:
        self.create(A, "4", wait=True)
        self.report(self.instance(A, state="shutoff"), full=True)
        self.assertEqual(("waiting", "the instance is shutoff"), self.status(A))
        self.assertEqual({A: "4"}, self.claims())
        self.report(self.instance(A))
        self.assertEqual(("pending", None), self.status(A))

    def test_first_of_two_waiting_pins_wins(self) -> None:
        self.create(A, "4", wait=True)
        self.create(B, "4", wait=True)
        self.run_instances(A, B)
        statuses = {self.status(A)[0], self.status(B)[0]}
        self.assertEqual({"pending", "failed"}, statuses)
        self.assertEqual(["4"], list(self.claims().values()))

    def test_what_one_report_settles_counts_for_the_rest_of_it(self) -> None:
        self.create(A, vcpus={"*": "4"}, wait=True)
        self.create(B, "4", wait=True)
        self.run_instances(A, B)
        self.assertEqual(({"pending", "failed"}), {self.status(A)[0], self.status(B)[0]})
        loser, winner = (A, B) if self.status(A)[0] == "failed" else (B, A)
        # who leaves makes room for who comes
        self.report(self.instance(loser), full=True)
        self.assertEqual(("pending", None), self.status(loser))
        self.assertEqual("waiting", self.status(winner)[0])

    def test_generation_of_the_host_rises_with_placements_or_claims(self) -> None:
        self.create(A, vcpus={"*": "4"}, wait=True)
        self.run_instances(A, B)
        generation = self.host_row().generation
        self.run_instances(A, B)
        self.assertEqual(generation, self.host_row().generation)
        # a placement without a claim
        self.create(B, vcpus={"*": "4"})
        self.report(gone=[B])
        generation = self.host_row().generation
        self.report(self.instance(B))
        self.assertEqual(generation + 1, self.host_row().generation)
        # a claim without a placement
        self.update(A, "5")
        self.confirm(A)
        self.delete(A)
        generation = self.host_row().generation
        self.confirm(A)
        self.assertEqual(generation + 1, self.host_row().generation)

    def test_refused_pin_of_a_stopped_instance_stays_refused(self) -> None:
        self.create(A, "15", wait=True)
        self.report(self.instance(A, state="shutoff"), full=True)
        reason = "vcpus.*: pCPU 15 is offline"
        self.assertEqual(("failed", reason), self.status(A))
        # nor does any host know enough of it to have a word
        for result in ("applied", "drifted", "failed", "released"):
            self.report(outcomes=[outcome(A, 1, result, "surely not")])
        self.assertEqual(("failed", reason), self.status(A))
        self.assertIsNone(self.row(A).in_force)

    def test_release_of_a_pin_that_nobody_deleted(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.report(outcomes=[outcome(A, 1, "released")])
        self.assertEqual(("pending", {A: "4"}), (self.status(A)[0], self.claims()))

    def test_waiting_pin_that_fits_not(self) -> None:
        self.create(A, vcpus={"7": "4"}, wait=True)
        self.run_instances(A)
        self.assertEqual(
            ("failed", "vcpus.7: the instance has no vCPU 7 (it has 2)"), self.status(A)
        )

    def test_instance_of_another_project(self) -> None:
        self.create(A, "4", wait=True, project_id="thief")
        self.run_instances(A, project_id="owner")
        pin = self.row(A)
        self.assertEqual(
            ("failed", "the instance belongs to another project than the pin"),
            (pin.status, pin.reason),
        )
        self.assertEqual(("thief", None, {}), (pin.project_id, pin.placement, self.claims()))

    def test_ownerless_pin_or_instance_is_no_mismatch(self) -> None:
        for number, (theirs, ours) in enumerate(((None, "owner"), ("owner", None), (None, None))):
            uuid = f"{number:08d}-1111-4111-8111-111111111111"
            self.create(uuid, f"{number}", wait=True, project_id=theirs)
            self.report(self.instance(uuid, project_id=ours, user_id=None), full=True)
            self.assertEqual(("pending", "mano"), (self.row(uuid).status, self.row(uuid).user_id))
            self.assertEqual(theirs or ours, self.row(uuid).project_id)

    def test_applied_drifted_failed(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        here = self.row(A).placement
        for result, reason in (
            ("applied", None),
            ("drifted", "vCPU 0 is on 9"),
            ("applied", None),
            ("failed", "Invalid argument"),
        ):
            answer = self.report(outcomes=[outcome(A, 1, result, reason, here)])
            self.assertFalse(answer.placements_changed)
            self.assertEqual((result, reason), self.status(A))
        self.assertEqual(["created", "applied", "drifted", "applied", "failed"], self.events(A))
        self.assertEqual({A: "4"}, self.claims())

    def test_all_that_happened_is_in_the_history(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        here = self.row(A).placement
        self.report(
            outcomes=[
                outcome(A, 1, "applied", None, here),
                outcome(A, 1, "drifted", "it moved", here),
                outcome(A, 1, "applied", None, here),
            ]
        )
        self.assertEqual(["created", "applied", "drifted", "applied"], self.events(A))
        self.assertEqual(("applied", None), self.status(A))

    def test_same_word_again_is_no_event(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        for _ in range(3):
            self.confirm(A)
        self.assertEqual(["created", "applied"], self.events(A))

    def test_word_of_an_older_wish_is_ignored(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        here = self.row(A).placement
        self.update(A, "5")
        before = self.row(A)
        for result in ("applied", "failed", "released"):
            self.report(outcomes=[outcome(A, 1, result, "late", here)])
        after = self.row(A)
        self.assertEqual(
            (before.status, before.in_force, {A: "4-5"}),
            (after.status, after.in_force, self.claims()),
        )

    def test_word_of_a_pin_that_nobody_knows(self) -> None:
        self.run_instances(A)
        before = self.row_or_none(A), self.claims()
        self.report(outcomes=[outcome(A, 1), outcome(B, 1, "released")])
        self.assertEqual(before, (self.row_or_none(A), self.claims()))

    def test_failure_that_was_undone_frees_what_was_in_force_on_the_way(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.confirm(A)
        old = self.row(A).placement
        self.update(A, "5")
        self.report(outcomes=[outcome(A, 2, "failed", "refused", in_force=old)])
        # still runs on 4 and still wants 5
        self.assertEqual(("failed", "refused"), self.status(A))
        self.assertEqual({A: "4-5"}, self.claims())

    def test_first_wish_fails_and_is_undone(self) -> None:
        self.run_instances(A, B)
        self.create(A, "4")
        self.update(A, "5")
        self.report(outcomes=[outcome(A, 2, "failed", "refused", in_force=None)])
        self.assertEqual({A: "5"}, self.claims())
        self.assertEqual("pending", self.create(B, "4").status)

    def test_pin_that_cannot_be_released_keeps_its_claims(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.confirm(A)
        self.delete(A)
        self.report(outcomes=[outcome(A, 2, "failed", "stuck", self.row(A).in_force)])
        self.assertEqual((True, {A: "4"}), (self.row(A).deleted, self.claims()))

    def test_instance_stops_and_starts(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.confirm(A)
        for state in ("shutoff", "crashed"):
            answer = self.report(self.instance(A, state=state))
            self.assertEqual(("waiting", f"the instance is {state}"), self.status(A))
            self.assertEqual(({A: "4"}, False), (self.claims(), answer.placements_changed))
        self.report(self.instance(A))
        self.assertEqual(("pending", None), self.status(A))
        # the agent finds another process than the one that it placed
        drifted = outcome(A, 1, "drifted", "elsewhere", self.row(A).in_force, cause="hard_reboot")
        self.report(outcomes=[drifted])
        self.assertEqual(("pending", None), self.status(A))
        self.confirm(A)
        self.assertEqual(("applied", None), self.status(A))
        self.assertNotIn("drifted", self.events(A))
        self.report(outcomes=[drifted])
        self.assertEqual(("drifted", "elsewhere"), self.status(A))

    def test_paused_instance_is_pinned_like_a_running_one(self) -> None:
        for state in ("paused", "blocked", "shutdown", "suspended"):
            self.run_instances(A, state=state)
            self.assertEqual("pending", self.create(A, "4").status, state)
            self.confirm(A)
            self.report(self.instance(A, state=state), full=True)
            self.assertEqual("applied", self.row(A).status, state)
            self.delete(A)
            self.report(full=True)

    def test_last_words_do_not_make_a_stopped_instance_applied(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        here = self.row(A).placement
        # it was applied, then the instance stopped, then the agent had time to report
        self.report(
            self.instance(A, state="shutoff"), outcomes=[outcome(A, 1, "applied", None, here)]
        )
        self.assertEqual(("waiting", "the instance is shutoff"), self.status(A))
        self.report(outcomes=[outcome(A, 1, "failed", "it stopped", here)])
        self.assertEqual(("waiting", "the instance is shutoff"), self.status(A))
        self.assertEqual(here, self.row(A).in_force)

    def test_instance_is_gone(self) -> None:
        for full in (True, False):
            self.run_instances(A)
            self.create(A, "4")
            self.confirm(A)
            self.report(gone=() if full else [A], full=full)
            pin = self.row(A)
            self.assertEqual((None, "waiting", "the instance left host one", 1), _summary(pin))
            self.assertEqual((None, {}), (pin.placement, self.claims()))
            self.delete(A)

    def test_deleted_pin_ends_with_its_instance(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.delete(A)
        self.report(gone=[A])
        self.assertEqual((None, {}), (self.row_or_none(A), self.claims()))


class LongReasonTest(base.ConductorTestCase):
    """No column takes all that there may be to say of many parts: that must not end a report."""

    def test_of_a_drift(self) -> None:
        self.report(self.instance(A), full=True)
        self.create(A, "4-5")
        self.confirm(A)
        even = ",".join(str(pcpu) for pcpu in range(0, 512, 2))
        reason = ", ".join(f"vCPU {vcpu} is on {even} instead of {vcpu}" for vcpu in range(288))
        self.assertGreater(len(reason), 65535)
        for _ in range(2):
            self.report(outcomes=[outcome(A, 1, "drifted", reason, self.row(A).placement)])
        status, told = self.status(A)
        self.assertEqual("drifted", status)
        self.assertLess(4 * len(told or ""), 65535)
        self.assertTrue(told and reason.startswith(told.removesuffix("...")), told)
        self.assertEqual(["created", "pending", "applied", "drifted"][-2:], self.events(A)[-2:])

    def test_of_a_wish_that_names_parts_that_there_are_not(self) -> None:
        self.report(full=True)
        self.create(A, wait=True, qos={"vcpus": {"0-8191": {"weight": 100}}})
        self.create(B, "4", wait=True)
        self.report(self.instance(A), self.instance(B), full=True)
        status, told = self.status(A)
        self.assertEqual("failed", status)
        self.assertIn("qos.vcpus.2: the instance has no vCPU 2", told or "")
        self.assertEqual(("pending", None), self.status(B))


class ResizeTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)

    def test_every_vcpu_follows_the_size(self) -> None:
        self.create(A, "4-5")
        self.confirm(A)
        answer = self.report(self.instance(A, vcpus=3))
        self.assertTrue(answer.placements_changed)
        pin = self.row(A)
        self.assertEqual(placement(vcpus=dict.fromkeys("012", "4-5")), pin.placement)
        self.assertEqual(placement(vcpus=dict.fromkeys("01", "4-5")), pin.in_force)
        self.assertEqual(("pending", None), self.status(A))
        self.assertEqual(2, pin.generation)
        self.confirm(A)
        answer = self.report(self.instance(A, vcpus=1))
        self.assertTrue(answer.placements_changed)
        self.assertEqual(placement(vcpus={"0": "4-5"}), self.row(A).placement)

    def test_word_of_the_former_size_does_not_count(self) -> None:
        # the agent applies what it has as soon as the instance starts, and tells both at once
        self.create(A, "4-5")
        self.confirm(A)
        old = self.row(A)
        self.report(
            self.instance(A, vcpus=3),
            outcomes=[outcome(A, old.generation, "applied", None, old.placement)],
        )
        self.assertEqual(("pending", None), self.status(A))
        self.report(outcomes=[outcome(A, old.generation, "failed", "no vCPU 1", old.placement)])
        self.assertEqual(("pending", None), self.status(A))
        self.confirm(A)
        self.assertEqual(("applied", None), self.status(A))

    def test_before_the_former_placement_was_confirmed(self) -> None:
        # it may be in force none the less
        self.create(A, "4-5")
        old = self.row(A).placement
        self.report(self.instance(A, vcpus=3))
        self.assertEqual(old, self.row(A).in_force)

    def test_vcpu_of_the_wish_is_gone(self) -> None:
        self.create(A, cpu_policy="dedicated", vcpus={"0": "4", "1": "5"})
        self.confirm(A)
        self.report(self.instance(A, vcpus=1))
        self.assertEqual(
            ("failed", "vcpus.1: the instance has no vCPU 1 (it has 1)"), self.status(A)
        )
        self.assertEqual({A: "4-5"}, self.claims())

    def test_no_room_for_a_plugged_vcpu(self) -> None:
        self.create(B, "0-3")
        self.create(A, cpu_policy="dedicated", memory={"nodes": "0"})
        self.confirm(A)
        before = self.row(A)
        self.report(self.instance(A, vcpus=5))
        failed = ("failed", "vcpus: NUMA node 0 has 4 of the 5 dedicated pCPUs needed: 1 short")
        self.assertEqual(failed, self.status(A))
        # it is carried out as before, also says a report that does not list the instance
        self.confirm(A)
        self.report(self.instance(A, vcpus=5))
        self.confirm(A)
        self.assertEqual(failed, self.status(A))
        self.assertEqual("failed", self.events(A)[-1])
        now = self.row(A)
        self.assertEqual((before.placement, before.generation), (now.placement, now.generation))
        self.delete(B)
        self.confirm(B)
        self.report(self.instance(A, vcpus=5))
        self.assertEqual(("pending", None), self.status(A))
        self.confirm(A)
        self.assertEqual(("applied", None), self.status(A))
        self.assertEqual(5, cpuset.parse(self.claims()[A]).bit_count())

    def test_iothread_of_the_wish_is_gone(self) -> None:
        self.create(A, iothreads={"1": "4"})
        self.report(self.instance(A, iothreads=[]))
        self.assertEqual(
            ("failed", "iothreads.1: the instance has no I/O thread 1"), self.status(A)
        )

    def test_memory_is_no_reason_to_place_anew(self) -> None:
        self.create(A, "4-5")
        self.confirm(A)
        self.assertFalse(self.report(self.instance(A, memory_mib=1024)).placements_changed)
        self.assertEqual(("applied", None), self.status(A))


def _summary(pin: object) -> tuple[object, ...]:
    return tuple(getattr(pin, name) for name in ("host", "status", "reason", "generation"))
