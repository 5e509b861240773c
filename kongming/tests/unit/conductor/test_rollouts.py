# SPDX-License-Identifier: Apache-2.0
"""What becomes of those who follow a template that changes, step by step."""

import datetime
import functools
from typing import Any

import fixtures
import sqlalchemy as sa
from oslo_utils import timeutils

from kongming import exception, objects
from kongming.conductor import pins, reservations, rollouts, steps, templates
from kongming.db import engine, models
from kongming.db import reservations as db_reservations
from kongming.db import rollouts as db_rollouts
from kongming.objects.asked import Asked
from kongming.tests.unit.conductor.base import A, B, C, outcome
from kongming.tests.unit.conductor.test_templates import TemplateTestCase
from kongming.topology.answer import Size
from kongming.topology.wish import Wish


def dedicated(cpus: str) -> dict[str, Any]:
    """Return the wish to have pCPUs alone, for two vCPUs."""
    return {"cpu_policy": "dedicated", "vcpus": {"*": cpus}}


class RolloutTestCase(TemplateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B, C)

    def step(self, rollout_id: str | None) -> steps.Step:
        """Take one look."""
        assert rollout_id is not None
        return steps.advance(self.context, rollout_id)

    def go_on(self, rollout_id: str | None) -> str:
        """Take steps until something has to be waited for; return the state."""
        while self.step(rollout_id).again:
            pass
        return self.rollout(rollout_id).state

    def rollout(self, rollout_id: str | None) -> models.Rollout:
        """Return a rollout."""
        with engine.reader() as session:
            found = session.get(models.Rollout, rollout_id)
            session.expunge_all()
        assert found is not None
        return found

    def versions(self, *uuids: str) -> list[int | None]:
        """Return which version some pins have."""
        return [self.row(uuid).template_version for uuid in uuids]

    def fail(self, uuid: str) -> None:  # type: ignore[override]
        """Let the host of a pin say that it could not."""
        pin = self.row(uuid)
        word = outcome(uuid, pin.generation, "failed", "no", in_force=pin.in_force)
        self.report(outcomes=[word])

    def current(self, template: objects.Template) -> int:
        """Return the version that those take which begin to follow."""
        with engine.reader() as session:
            found = session.get(models.Template, template.id)
            assert found is not None
            return found.current

    def started(self, *uuids: str, batch_size: int = 1, **wish: Any) -> tuple[Any, str]:
        """Let some follow a template that then changes; return it and the rollout."""
        template = self.template(wish={"vcpus": {"*": "0"}})
        for uuid in uuids:
            self.follow(uuid, template)
            self.confirm(uuid)
        changed = self.change(template, batch_size=batch_size, wish=wish or {"vcpus": {"*": "1"}})
        self.assertEqual("running", self.go_on(changed.rollout_id))
        return template, changed.rollout_id


