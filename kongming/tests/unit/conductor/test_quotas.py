# SPDX-License-Identifier: Apache-2.0
"""Nobody holds more than the project may, whoever asks and however many at once."""

import functools
from typing import Any

from kongming import exception, objects
from kongming.conductor import pins, quotas, reservations
from kongming.conductor.reservations import Target
from kongming.db import engine, instances, models
from kongming.db import quotas as db_quotas
from kongming.objects.asked import Asked
from kongming.objects.pin import FAILED
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B, C, D
from kongming.topology.fit import Size
from kongming.topology.wish import Wish


class QuotaTestCase(base.ConductorTestCase):
    def limit(self, project_id: str = "telco", **limits: int) -> None:
        """Set limits, and have all there is to lock."""
        quotas.set_limits(self.context, project_id, limits)
        quotas.limited({project_id})

    def used(self, project_id: str = "telco") -> tuple[int, ...]:
        """Return pins, pCPUs and MiB in use."""
        with engine.reader() as session:
            use = db_quotas.use(session, project_id).values()
        return tuple(sum(each[name] for each in use) for name in db_quotas.RESOURCES)

    def exceeded(self, call: Any, *arguments: Any, **wish: Any) -> str:
        """Return why a call is refused, which must leave all as it was."""
        return self.refused(exception.QuotaExceeded, call, *arguments, **wish).message


class LimitsTest(QuotaTestCase):
    def limits(self, project_id: str = "telco") -> list[int]:
        with engine.reader() as session:
            return list(db_quotas.limits(session, project_id).values())

    def test_default_is_as_much_as_there_is(self) -> None:
        self.assertEqual([-1, -1, -1], self.limits())
        self.assertEqual(set(), quotas.limited({"telco", None}))

    def test_options_are_for_all(self) -> None:
        self.configuration.set("dedicated_pcpus", 8, "quota")
        self.assertEqual([-1, 8, -1], self.limits())
        self.limit(dedicated_pcpus=16)
        self.assertEqual([-1, 16, -1], self.limits())
        self.assertEqual([-1, 8, -1], self.limits("shop"))
        self.limit(pins=3)
        self.assertEqual([3, 8, -1], self.limits())
        self.limit()
        self.assertEqual([-1, 8, -1], self.limits())


class ClaimTest(QuotaTestCase):
    def test_pcpus(self) -> None:
        self.run_instances(A, B)
        self.limit(dedicated_pcpus=3)
        self.create(A, "4-5")
        reason = self.exceeded(self.create, B, "6-7")
        for word in ("telco", "may have 3 dedicated_pcpus", "has 2", "2 more"):
            self.assertIn(word, reason)
        self.create(B, "6")
        self.assertEqual((2, 3), self.used()[:2])

    def test_chosen_pcpus_count_as_named_ones(self) -> None:
        self.run_instances(A, B)
        self.limit(dedicated_pcpus=3)
        self.create(A, cpu_policy="dedicated")
        self.exceeded(self.create, B, cpu_policy="dedicated")

    def test_memory(self) -> None:
        self.run_instances(A, B)
        self.create(A, cpu_policy="dedicated")
        mib = self.used()[2]
        self.assertGreater(mib, 0)
        self.limit(memory_mib=2 * mib - 1)
        self.exceeded(self.create, B, cpu_policy="dedicated")
        self.limit(memory_mib=2 * mib)
        self.create(B, cpu_policy="dedicated")

    def test_pins(self) -> None:
        self.run_instances(A, B)
        self.limit(pins=2)
        self.create(A)
        self.create(C, wait=True)
        self.exceeded(self.create, B)
        self.exceeded(self.create, D, wait=True)
        self.delete(C)
        self.create(B)

    def test_projects_do_not_share(self) -> None:
        self.report(self.instance(A), self.instance(B, project_id="shop"), full=True)
        self.limit(dedicated_pcpus=2)
        self.limit("shop", dedicated_pcpus=2)
        self.create(A, "4-5")
        self.create(B, "6-7", project_id="shop")

    def test_change(self) -> None:
        self.run_instances(A)
        self.limit(dedicated_pcpus=2)
        self.create(A, "4-5")
        # as many, but others: those that are yet to be left do not count
        self.update(A, "6-7")
        self.exceeded(self.update, A, "4-6")

    def test_who_has_more_than_a_new_limit_keeps_it(self) -> None:
        self.run_instances(A)
        self.create(A, "4-7")
        self.limit(dedicated_pcpus=2, pins=0)
        self.update(A, "0-3")
        self.update(A, "0-2")
        self.exceeded(self.update, A, "0-3")

    def test_reservation(self) -> None:
        self.report(full=True)
        self.report(host="two", full=True)
        self.limit(dedicated_pcpus=2)
        room = Target("one", Size(2, 512), 600)
        self.create(A, cpu_policy="dedicated", wait=True, target=room)
        self.exceeded(self.create, B, cpu_policy="dedicated", wait=True, target=room)
        self.create(B, wait=True)
        self.assertEqual((2, 2), self.used()[:2])

    def test_migration_does_not_count_twice(self) -> None:
        self.run_instances(A)
        self.report(host="two", full=True)
        self.limit(dedicated_pcpus=2)
        self.create(A, cpu_policy="dedicated")
        room = Target("two", Size(2, 512), 600)
        self.reserve(A, room)
        self.assertEqual(2, self.used()[1])
        self.run_instances(A, host="two")
        self.assertEqual(2, self.used()[1])

    def reserve(self, uuid: str, room: Target) -> objects.Pin:
        return reservations.reserve(self.context, uuid, room)

    def test_arrival(self) -> None:
        self.limit(dedicated_pcpus=2)
        self.create(A, cpu_policy="dedicated", wait=True)
        self.create(B, cpu_policy="dedicated", wait=True)
        # both in one report, so that the second has to count with the first
        self.run_instances(A, B)
        statuses = sorted(self.row(uuid).status for uuid in (A, B))
        self.assertEqual(["failed", "pending"], statuses)
        reason = next(self.row(uuid).reason for uuid in (A, B) if self.row(uuid).status == FAILED)
        self.assertIn("quota: project telco", reason or "")
        self.limit(dedicated_pcpus=4)
        self.run_instances(A, B)
        self.assertEqual(["pending"] * 2, [self.row(uuid).status for uuid in (A, B)])

    def test_of_metadata_and_hints(self) -> None:
        self.run_instances(A)
        self.limit(dedicated_pcpus=1)
        for origin in (models.METADATA, models.HINT):
            wish = Wish.from_dict({"cpu_policy": "dedicated"})
            pin = objects.Pin(instance_uuid=A, project_id="telco", user_id="mano", wish=wish)
            made = pins.create(self.context, pin, wait=True, origin=origin)
            self.assertEqual("failed", made.status)
            self.assertIn("quota", made.reason)
            self.assertEqual((0, 0, 0), self.used())
            self.delete(A)


