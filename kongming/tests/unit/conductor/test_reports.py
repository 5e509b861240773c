# SPDX-License-Identifier: Apache-2.0
"""Reports come in: facts of hosts and instances, and what that costs."""

import dataclasses
import datetime

import sqlalchemy as sa

from kongming import objects
from kongming.conductor.reports import Answer
from kongming.db import engine, models
from kongming.tests import sql
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import TOPOLOGY, A, B, C, D, outcome, placement


class HostFactsTest(base.ConductorTestCase):
    def test_first_report(self) -> None:
        answer = self.report(full=True, interval=7, sequence=1790000000000)
        self.assertEqual(Answer(1790000000000), answer)
        host = self.host_row()
        self.assertEqual(TOPOLOGY, host.topology)
        self.assertEqual((1790000000000, 7), (host.report_sequence, host.report_interval))
        age = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - host.reported_at
        self.assertLess(abs(age.total_seconds()), 10)

    def test_partial_report_of_an_unknown_host(self) -> None:
        before = self.database()
        answer = self.report(self.instance(A), sequence=5)
        self.assertEqual(Answer(5, full_needed=True), answer)
        self.assertEqual(before, self.database())

    def test_older_reports_are_ignored(self) -> None:
        self.report(self.instance(A, name="new"), full=True, sequence=10)
        before = self.database()
        for sequence in (10, 9, 1):
            for full in (True, False):
                answer = self.report(self.instance(A, name="old"), full=full, sequence=sequence)
                self.assertEqual(Answer(10), answer)
                self.assertEqual(before, self.database())
        self.report(self.instance(A, name="newer"), sequence=11)
        instance = self.instance_row(A)
        self.assertEqual("newer", instance and instance.name)

    def test_hosts_have_sequences_of_their_own(self) -> None:
        self.report(full=True, sequence=10)
        self.assertEqual(Answer(1), self.report(host="two", full=True, sequence=1))

    def test_topology_changes(self) -> None:
        self.report(full=True)
        before = self.host_row().generation
        self.report(full=True)
        self.assertEqual(before, self.host_row().generation)
        smaller = dataclasses.replace(TOPOLOGY, offline=0)
        self.report(full=True, topology=smaller)
        self.assertEqual((before + 1, smaller), _topology(self.host_row()))
        # a partial report says nothing about it
        self.report()
        self.assertEqual((before + 1, smaller), _topology(self.host_row()))


def _topology(host: object) -> tuple[object, object]:
    return getattr(host, "generation", None), getattr(host, "topology", None)


class InstanceFactsTest(base.ConductorTestCase):
    def test_stored(self) -> None:
        observed = placement(vcpus={"0": "0-7"}, emulator="0-14")
        self.report(self.instance(A, observed=observed, iothreads=[1, 5]), full=True)
        instance = self.instance_row(A)
        assert instance is not None
        self.assertEqual(
            ("one", "vnf", "telco", "mano", 2, 512, [1, 5], "running", observed),
            (
                instance.host,
                instance.name,
                instance.project_id,
                instance.user_id,
                instance.vcpus,
                instance.memory_mib,
                instance.iothreads,
                instance.state,
                instance.observed,
            ),
        )

    def test_partial_report_changes_what_it_lists(self) -> None:
        self.run_instances(A, B, C)
        self.report(self.instance(A, name="new"), self.instance(D), gone=[B])
        found = {uuid: self.instance_row(uuid) for uuid in (A, B, C, D)}
        self.assertEqual(
            {A: "new", B: None, C: "vnf", D: "vnf"},
            {uuid: row and row.name for uuid, row in found.items()},
        )

    def test_what_a_full_report_does_not_list_is_gone(self) -> None:
        self.run_instances(A, B)
        self.run_instances(C, host="two")
        self.run_instances(B)
        self.assertEqual(
            [True, False, False], [self.instance_row(uuid) is None for uuid in (A, B, C)]
        )

    def test_instance_of_another_host_is_not_gone_with_ours(self) -> None:
        self.run_instances(A, host="two")
        self.report(full=True)
        self.report(gone=[A])
        instance = self.instance_row(A)
        self.assertEqual("two", instance and instance.host)

    def test_time_of_change(self) -> None:
        then = datetime.datetime(2020, 2, 2)
        self.run_instances(A)
        with engine.writer() as session:
            session.execute(sa.update(models.Instance).values(updated_at=then))
        for state, changed in (("running", False), ("paused", True)):
            self.report(self.instance(A, state=state))
            instance = self.instance_row(A)
            assert instance
            self.assertEqual(changed, instance.updated_at > then)


class CostTest(base.ConductorTestCase):
    """A report costs the same number of statements however many instances and pins it is of."""

    few, many = 1, 200

    def uuids(self, count: int) -> list[str]:
        return [f"{number:08d}-1111-4111-8111-111111111111" for number in range(count)]

    def cost(
        self,
        *instances: objects.Instance,
        host: str = "one",
        full: bool = False,
        gone: tuple[str, ...] = (),
        outcomes: tuple[objects.Outcome, ...] = (),
    ) -> int:
        with sql.Statements() as statements:
            self.report(*instances, host=host, full=full, gone=gone, outcomes=outcomes)
        self.assertEqual([], [statement.text for statement in statements.all if statement.many])
        return len(statements.all)

    def life(self, count: int) -> dict[str, int]:
        """Return what each report costs in the life of ``count`` instances, all pinned."""
        uuids = self.uuids(count)
        cost = {}
        for uuid in uuids:
            # the first is dedicated, so that claims are written as well
            if uuid == uuids[0]:
                self.create(uuid, "4", wait=True, avoid=[A])
            else:
                self.create(uuid, vcpus={"*": "5"}, wait=True, avoid=[A, uuids[0]])
        here = [self.instance(uuid) for uuid in uuids]
        cost["adopted"] = self.cost(*here, full=True)
        cost["unchanged"] = self.cost(*here, full=True)
        self.assertEqual({("pending", None)}, {self.status(uuid) for uuid in uuids})
        wanted = {uuid: self.row(uuid).placement for uuid in uuids}
        for result, reason in (("applied", None), ("drifted", "moved"), ("failed", "stuck")):
            words = tuple(outcome(uuid, 1, result, reason, wanted[uuid]) for uuid in uuids)
            cost[result] = self.cost(outcomes=words)
        cost["stopped"] = self.cost(*(self.instance(uuid, state="shutoff") for uuid in uuids))
        cost["started"] = self.cost(*here)
        cost["grown"] = self.cost(*(self.instance(uuid, vcpus=4) for uuid in uuids))
        there = [self.instance(uuid, "two") for uuid in uuids]
        cost["migrated"] = self.cost(*there, host="two")
        for uuid in uuids:
            self.delete(uuid)
        words = tuple(outcome(uuid, self.row(uuid).generation, "released") for uuid in uuids)
        cost["released"] = self.cost(host="two", outcomes=words)
        cost["gone"] = self.cost(host="two", gone=tuple(uuids))
        return cost

    def test_number_of_statements(self) -> None:
        self.report(full=True)
        self.report(host="two", full=True)
        few = self.life(self.few)
        many = self.life(self.many)
        self.assertEqual(few, many)
        self.assertLess(max(many.values()), 21)