class StepTest(RolloutTestCase):
    def test_one_after_the_other(self) -> None:
        template, rollout = self.started(A, B)
        self.assertEqual([2, 1], self.versions(A, B))
        self.assertEqual(steps.Step(), self.step(rollout))
        self.confirm(A)
        self.assertEqual((frozenset({"one"}), True), _parts(self.step(rollout)))
        self.assertEqual([2, 2], self.versions(A, B))
        self.assertEqual(1, self.current(template))
        self.confirm(B)
        self.assertEqual("completed", self.go_on(rollout))
        self.assertEqual(2, self.current(template))
        self.assertEqual(["created", "applied", "changed", "applied"], self.events(B))
        self.assertEqual(("rollout", rollout), _by(self.asked_by(B)[2]))

    def test_batches(self) -> None:
        _, rollout = self.started(A, B, C, batch_size=2)
        self.assertEqual([2, 2, 1], self.versions(A, B, C))
        self.confirm(A)
        self.go_on(rollout)
        self.assertEqual([2, 2, 1], self.versions(A, B, C))
        self.confirm(B)
        self.go_on(rollout)
        self.assertEqual([2, 2, 2], self.versions(A, B, C))

    def test_failure(self) -> None:
        template, rollout = self.started(A, B, C)
        self.confirm(A)
        self.go_on(rollout)
        self.fail(B)
        self.assertEqual("returning", self.go_on(rollout))
        # the last one first
        self.assertEqual([2, 1, 1], self.versions(A, B, C))
        self.confirm(B)
        self.go_on(rollout)
        self.assertEqual([1, 1, 1], self.versions(A, B, C))
        self.assertEqual("returning", self.rollout(rollout).state)
        self.confirm(A)
        self.assertEqual("returned", self.go_on(rollout))
        found = self.rollout(rollout)
        self.assertEqual((B, f"instance {B}: no"), (found.failed_pin, found.reason))
        self.assertEqual(1, self.current(template))
        self.assertEqual(1, self.row(C).generation)

    def test_the_same_once_more_after_it_went_back(self) -> None:
        template, rollout = self.started(A)
        # it is on its way already
        self.assertIsNone(self.change(template, wish={"vcpus": {"*": "1"}}).rollout_id)
        self.fail(A)
        self.go_on(rollout)
        # not any more
        again = self.change(template, wish={"vcpus": {"*": "1"}})
        self.assertEqual(2, again.version)
        self.confirm(A)
        self.assertEqual("returned", self.go_on(rollout))
        self.assertEqual("running", self.go_on(again.rollout_id))
        self.confirm(A)
        self.assertEqual("completed", self.go_on(again.rollout_id))
        self.assertEqual(([2], 2), (self.versions(A), self.current(template)))

    def test_failure_of_the_last_one_while_it_is_looked_at(self) -> None:
        template, rollout = self.started(A)
        with engine.reader() as session:
            before = [db_rollouts.followers(session, template.id)]
        before[0][0] = before[0][0]._replace(status="applied")
        look = db_rollouts.followers
        self.fail(A)
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{db_rollouts.__name__}.followers",
                lambda *args: before.pop() if before else look(*args),
            )
        )
        self.assertEqual("returning", self.go_on(rollout))
        self.assertEqual(A, self.rollout(rollout).failed_pin)

    def test_drift_is_no_failure(self) -> None:
        _, rollout = self.started(A, B)
        self.confirm(A)
        pin = self.row(A)
        self.report(outcomes=[outcome(A, pin.generation, "drifted", "why", pin.placement)])
        self.go_on(rollout)
        self.assertEqual([2, 2], self.versions(A, B))

    def test_host_that_is_down_is_not_waited_for(self) -> None:
        _, rollout = self.started(A, B)
        with engine.writer() as session:
            host = session.get(models.Host, "one")
            assert host is not None
            host.reported_at = timeutils.utcnow() - datetime.timedelta(hours=1)
        self.assertEqual("completed", self.go_on(rollout))
        self.assertEqual("pending", self.row(B).status)

    def test_instance_that_is_nowhere(self) -> None:
        self.report(self.instance(A), self.instance(B), full=True)
        template = self.template(wish={})
        self.follow(C, template)
        changed = self.change(template, wish={"emulator": "1"})
        self.assertEqual("completed", self.go_on(changed.rollout_id))
        self.assertEqual(("waiting", Wish(emulator=2)), (self.row(C).status, self.row(C).wish))

    def test_role_that_says_the_same_stays_where_it_is(self) -> None:
        roles: dict[str, Any] = {"a": {"cpu_policy": "dedicated"}, "b": {}}
        template = self.template(roles=roles)
        self.create(C, "0-1")
        self.follow(A, template, "a")
        self.follow(B, template, "b")
        self.delete(C)
        for uuid in (A, B, C):
            self.confirm(uuid)
        changed = self.change(template, roles={**roles, "b": {"emulator": "1"}})
        self.go_on(changed.rollout_id)
        self.confirm(B)
        self.assertEqual("completed", self.go_on(changed.rollout_id))
        self.assertEqual(([2, 2], {A: "2-3"}), (self.versions(A, B), self.claims()))
        self.assertEqual((1, 2), (self.row(A).generation, self.row(B).generation))
        self.assertEqual(["created", "applied", "changed"], self.events(A))

    def test_pin_of_another_project_than_its_instance_is_not_waited_for(self) -> None:
        template = self.template(wish={})
        self.report(self.instance(A), self.instance(B), full=True)
        self.follow(C, template)
        self.report(self.instance(A), self.instance(C, project_id="shop"), full=True)
        self.assertEqual("failed", self.row(C).status)
        self.follow(A, template)
        self.confirm(A)
        changed = self.change(template, wish={"emulator": "1"})
        self.go_on(changed.rollout_id)
        self.confirm(A)
        self.assertEqual("completed", self.go_on(changed.rollout_id))
        self.assertEqual([2, 2], self.versions(A, C))

    def test_taken_away_on_the_way(self) -> None:
        template = self.template(wish={"vcpus": {"*": "0"}})
        for uuid in (A, B):
            self.follow(uuid, template)
            self.confirm(uuid)
        changed = self.change(template, wish={"vcpus": {"*": "5"}})
        self.go_on(changed.rollout_id)
        self.confirm(A)
        with engine.writer() as session:
            # as if others had given C this pCPU
            instance = session.get(models.Instance, C)
            assert instance is not None
            instance.holds = "5"
        self.assertEqual("returning", self.go_on(changed.rollout_id))
        self.assertIn("pCPU 5", str(self.rollout(changed.rollout_id).reason))
        self.assertEqual(B, self.rollout(changed.rollout_id).failed_pin)

    def chosen(self) -> tuple[str, str]:
        """Let A go from pCPUs that were chosen to others; return it and its rollout."""
        template = self.template(wish={"cpu_policy": "dedicated"})
        self.create(B, "0-1")
        self.follow(A, template)
        self.delete(B)
        for uuid in (A, B):
            self.confirm(uuid)
        # made anew it would get 0-1
        self.assertEqual({A: "2-3"}, self.claims())
        rollout = self.change(template, wish=dedicated("6-7")).rollout_id
        self.go_on(rollout)
        self.confirm(A)
        return A, rollout

    def test_what_was_chosen_before_is_chosen_again(self) -> None:
        uuid, rollout = self.chosen()
        rollouts.cancel(self.context, rollout)
        self.go_on(rollout)
        self.confirm(uuid)
        self.assertEqual("returned", self.go_on(rollout))
        self.assertEqual({A: "2-3"}, self.claims())

    def test_what_was_chosen_before_is_gone(self) -> None:
        uuid, rollout = self.chosen()
        self.create(B, "3-4")
        rollouts.cancel(self.context, rollout)
        self.go_on(rollout)
        self.confirm(uuid)
        self.assertEqual("returned", self.go_on(rollout))
        self.assertEqual({A: "0-1", B: "3-4"}, self.claims())

    def test_no_way_back(self) -> None:
        """Another one took what the pin had; it says so, and gets it once it is free."""
        template = self.template(wish=dedicated("4-5"))
        self.follow(A, template)
        self.confirm(A)
        changed = self.change(template, wish=dedicated("6-7"))
        self.go_on(changed.rollout_id)
        self.confirm(A)
        self.create(B, "4-5")
        self.confirm(B)
        rollouts.cancel(self.context, changed.rollout_id)
        self.assertEqual("failed", self.go_on(changed.rollout_id))
        found = self.rollout(changed.rollout_id)
        self.assertIn(f"not brought back: instance {A}: pCPU 4-5 of host one", str(found.reason))
        row = self.row(A)
        self.assertEqual(("failed", 1, None), (row.status, row.template_version, row.placement))
        # what it was given stays its own until its host has released it
        self.assertEqual({A: "6-7", B: "4-5"}, self.claims())
        self.report(outcomes=[outcome(A, row.generation, "released")])
        self.assertEqual({B: "4-5"}, self.claims())
        self.delete(B)
        self.confirm(B)
        self.report(self.instance(A), full=True)
        self.assertEqual("pending", self.row(A).status)
        self.assertEqual({A: "4-5"}, self.claims())

    def test_reservation_is_made_anew(self) -> None:
        self.report(self.instance(A), self.instance(B), full=True)
        template = self.template(wish=dedicated("4-5"))
        pin = objects.Pin(
            instance_uuid=C,
            project_id="telco",
            user_id="mano",
            asked={},
            template_id=template.id,
            template_role=None,
        )
        target = reservations.Target("one", Size(2, 512), 600)
        pins.create(self.context, pin, wait=True, target=target)
        changed = self.change(template, wish=dedicated("6-7"))
        self.assertEqual("completed", self.go_on(changed.rollout_id))
        self.assertEqual({C: "6-7"}, self.claims())
        with engine.reader() as session:
            reserved = db_reservations.get(session, C)
            assert reserved is not None
            left = (reserved.expires_at - timeutils.utcnow()).total_seconds()
        self.assertTrue(500 < left <= 600)


