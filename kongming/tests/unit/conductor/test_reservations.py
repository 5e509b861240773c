# SPDX-License-Identifier: Apache-2.0
"""What is kept for an instance on its way, and when that ends."""

import datetime
from typing import Any

import fixtures
from oslo_utils import fixture as utils_fixture
from oslo_utils import timeutils

from kongming import exception, objects
from kongming.conductor import expiry, reservations
from kongming.conductor.manager import ConductorManager
from kongming.db import engine, models
from kongming.db import reservations as db_reservations
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B, C, outcome, placement
from kongming.tests.unit.conductor.test_manager import ManagerTestCase
from kongming.topology.fit import Size

TTL = 900
DEDICATED: dict[str, Any] = {"cpu_policy": "dedicated"}


def target(host: str = "one", vcpus: int = 2, memory_mib: int = 512) -> reservations.Target:
    """Return what a scheduler tells of an instance."""
    return reservations.Target(host, Size(vcpus, memory_mib), TTL)


class ReservationTestCase(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = self.useFixture(utils_fixture.TimeFixture(datetime.datetime(2026, 1, 2, 3, 4)))
        for host in ("one", "two"):
            self.report(host=host, full=True)

    def reserve(self, uuid: str, where: reservations.Target) -> objects.Pin:
        return reservations.reserve(self.context, uuid, where)

    def expire(self, uuid: str) -> str | None:
        return reservations.expire(self.context, uuid, timeutils.utcnow())

    def reserved(self) -> dict[str, str]:
        """Return the host on which something is reserved for each instance."""
        with engine.reader() as session:
            rows = session.query(models.Reservation).all()
            return {row.instance_uuid: row.host for row in rows}


class NewInstanceTest(ReservationTestCase):
    def test_made_with_the_pin(self) -> None:
        generation = self.host_row().generation
        pin = self.create(A, wait=True, target=target(), **DEDICATED)
        self.assertEqual("waiting", pin.status)
        self.assertEqual("reserved on host one until 2026-01-02T03:19:00Z", pin.reason)
        self.assertIsNone(pin.host)
        self.assertEqual({A: "0-1"}, self.claims())
        self.assertEqual(generation + 1, self.host_row().generation)

    def test_others_keep_off(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.run_instances(B)
        error = self.assertRaises(exception.CpuAlreadyClaimed, self.create, B, "1")
        self.assertEqual(
            f"pCPU 1 of host one is already held by the pin of instance {A}.", error.message
        )
        self.create(B, **DEDICATED)
        self.assertEqual({A: "0-1", B: "2-3"}, self.claims())

    def test_memory_is_kept_too(self) -> None:
        wish: dict[str, Any] = {"numa_nodes": 1, "memory": {"nodes": "0", "page_size_kib": 4}}
        self.create(A, wait=True, target=target(memory_mib=8000), **wish)
        error = self.assertRaises(
            exception.DoesNotFit, self.create, B, wait=True, target=target(), **wish
        )
        self.assertEqual("resource_pin.memory_short", error.errors[0][0])
        self.assertEqual({A: "one"}, self.reserved())

    def test_does_not_fit_and_leaves_no_trace(self) -> None:
        self.create(A, wait=True, target=target(vcpus=8), **DEDICATED)
        before = self.database()
        for where, error in (
            (target(vcpus=8), exception.DoesNotFit),
            (target("three"), exception.BadRequest),
        ):
            self.assertRaises(error, self.create, B, wait=True, target=where, **DEDICATED)
            self.assertEqual(before, self.database())

    def test_arrives_where_expected_at_the_place_that_was_kept(self) -> None:
        self.create(B, wait=True, target=target(vcpus=4), **DEDICATED)
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.delete(B)  # better places are free by now
        self.run_instances(A)
        pin = self.row(A)
        self.assertEqual(("one", "pending", None), (pin.host, pin.status, pin.reason))
        where = placement(vcpus={"0": "4", "1": "5"}, memory={"nodes": "0"})
        self.assertEqual(where, pin.placement)
        self.assertEqual({A: "4-5"}, self.claims())
        self.assertEqual({}, self.reserved())
        self.confirm(A)
        self.assertEqual(("applied", None), self.status(A))

    def test_agent_was_faster(self) -> None:
        pin = self.create(A, wait=True, target=target(), **DEDICATED)
        self.report(
            self.instance(A),
            full=True,
            outcomes=[
                outcome(
                    A, pin.generation, in_force=placement(vcpus={"0": "0", "1": "1"}), arrival=1
                )
            ],
        )
        self.assertEqual(("applied", None), self.status(A))

    def test_arrives_elsewhere(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        generation = self.host_row().generation
        self.run_instances(A, host="two")
        self.assertEqual("two", self.row(A).host)
        self.assertEqual(({}, {A: "0-1"}), (self.claims("one"), self.claims("two")))
        self.assertEqual({}, self.reserved())
        self.assertEqual(generation + 1, self.host_row().generation)

    def test_arrives_with_another_size(self) -> None:
        self.create(A, wait=True, target=target(vcpus=4), **DEDICATED)
        self.run_instances(A, vcpus=2)
        self.assertEqual({A: "0-1"}, self.claims())

    def test_arrives_with_io_threads_that_the_wish_names(self) -> None:
        wish = DEDICATED | {"iothreads": {"1": "7"}}
        where = reservations.Target("one", Size(2, 512, (1,)), TTL)
        self.create(A, wait=True, target=where, **wish)
        self.run_instances(A, iothreads=[2])
        self.assertEqual("failed", self.row(A).status)
        self.assertEqual({}, self.claims())

    def test_arrives_too_late(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.now.advance_time_seconds(TTL + 1)
        self.expire(A)
        self.create(B, wait=True, target=target(), **DEDICATED)
        self.run_instances(A)
        self.assertEqual({A: "2-3", B: "0-1"}, self.claims())

    def test_arrives_with_pcpus_that_nova_gave(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.run_instances(A, holds="4-5")
        status, reason = self.status(A)
        self.assertEqual("failed", status)
        self.assertIn("was given pCPU 4-5 of host one for itself by somebody else", str(reason))
        self.assertEqual(({}, {}), (self.claims(), self.reserved()))

    def test_arrives_with_pcpus_that_nova_gave_and_an_administrator_takes(self) -> None:
        self.create(A, wait=True, target=target(), override=True, **DEDICATED)
        self.run_instances(A, holds="4-5")
        self.assertEqual("pending", self.row(A).status)
        self.assertEqual({A: "0-1"}, self.claims())

    def test_instance_of_another_project(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.run_instances(A, project_id="enemy")
        self.assertEqual("failed", self.row(A).status)
        self.assertEqual(({}, {}), (self.claims(), self.reserved()))

    def test_wish_changes(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.assertIsNone(self.update(A, vcpus={"0": "3"}).reason)
        self.assertEqual(({}, {}), (self.claims(), self.reserved()))

    def test_deleted(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        generation = self.host_row().generation
        self.assertEqual("one", self.delete(A))
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual(({}, {}), (self.claims(), self.reserved()))
        self.assertEqual(generation + 1, self.host_row().generation)

    def test_chosen_again(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.now.advance_time_seconds(60)
        pin = self.reserve(A, target("two"))
        self.assertEqual("reserved on host two until 2026-01-02T03:20:00Z", pin.reason)
        self.assertEqual(({}, {A: "0-1"}), (self.claims("one"), self.claims("two")))
        self.assertEqual(({A: "two"}), self.reserved())
        # the same host again: the time begins anew
        self.now.advance_time_seconds(60)
        pin = self.reserve(A, target("two"))
        self.assertEqual("reserved on host two until 2026-01-02T03:21:00Z", pin.reason)
        self.assertEqual(["created", "reserved", "reserved"], self.events(A))

    def test_chosen_again_in_vain(self) -> None:
        self.create(A, wait=True, target=target(), **DEDICATED)
        self.create(B, wait=True, target=target("two", vcpus=8), **DEDICATED)
        before = self.database()
        self.assertRaises(exception.DoesNotFit, self.reserve, A, target("two", vcpus=8))
        self.assertEqual(before, self.database())

    def test_without_a_pin(self) -> None:
        self.assertRaises(exception.PinNotFound, self.reserve, A, target())


class MovingInstanceTest(ReservationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A)
        self.create(A, **DEDICATED)
        self.confirm(A)

    def test_both_hosts_hold_while_it_moves(self) -> None:
        pin = self.reserve(A, target("two"))
        self.assertEqual(("one", "applied", None), (pin.host, pin.status, pin.reason))
        self.assertEqual(({A: "0-1"}, {A: "0-1"}), (self.claims("one"), self.claims("two")))
        self.run_instances(A)  # not gone yet
        self.assertEqual(({A: "0-1"}, {A: "0-1"}), (self.claims("one"), self.claims("two")))
        self.run_instances(A, host="two")
        self.assertEqual(("two", "pending"), (self.row(A).host, self.row(A).status))
        self.assertEqual(({}, {A: "0-1"}), (self.claims("one"), self.claims("two")))
        self.assertEqual({}, self.reserved())

    def test_where_it_is_nothing_is_kept(self) -> None:
        self.reserve(A, target("one"))
        self.assertEqual({}, self.reserved())
        self.assertEqual({A: "0-1"}, self.claims("one"))

    def test_it_stays(self) -> None:
        self.reserve(A, target("two"))
        self.now.advance_time_seconds(TTL + 1)
        self.assertEqual("two", self.expire(A))
        self.assertEqual(("applied", None), self.status(A))
        self.assertEqual(({A: "0-1"}, {}), (self.claims("one"), self.claims("two")))

    def test_agent_of_the_next_host_does_not_touch_it_yet(self) -> None:
        self.reserve(A, target("two"))
        with engine.reader() as session:
            self.assertEqual([], list(db_reservations.for_agent(session, "two")))

    def test_deleted_pin(self) -> None:
        self.reserve(A, target("two"))
        self.delete(A)
        self.assertEqual(({A: "0-1"}, {}), (self.claims("one"), self.claims("two")))


class ExpiryTest(ReservationTestCase):
    def setUp(self) -> None:
        super().setUp()
        for uuid, host in ((A, "one"), (B, "one"), (C, "two")):
            self.create(uuid, wait=True, target=target(host), **DEDICATED)
            self.now.advance_time_seconds(10)

    def test_not_yet(self) -> None:
        self.now.advance_time_seconds(TTL - 30)
        self.assertIsNone(self.expire(A))
        self.assertEqual({A: "one", B: "one", C: "two"}, self.reserved())

    def test_over(self) -> None:
        self.now.advance_time_seconds(TTL - 29)
        generation = self.host_row().generation
        self.assertEqual("one", self.expire(A))
        self.assertEqual({B: "2-3"}, self.claims())
        self.assertEqual(("waiting", "the reservation on host one expired"), self.status(A))
        self.assertEqual(["created", "expired"], self.events(A))
        self.assertEqual(generation + 1, self.host_row().generation)
        self.assertIsNone(self.expire(A))

    def test_watched(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(f"{expiry.__name__}._INTERVAL", 0.01))
        told: list[str | None] = []
        watch = expiry.Expiry(lambda _, host: told.append(host))
        self.now.advance_time_seconds(TTL - 19)
        watch.start()
        self.eventually(lambda: len(told) == 2)
        watch.stop()
        self.assertEqual(["one", "one"], told)
        self.assertEqual({C: "two"}, self.reserved())


class ManagerTest(ManagerTestCase):
    def test_journey(self) -> None:
        for host in ("one", "two"):
            self.report(host=host, full=True)
        manager: ConductorManager = self.manager
        size = {"vcpus": 2, "memory_mib": 512, "iothreads": []}
        pin = self.pin(A, "1")
        manager.create_pin(self.context, pin, wait=True, host="one", size=size)
        coming = manager.placements(self.context, "one")
        self.assertEqual(
            [("one", placement(vcpus={"0": "1", "1": "1"}))],
            [(pin.host, pin.placement) for pin in coming],
        )
        manager.reserve(self.context, A, host="two", size=size)
        self.assertEqual([], manager.placements(self.context, "one"))
        self.assertEqual(
            [A], [pin.instance_uuid for pin in manager.placements(self.context, "two")]
        )