class FailedTest(QuotaTestCase):
    """What was made of metadata, and failed, counts from when it is tried again."""

    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)
        self.limit(pins=1)
        self.create(A, "4")

    def metadata(self, uuid: str, **wish: Any) -> objects.Pin:
        """Make a pin as of metadata."""
        pin = objects.Pin(
            instance_uuid=uuid, project_id="telco", user_id="mano", wish=Wish.from_dict(wish)
        )
        return pins.create(self.context, pin, wait=True, origin=models.METADATA)

    def test_change(self) -> None:
        for uuid in (B, C):
            self.assertEqual(FAILED, self.metadata(uuid).status)
            self.exceeded(self.update, uuid, "5")
            call = functools.partial(pins.update, self.context, uuid, Asked({}), None)
            self.exceeded(call, models.METADATA)
        self.delete(A)
        self.update(B, "5")
        self.assertEqual(1, self.used()[0])

    def test_its_instance_leaves(self) -> None:
        self.metadata(B)
        self.run_instances(A, B)
        for here in ((A,), (A, B)):
            self.run_instances(*here)
            self.assertEqual(FAILED, self.row(B).status)
            self.assertEqual(1, self.used()[0])
        self.limit(pins=2)
        self.run_instances(A)
        self.assertEqual("waiting", self.row(B).status)
        self.run_instances(A, B)
        self.assertEqual(("pending", 2), (self.row(B).status, self.used()[0]))

    def test_what_its_host_cannot_carry_out(self) -> None:
        self.delete(A)
        pin = self.metadata(B, cpu_policy="dedicated")
        self.report(outcomes=[base.outcome(B, pin.generation, FAILED, "libvirt says no")])
        self.assertEqual((FAILED, "0-1"), (self.row(B).status, self.claims()[B]))
        self.assertEqual((1, 2), self.used()[:2])
        self.exceeded(self.create, A)


class RaceTest(QuotaTestCase):
    def test_several_at_once_get_no_more_than_one_after_the_other(self) -> None:
        uuids = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(6)]
        for number, uuid in enumerate(uuids):
            self.run_instances(uuid, host=f"host{number}")
        quotas.set_limits(self.context, "telco", {"dedicated_pcpus": 4})
        calls = [functools.partial(self.create, uuid, cpu_policy="dedicated") for uuid in uuids]
        results = self.race(*calls)
        granted = [result for result in results if isinstance(result, objects.Pin)]
        refused = [result for result in results if isinstance(result, exception.QuotaExceeded)]
        self.assertEqual((2, 4), (len(granted), len(refused)), str(results))
        self.assertEqual((2, 4), self.used()[:2])


class OwnerTest(base.ConductorTestCase):
    """A pin that became another project's since its caller was allowed to change it."""

    def setUp(self) -> None:
        super().setUp()
        self.report(self.instance(A, project_id="shop"), full=True)
        self.create(A, project_id="shop")

    def test_former_owner_changes_nothing(self) -> None:
        room = Target("one", Size(2, 512), 600)
        for call in (
            functools.partial(pins.update, self.context, A, Asked({}), None, project_id="telco"),
            functools.partial(pins.delete, self.context, A, project_id="telco"),
            functools.partial(pins.cancel_move, self.context, A, "telco"),
            functools.partial(self.reserve, room, "telco"),
        ):
            self.refused(exception.PinNotFound, call)

    def reserve(self, room: Target, project_id: str) -> objects.Pin:
        return reservations.reserve(self.context, A, room, project_id)

    def test_owner_does(self) -> None:
        pins.update(self.context, A, Asked({}), None, project_id="shop")
        pins.delete(self.context, A, project_id="shop")

    def owned(self, project_id: str) -> set[str]:
        with engine.reader() as session:
            return instances.owned(session, [A, B], project_id)

    def test_who_waited_for_what_is_others_does_not_keep_them_from_it(self) -> None:
        self.create(B, wait=True, project_id="thief")
        self.assertEqual({B}, self.owned("thief"))
        self.report(self.instance(B, project_id="shop"))
        self.assertEqual("failed", self.row(B).status)
        # nor may they have it as a neighbour, by which they would learn where it is
        self.assertEqual((set(), {A, B}), (self.owned("thief"), self.owned("shop")))
        pin = self.create(B, "4", project_id="shop")
        self.assertEqual(("shop", "pending"), (pin.project_id, pin.status))