class OwnerTest(RolloutTestCase):
    def test_own_fields_change_and_the_version_stays(self) -> None:
        template, rollout = self.started(A, B)
        for uuid in (A, B):
            pins.update(self.context, uuid, Asked({"emulator": "3"}, template.id), None)
        self.assertEqual([2, 1], self.versions(A, B))
        self.confirm(A)
        self.confirm(B)
        self.go_on(rollout)
        self.fail(B)
        self.go_on(rollout)
        self.confirm(B)
        self.go_on(rollout)
        self.assertEqual([1, 1], self.versions(A, B))
        self.assertEqual(Wish(every_vcpu=1, emulator=8), self.row(A).wish)

    def test_who_follows_no_more_is_left_alone(self) -> None:
        _, rollout = self.started(A, B, C)
        pins.update(self.context, A, Asked({"emulator": "3"}), None)
        self.delete(C)
        self.assertEqual("running", self.go_on(rollout))
        self.assertEqual([None, 2], self.versions(A, B))
        self.fail(B)
        self.go_on(rollout)
        self.confirm(B)
        self.assertEqual("returned", self.go_on(rollout))
        self.assertEqual(Wish(emulator=8), self.row(A).wish)

    def test_contradiction_made_meanwhile(self) -> None:
        wish: dict[str, Any] = {"cpu_policy": "dedicated", "thread_policy": "prefer"}
        template, rollout = self.started(A, B, **wish)
        pins.update(self.context, B, Asked({"cpu_policy": "shared"}, template.id), None)
        self.confirm(A)
        self.assertEqual("returning", self.go_on(rollout))
        self.assertIn("thread_policy", str(self.rollout(rollout).reason))
        self.assertEqual([1, 1], self.versions(A, B))

    def test_begins_to_follow_while_a_version_is_made(self) -> None:
        template = self.template()
        self.follow(A, template)
        before: list[list[models.Pin]] = [[]]
        look = db_rollouts.lock_followers
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{db_rollouts.__name__}.lock_followers",
                lambda *args: before.pop() if before else look(*args),
            )
        )
        changed = self.change(template, wish={"emulator": "1"})
        self.assertEqual((2, 1), (changed.version, changed.current))
        self.assertEqual(1, self.rollout(changed.rollout_id).total)


