# SPDX-License-Identifier: Apache-2.0
"""Pins have what calendars say of now, whatever came between."""

import datetime
from typing import Any
from unittest import mock

from oslo_config import cfg

from kongming import exception, objects
from kongming.conductor import calendars, pins, templates
from kongming.conductor.reservations import Target
from kongming.db import calendars as db_calendars
from kongming.db import engine
from kongming.objects.asked import Asked
from kongming.tests.unit.conductor.base import A, B, C
from kongming.tests.unit.conductor.calendars import (
    EVENING,
    NEXT_DAY,
    NIGHT,
    CalendarTestCase,
    described,
    utc,
)
from kongming.topology.fit import Size


class WindowTest(CalendarTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)
        self.create(A, qos={"vcpu_quota": 90000})
        self.confirm(A)

    def template(self, content: dict[str, Any]) -> str:
        new = objects.Template(
            name="vnf", project_id="telco", user_id="mano", shared=False, content=content
        )
        return str(templates.create(self.context, new).id)

    def test_a_window_begins_and_ends(self) -> None:
        self.calendar(A)
        self.at("2026-06-01T19:59:59")
        self.assertEqual((90000, []), (self.quota(), self.by()))
        self.at(EVENING)
        self.assertEqual((50000, [("nights", False)]), (self.quota(), self.by()))
        self.assertEqual("pending", self.status(A)[0])
        self.assertIn("one", self.told)
        self.at("2026-06-02T03:59:59")
        self.assertEqual(50000, self.quota())
        self.at("2026-06-02T04:00")
        self.assertEqual((90000, [("nights", False), ("nights", True)]), (self.quota(), self.by()))
        self.assertIsNone(self.row(A).overlay)

    def test_a_project_has_as_many_as_it_may(self) -> None:
        cfg.CONF.set_override("calendars", 2, "quota")
        self.addCleanup(cfg.CONF.clear_override, "calendars", "quota")
        made = [self.calendar(A) for _ in range(2)]
        self.calendar(A, project_id="shop")
        error = self.refused(exception.QuotaExceeded, self.calendar, A, enabled=False)
        self.assertEqual(
            "quota: project telco may have 2 calendars, has 2, and would have 1 more.",
            error.message,
        )
        calendars.update(self.context, made[0].id, described(A, name="late"), None, self.now)
        calendars.delete(self.context, made[1].id)
        self.calendar(A)

    def test_what_was_missed_is_not_made_up_for(self) -> None:
        self.calendar(A)
        self.at("2026-06-05T21:00")
        self.at("2026-06-07T21:00")
        self.assertEqual([("nights", False)], self.by())
        overlay = self.row(A).overlay
        assert overlay is not None
        self.assertEqual(utc("2026-06-07T20:00"), overlay.window.start)
        self.at("2026-06-09T12:00")
        self.assertEqual([("nights", False), ("nights", True)], self.by())

    def test_a_change_inside_a_window_is_there_after_it(self) -> None:
        self.calendar(A)
        self.at(NIGHT)
        self.update(A, qos={"vcpu_quota": 70000}, cpu_policy="shared", emulator="0")
        self.assertEqual((50000, 1), (self.quota(), self.row(A).wish.emulator))
        self.at(NEXT_DAY)
        self.assertEqual((70000, 1), (self.quota(), self.row(A).wish.emulator))

    def test_a_calendar_is_changed_inside_its_window(self) -> None:
        made = self.calendar(A)
        self.at(NIGHT)
        other = described(A, overlay={"qos": {"vcpu_quota": 20000}})
        calendars.update(self.context, made.id, other, 1, self.now)
        self.at("2026-06-01T22:01")
        self.assertEqual(20000, self.quota())
        over = described(A, duration_s=3600)
        calendars.update(self.context, made.id, over, None, self.now)
        self.at("2026-06-01T22:02")
        self.assertEqual(90000, self.quota())

    def test_a_change_that_leaves_the_wish_as_it_is_leaves_the_pin_alone(self) -> None:
        made = self.calendar(A)
        self.at(NIGHT)
        generation = self.row(A).generation
        calendars.update(self.context, made.id, described(A, name="late"), 1, self.now)
        self.at("2026-06-01T22:01")
        self.assertEqual((generation, 1), (self.row(A).generation, len(self.by())))
        overlay = self.row(A).overlay
        assert overlay is not None
        self.assertEqual(("late", 2), (overlay.name, overlay.generation))

    def test_a_calendar_is_deleted_or_disabled_inside_its_window(self) -> None:
        made = self.calendar(A)
        self.at(NIGHT)
        calendars.update(self.context, made.id, described(A, enabled=False), 1, self.now)
        self.at("2026-06-01T22:01")
        self.assertEqual(90000, self.quota())
        calendars.update(self.context, made.id, described(A), 2, self.now)
        self.at("2026-06-01T22:02")
        self.assertEqual(50000, self.quota())
        calendars.delete(self.context, made.id)
        self.at("2026-06-01T22:03")
        self.assertEqual(90000, self.quota())
        self.assertRaises(exception.CalendarNotFound, calendars.delete, self.context, made.id)

    def test_a_pin_is_deleted_inside_a_window(self) -> None:
        self.calendar(A)
        self.at(NIGHT)
        self.delete(A)
        self.at("2026-06-01T23:00")
        self.assertTrue(self.row(A).deleted)
        self.confirm(A)
        self.at(NEXT_DAY)
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual([("nights", False)], self.by())

    def test_a_pin_is_made_anew_inside_a_window(self) -> None:
        self.calendar(A)
        self.at(NIGHT)
        self.delete(A)
        self.create(A, emulator="0")
        self.assertIsNone(self.quota())
        self.at("2026-06-01T23:00")
        self.assertEqual(50000, self.quota())

    def test_a_pin_is_made_for_the_project_that_an_instance_came_with(self) -> None:
        self.create(C, wait=True)
        self.calendar(C)
        self.at(NIGHT)
        self.run_instances(A, B)
        self.report(self.instance(C, project_id="shop"))
        made = self.create(C, project_id="shop", qos={"vcpu_quota": 30000})
        self.assertEqual((None, 30000), (made.overlay, self.quota(C)))
        self.at(NEXT_DAY)
        self.assertEqual([("nights", False)], self.by(C))

    def test_the_higher_priority_has_its_way(self) -> None:
        self.calendar(A)
        self.calendar(A, overlay={"qos": {"vcpu_quota": 10000}}, name="late", priority=5)
        self.calendar(
            A,
            overlay={"qos": {"vcpu_quota": 5000}},
            name="once",
            priority=9,
            starts_at=utc("2026-06-01T22:00"),
            ends_at=utc("2026-06-01T23:00"),
        )
        self.at(EVENING)
        self.assertEqual(10000, self.quota())
        self.at("2026-06-01T22:30")
        self.assertEqual(5000, self.quota())
        self.at("2026-06-01T23:00")
        self.assertEqual(10000, self.quota())
        self.assertEqual(["late", "once", "late"], [name for name, _ in self.by()])

    def test_the_pins_of_others_are_not_reached(self) -> None:
        self.run_instances(A, B, project_id="shop")
        self.create(B, project_id="shop")
        self.calendar(A, B)
        self.at(NIGHT)
        self.assertEqual([], self.by(B))
        with (
            engine.reader() as session,
            mock.patch.object(db_calendars, "reaches", side_effect=db_calendars.reaches) as asked,
        ):
            # however many others have
            self.assertEqual([], db_calendars.reaching(session, self.row(B)))
        asked.assert_not_called()
        self.calendar(B, all_projects=True)
        self.at(NIGHT)
        self.assertEqual([("nights", False)], self.by(B))

    def test_those_who_follow_a_template(self) -> None:
        content = {"wish": {"emulator": "1", "qos": {"vcpu_quota": 30000}}}
        template = self.template(content)
        self.create(B)
        pins.update(self.context, B, Asked({}, template), None)
        made = self.calendar(following=template)
        self.at(NIGHT)
        self.assertEqual((90000, 50000), (self.quota(A), self.quota(B)))
        self.at(NEXT_DAY)
        self.assertEqual((30000, 2), (self.quota(B), self.row(B).wish.emulator))
        self.update(B)
        self.assertRaises(exception.TemplateInUse, templates.delete, self.context, template)
        calendars.delete(self.context, made.id)
        templates.delete(self.context, template)

    def test_a_template_that_calendars_of_others_name_stays_shared(self) -> None:
        content = {"wish": {"qos": {"vcpu_quota": 30000}}}
        new = objects.Template(
            name="quiet", project_id="operators", user_id="root", shared=True, content=content
        )
        template = templates.create(self.context, new).id
        for_all: dict[str, Any] = {"project_id": "operators", "all_projects": True}
        self.calendar(A, template_id=template, overlay={}, **for_all)
        made = self.calendar(A, template_id=template, overlay={})
        unshare = (self.context, template, content, False, None, 1)
        error = self.refused(exception.TemplateInUse, templates.update, *unshare)
        self.assertIn("named by calendars of other projects", error.message)
        calendars.delete(self.context, made.id)
        self.assertFalse(templates.update(*unshare).shared)

    def test_a_template_is_laid_over_a_wish_field_by_field(self) -> None:
        content = {"roles": {"db": {"emulator": "1", "qos": {"vcpu_quota": 30000}}}}
        template = self.template(content)
        named: dict[str, Any] = {"template_id": template, "template_role": "db", "overlay": {}}
        self.update(A, iothreads={"1": "2"}, emulator="0")
        whole = self.calendar(A, **named)
        self.calendar(
            A,
            name="only",
            priority=-1,
            only_qos=True,
            **named,
            starts_at=utc("2026-06-01T14:00"),
            ends_at=utc("2026-06-01T23:00"),
        )
        self.assertEqual((1, content["roles"]["db"]), (whole.template_version, whole.overlay))
        self.at("2026-06-01T14:00")
        self.assertEqual((1, 30000), (self.row(A).wish.emulator, self.quota()))
        self.at(NIGHT)
        wish = self.row(A).wish
        self.assertEqual((2, {1: 4}, 30000), (wish.emulator, wish.iothreads, self.quota()))

    def test_what_only_a_calendar_makes_a_wish_is_refused(self) -> None:
        template = self.template({"wish": {"cpu_policy": "dedicated"}})
        pins.update(self.context, A, Asked({"thread_policy": "isolate"}, template), None)
        self.calendar(A, overlay={"cpu_policy": "dedicated", "vcpus": {"*": "4-5"}})
        self.at(NIGHT)
        for change in (
            lambda: self.update(A, thread_policy="isolate"),
            lambda: templates.update(
                self.context, template, {"wish": {"cpu_policy": "shared"}}, None, None, 1
            ),
        ):
            error = self.refused(exception.BadRequest, change)
            self.assertIn("thread_policy", error.message)

    def test_a_pin_waits_for_its_instance_inside_a_window(self) -> None:
        self.create(C, wait=True)
        self.calendar(C)
        self.at(NIGHT)
        self.assertEqual((50000, "waiting"), (self.quota(C), self.status(C)[0]))
        self.run_instances(A, B, C)
        self.assertEqual("pending", self.status(C)[0])
        self.at(NEXT_DAY)
        self.assertIsNone(self.quota(C))

    def test_what_is_reserved_is_reserved_anew(self) -> None:
        self.report(full=True, host="two")
        self.create(C, "0", wait=True, target=Target("two", Size(2, 512, ()), 600))
        self.calendar(C, overlay={"vcpus": {"*": "4"}})
        self.at(NIGHT)
        self.assertEqual({C: "4"}, self.claims("two"))
        self.assertIn("two", self.told)
        self.run_instances(C, host="two")
        self.assertEqual({C: "4"}, self.claims("two"))
        self.at(NEXT_DAY)
        self.confirm(C, "two")
        self.assertEqual({C: "0"}, self.claims("two"))

    def test_conductors_race(self) -> None:
        self.calendar(A)
        self.now = utc(NIGHT)
        conductors = [self.conductor() for _ in range(4)]
        results = self.race(*(conductor.look for conductor in conductors))
        self.assertEqual([None] * 4, results)
        self.assertEqual([("nights", False)], self.by())
        self.assertEqual(2, self.row(A).generation)
        self.now = utc(NEXT_DAY)
        self.race(*(conductor.look for conductor in conductors))
        self.assertEqual([("nights", False), ("nights", True)], self.by())

    def test_clocks_that_differ_do_not_undo_each_other(self) -> None:
        self.calendar(A)
        ahead, behind = self.conductors
        for text, conductor in (
            ("2026-06-01T20:00:05", ahead),
            ("2026-06-01T19:59:50", behind),
            ("2026-06-02T04:00:05", ahead),
            ("2026-06-02T03:59:50", behind),
        ):
            self.now = utc(text)
            conductor.look()
        self.assertEqual([("nights", False), ("nights", True)], self.by())

    def test_clocks_are_put_forward_and_back(self) -> None:
        # of the clock from 22:00 to 07:00 and to 05:00, since a window lasts in real time
        for day, begin in (("2026-03-28", "2026-03-28T21:00"), ("2026-10-24", "2026-10-24T20:00")):
            self.now = utc(f"{day}T12:00")
            made = self.calendar(A, cron="0 22 * * *", timezone="Europe/Paris")
            for minute in (-1, 0, 179, 180, 240, 241, 300, 361, 479, 480):
                self.at(f"{utc(begin) + datetime.timedelta(minutes=minute):%Y-%m-%dT%H:%M}")
                self.assertEqual(50000 if 0 <= minute < 480 else 90000, self.quota())
            calendars.delete(self.context, made.id)


