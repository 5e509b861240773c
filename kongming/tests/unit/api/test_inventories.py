# SPDX-License-Identifier: Apache-2.0

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import fixtures
import sqlalchemy as sa
from oslo_utils import timeutils

from kongming.api.inventories import Inventories
from kongming.conductor import reservations
from kongming.db import engine, hosts, models
from kongming.tests import sql
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import TOPOLOGY, A, outcome
from kongming.topology import fit
from kongming.topology.host import Pages
from kongming.topology.inventory import Inventory

#: So many that one of them is asked for by name.
NAMES = ("one", "two", "three", "four", "five", "six")


class InventoriesTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in NAMES:
            self.report(host=name, full=True)
        # two workers of the API, who do not speak with each other
        self.workers = [Inventories(), Inventories()]
        for worker in self.workers:
            self.assertEqual(set(NAMES), set(worker.of(None, ())[0]))

    def seen(self) -> dict[str, Inventory]:
        """Return what the workers see, which must be what one sees that has just begun."""
        truth, down = Inventories().of(None, ())
        self.assertEqual(set(), down)
        for worker in self.workers:
            self.assertEqual((truth, down), worker.of(None, ()))
            self.assertEqual(({"one": truth["one"]}, set()), worker.of({"one"}, ()))
        return truth

    def loads(self, call: Callable[[], Any]) -> int:
        """Return how often a call loads hosts."""
        with sql.Statements() as statements:
            call()
        return len([one for one in statements.all if "FROM claims" in one.text])

    def ask(self) -> None:
        """Let each worker ask about all hosts."""
        for worker in self.workers:
            worker.of(None, ())

    def forget(self, name: str) -> None:
        """Delete a host from the database."""
        with engine.writer() as session:
            session.execute(sa.delete(models.Host).where(models.Host.name == name))

    def test_life_of_a_dedicated_pin(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 1)
        self.confirm(A)
        self.update(A, "5")
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 3)
        self.confirm(A)
        self.assertTrue(self.seen()["one"].free_dedicated >> 4 & 1)
        self.delete(A)
        self.assertFalse(self.seen()["one"].free_dedicated >> 5 & 1)
        self.confirm(A)
        self.assertTrue(self.seen()["one"].free_dedicated >> 5 & 1)

    def test_life_of_a_shared_pin(self) -> None:
        # which claims no pCPU, but where it runs none can be claimed
        self.run_instances(A)
        self.create(A, vcpus={"*": "4"})
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 1)
        self.confirm(A)
        self.update(A, vcpus={"*": "5"})
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 3)
        self.confirm(A)
        self.assertTrue(self.seen()["one"].free_dedicated >> 4 & 1)
        self.delete(A)
        self.assertFalse(self.seen()["one"].free_dedicated >> 5 & 1)
        self.confirm(A)
        self.assertTrue(self.seen()["one"].free_dedicated >> 5 & 1)

    def test_a_shared_pin_leaves(self) -> None:
        self.run_instances(A)
        self.create(A, vcpus={"*": "4"})
        self.confirm(A)
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 1)
        self.report(gone=[A])
        self.assertTrue(self.seen()["one"].free_dedicated >> 4 & 1)

    def test_a_shared_pin_that_could_not_be_applied(self) -> None:
        self.run_instances(A)
        self.create(A, vcpus={"*": "4"})
        self.confirm(A)
        before = self.row(A).placement
        self.update(A, vcpus={"*": "5"})
        self.report(outcomes=[outcome(A, 2, "failed", "full", in_force=before)])
        self.assertFalse(self.seen()["one"].free_dedicated >> 4 & 3)

    def test_life_of_a_reservation(self) -> None:
        size = fit.Size(2, 512)
        for vanish in (
            lambda: self.run_instances(A, host="two"),
            lambda: reservations.expire(
                self.context, A, timeutils.utcnow() + datetime.timedelta(days=1)
            ),
        ):
            target = reservations.Target("one", size, 900)
            self.create(A, wait=True, target=target, cpu_policy="dedicated")
            self.assertEqual(2, (TOPOLOGY.online & ~self.seen()["one"].free_dedicated).bit_count())
            vanish()
            self.assertEqual(TOPOLOGY.online, self.seen()["one"].free_dedicated)
            self.delete(A)
            self.report(host="two", full=True)

    def test_only_what_changed_is_loaded(self) -> None:
        self.assertEqual(0, self.loads(self.ask))
        # the row changes, what is left on the host does not
        self.report()
        self.report(full=True)
        self.assertEqual(0, self.loads(self.ask))
        smaller = dataclasses.replace(TOPOLOGY, unmanaged=1)
        self.report(full=True, topology=smaller)
        self.assertEqual(2, self.loads(self.ask))
        self.assertEqual(smaller, self.seen()["one"].host)
        with engine.writer() as session:
            hosts.raise_generation(session, NAMES)
        self.assertEqual(2, self.loads(self.ask))
        self.assertEqual(0, self.loads(self.ask))

    def test_free_pages_change_all_the_time(self) -> None:
        def pages(free: int, total: int = 2097152) -> Any:
            first, second = TOPOLOGY.nodes
            first = dataclasses.replace(first, pages=(Pages(4, total, free),))
            return dataclasses.replace(TOPOLOGY, nodes=(first, second))

        self.report(full=True, topology=pages(1000))
        self.seen()
        self.report(full=True, topology=pages(2000))
        self.assertEqual(pages(2000), self.host_row().topology)
        self.assertEqual(0, self.loads(self.ask))
        self.report(full=True, topology=pages(2000, 1048576))
        self.assertEqual({4: 4096}, self.seen()["one"].free_memory[0])

    def test_hosts_that_are_gone_are_forgotten(self) -> None:
        worker = self.workers[0]
        self.forget("one")
        self.assertEqual(({}, set()), worker.of({"one"}, ()))
        self.assertEqual(set(NAMES) - {"one"}, set(worker._known))
        self.forget("two")
        self.assertEqual({"six"}, set(worker.of({"six"}, ())[0]))
        worker.of(None, ())
        self.assertEqual(set(NAMES) - {"one", "two"}, set(worker._known))

    def test_hosts_that_nobody_asks_for_any_more_are_forgotten(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.inventories._FORGET_SECONDS", 0.0))
        worker = Inventories()
        worker.of(None, ())
        self.forget("two")
        self.assertEqual({"six"}, set(worker.of({"six"}, ())[0]))
        self.assertNotIn("two", worker._known)

    def test_names(self) -> None:
        worker = self.workers[0]
        for count in range(len(NAMES) + 1):
            names = {*NAMES[:count], "nobody"}
            self.assertEqual(set(NAMES[:count]), set(worker.of(names, ())[0]))
            self.assertEqual(set(NAMES), set(worker._known))

    def test_hosts_that_are_down(self) -> None:
        with engine.writer() as session:
            row = session.get_one(models.Host, "two")
            row.reported_at -= datetime.timedelta(seconds=181)
        for names in (None, {"two"}):
            up, down = self.workers[0].of(names, ())
            self.assertEqual({"two"}, down)
            self.assertNotIn("two", up)

    def test_together(self) -> None:
        worker = Inventories()
        answers: list[Any] = []
        ask = [lambda: worker.of(None, ())] * 8
        self.assertEqual(1, self.loads(lambda: answers.extend(self.race(*ask))))
        self.assertEqual([worker.of(None, ())] * 8, answers)