class RefusalTest(RolloutTestCase):
    def test_each_one_that_does_not_fit_is_named(self) -> None:
        template = self.template(wish={})
        for uuid in (A, B, C):
            self.follow(uuid, template)
        error = self.refused(exception.DoesNotFit, self.change, template, wish=dedicated("4-5"))
        self.assertEqual(
            [f"instance {uuid}: pCPU 4-5 of host one" for uuid in (B, C)],
            [sentence.partition(" is ")[0] for _, sentence in error.errors],
        )

    def test_what_can_never_be_is_400(self) -> None:
        template = self.template(wish={})
        self.follow(A, template)
        error = self.refused(exception.BadRequest, self.change, template, wish=dedicated("99"))
        self.assertIn(f"instance {A}: vcpus.*: the host has no pCPU 99", error.message)

    def test_what_one_leaves_the_next_may_have(self) -> None:
        template = self.template(roles={"a": dedicated("4-5"), "b": dedicated("6-7")})
        self.follow(A, template, "a")
        self.follow(B, template, "b")
        for uuid in (A, B):
            self.confirm(uuid)
        forth = {"a": dedicated("2-3"), "b": dedicated("4-5")}
        back = {"a": dedicated("6-7"), "b": dedicated("2-3")}
        # A would have to go where B still is
        self.refused(exception.DoesNotFit, self.change, template, roles=back)
        # in one batch B would have to go where A still is
        self.refused(exception.DoesNotFit, self.change, template, roles=forth, batch_size=2)
        changed = self.change(template, roles=forth)
        for uuid in (A, B):
            self.assertEqual("running", self.go_on(changed.rollout_id))
            self.confirm(uuid)
        self.assertEqual("completed", self.go_on(changed.rollout_id))
        self.assertEqual({A: "2-3", B: "4-5"}, self.claims())

    def test_memory_of_all_together(self) -> None:
        self.run_instances(A, B, C, memory_mib=3000)
        template = self.template(wish={})
        for uuid in (A, B, C):
            self.follow(uuid, template)
        wish = {"cpu_policy": "dedicated", "numa_nodes": [_node(3000) | {"host_node": 0}]}
        error = self.refused(exception.DoesNotFit, self.change, template, wish=wish)
        # two find room on the node
        self.assertEqual([C], [sentence.split()[1][:-1] for _, sentence in error.errors][:1])
        self.change(template, wish={**wish, "numa_nodes": [_node(3000)]})

    def test_unknown_version(self) -> None:
        template = self.template()
        self.refused(
            exception.TemplateVersionNotFound, rollouts.create, self.context, template.id, 2, 1
        )

    def test_no_longer_fits_when_its_turn_comes(self) -> None:
        template = self.template(wish={"vcpus": {"*": "0"}})
        self.follow(A, template)
        self.confirm(A)
        changed = self.change(template, wish=dedicated("4-5"))
        self.create(B, "4-5")
        self.assertEqual("returned", self.go_on(changed.rollout_id))
        self.assertIn("does not fit any more", str(self.rollout(changed.rollout_id).reason))
        self.assertEqual((1, 1), (self.row(A).generation, self.current(template)))