class FitTest(CalendarTestCase):
    """What calendars ask for does not always fit."""

    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)

    def refusals(self, uuid: str) -> list[tuple[str, bool]]:
        return self.by(uuid, "refused")

    def test_what_does_not_fit_at_the_edge_is_tried_again(self) -> None:
        self.create(A, cpus="0")
        self.create(B, cpus="4-5")
        self.confirm(A)
        self.confirm(B)
        self.calendar(A, overlay={"vcpus": {"*": "4"}}, on_collision="skip", duration_s=6 * 3600)
        self.at(NIGHT)
        self.assertEqual({A: "0", B: "4-5"}, self.claims())
        self.assertEqual(([], [("nights", False)]), (self.by(A), self.refusals(A)))
        self.at("2026-06-01T22:30")
        self.assertEqual(1, len(self.refusals(A)))
        self.update(B, cpus="5-6")
        self.confirm(B)
        self.at("2026-06-01T22:30:05")
        self.assertEqual({A: "0,4", B: "5-6"}, self.claims())
        self.assertEqual([("nights", False)], self.by(A))

    def test_two_pins_change_places(self) -> None:
        self.create(A, cpus="0-1")
        self.create(B, cpus="4-5")
        self.confirm(A)
        self.confirm(B)
        self.calendar(A, overlay={"vcpus": {"*": "4-5"}}, on_collision="skip")
        self.calendar(B, overlay={"vcpus": {"*": "2"}}, name="away", duration_s=6 * 3600)
        self.at(EVENING)
        self.assertEqual({A: "0-1", B: "2,4-5"}, self.claims())
        self.confirm(B)
        self.at(EVENING)
        self.assertEqual({A: "0-1,4-5", B: "2"}, self.claims())
        self.confirm(A)
        # the window of the one ends while the other is still where it shall return
        self.at("2026-06-02T03:00")
        self.assertEqual({A: "4-5", B: "2"}, self.claims())
        self.assertEqual([("away", True)], self.refusals(B))
        self.at("2026-06-02T04:00")
        self.confirm(A)
        self.at("2026-06-02T04:00:05")
        self.assertEqual([("away", False), ("away", True)], self.by(B))
        self.assertIsNone(self.row(B).overlay)

    def test_the_next_best_that_fits(self) -> None:
        self.create(A, cpus="0")
        self.create(B, cpus="4-5")
        self.calendar(A, overlay={"vcpus": {"*": "2"}}, name="modest")
        self.calendar(
            A, overlay={"vcpus": {"*": "4"}}, name="bold", priority=1, on_collision="skip"
        )
        self.at(NIGHT)
        self.assertEqual([("modest", False)], self.by(A))
        self.assertEqual([("bold", False)], self.refusals(A))
        self.delete(B)
        self.confirm(B)
        self.confirm(A)
        self.at("2026-06-01T22:10")
        self.assertEqual(["modest", "bold"], [name for name, _ in self.by(A)])

    def test_of_many_that_do_not_fit_the_best_are_tried(self) -> None:
        self.create(A, cpus="0")
        self.create(B, cpus="4-5")
        for number in range(25):
            self.calendar(
                A,
                overlay={"vcpus": {"*": "4"}},
                name=f"{number}",
                priority=number,
                on_collision="skip",
            )
        told = [(f"{number}", False) for number in range(24, 14, -1)]
        for text in (NIGHT, "2026-06-01T22:02"):
            self.at(text)
            self.assertEqual(told, self.refusals(A))

    def test_a_pin_moves_inside_a_window_to_where_that_does_not_fit(self) -> None:
        self.create(A, cpus="0")
        self.calendar(A, overlay={"vcpus": {"*": "4"}})
        self.run_instances(C, host="two")
        self.create(C, cpus="4")
        self.at(NIGHT)
        self.assertEqual({A: "0,4"}, self.claims())
        self.confirm(A)
        self.report(self.instance(A, "two"), host="two")
        self.assertEqual("failed", self.status(A)[0])
        self.at("2026-06-01T22:30")
        self.assertEqual("pending", self.status(A)[0])
        self.assertEqual({A: "0", C: "4"}, self.claims("two"))
        self.assertEqual([("nights", False), ("nights", True)], self.by(A))
        self.delete(C)
        self.confirm(C, "two")
        self.confirm(A, "two")
        self.at("2026-06-01T22:31")
        self.assertEqual({A: "0,4"}, self.claims("two"))

    def test_a_pin_moves_inside_a_window_to_where_that_fits(self) -> None:
        self.create(A, cpus="0")
        self.calendar(A, overlay={"vcpus": {"*": "4"}})
        self.run_instances(host="two")
        self.at(NIGHT)
        self.report(self.instance(A, "two"), host="two")
        self.assertEqual({A: "4"}, self.claims("two"))
        self.confirm(A, "two")
        self.at(NEXT_DAY)
        self.confirm(A, "two")
        self.assertEqual({A: "0"}, self.claims("two"))

    def test_pcpus_that_were_chosen_are_those_of_before(self) -> None:
        self.create(B, cpus="0-1")
        self.create(A, cpu_policy="dedicated")
        self.confirm(A)
        before = self.claims()[A]
        self.calendar(A, overlay={"vcpus": {"*": "12"}})
        self.at(NIGHT)
        self.confirm(A)
        self.assertEqual("12", self.claims()[A])
        # now others would be chosen first
        self.delete(B)
        self.confirm(B)
        self.at(NEXT_DAY)
        self.confirm(A)
        self.assertEqual({A: before}, self.claims())

    def test_an_instance_of_another_project(self) -> None:
        self.create(C, wait=True)
        self.calendar(C)
        self.at(NIGHT)
        self.run_instances(A, B)
        self.report(self.instance(C, project_id="shop"))
        self.assertEqual("failed", self.status(C)[0])
        before = self.row(C).generation
        for minute in range(5):
            self.at(f"2026-06-01T22:0{minute}")
        self.assertEqual((before, 1), (self.row(C).generation, len(self.by(C))))

    def test_a_contradiction(self) -> None:
        self.create(A, cpus="0", thread_policy="isolate")
        asked = described(A, overlay={"cpu_policy": "shared"})
        error = self.refused(
            exception.CalendarCollides, calendars.create, self.context, asked, self.now
        )
        self.assertIn("thread_policy", error.message)
        self.calendar(A, overlay={"cpu_policy": "shared"}, on_collision="skip")
        self.at(NIGHT)
        self.assertEqual([("nights", False)], self.refusals(A))