class QueueTest(RolloutTestCase):
    def test_what_was_touched_is_read_for_one_alone(self) -> None:
        _, rollout = self.started(A)
        with engine.reader() as session:
            (listed,) = db_rollouts.unfinished(session)
            self.assertIn("touched", sa.inspect(listed).unloaded)
        for read in (db_rollouts.get, db_rollouts.lock):
            with engine.writer() as session:
                found = read(session, rollout)
                assert found is not None
                self.assertNotIn("touched", sa.inspect(found).unloaded)

    def test_called_off_before_it_began(self) -> None:
        template, first = self.started(A, B)
        second = rollouts.create(self.context, template.id, 1, 1)
        self.assertEqual("returned", rollouts.cancel(self.context, second.id).state)
        self.refused(exception.RolloutIsOver, rollouts.cancel, self.context, second.id)
        self.assertEqual("running", self.rollout(first).state)

    def test_template_stays_until_all_are_over(self) -> None:
        template, rollout = self.started(A)
        self.delete(A)
        self.refused(exception.TemplateInUse, templates.delete, self.context, template.id)
        self.assertEqual("completed", self.go_on(rollout))
        templates.delete(self.context, template.id)

    def test_who_begins_to_follow_meanwhile(self) -> None:
        template, rollout = self.started(A)
        self.follow(B, template)
        self.confirm(B)
        self.assertEqual([2, 1], self.versions(A, B))
        self.confirm(A)
        self.go_on(rollout)
        self.assertEqual([2, 2], self.versions(A, B))
        self.confirm(B)
        self.assertEqual("completed", self.go_on(rollout))

    def test_steps_taken_by_several_at_once(self) -> None:
        _, rollout = self.started(A, B, C, batch_size=3)
        self.race(*[functools.partial(self.step, rollout)] * 4)
        for uuid in (A, B, C):
            self.assertEqual(1, self.events(uuid).count("changed"))
            self.confirm(uuid)
        self.race(*[functools.partial(self.go_on, rollout)] * 4)
        self.assertEqual("completed", self.rollout(rollout).state)


def _parts(step: steps.Step) -> tuple[frozenset[str], bool]:
    return step.hosts, step.again


def _by(told: dict[str, Any]) -> tuple[str, str]:
    return told["kind"], told["id"]


def _node(mib: int) -> dict[str, Any]:
    return {"vcpus": "0-1", "memory_mib": mib}
