# SPDX-License-Identifier: Apache-2.0
"""What will collide is told beforehand, once for each situation."""

from typing import Any
from unittest import mock

from kongming import exception, objects
from kongming.conductor import calendars, forecast, wishes
from kongming.conductor.claims import Ledger
from kongming.tests.unit.conductor.base import A, B, C
from kongming.tests.unit.conductor.calendars import CalendarTestCase, described, utc


def moved(cpus: str) -> dict[str, Any]:
    """Return what moves the vCPUs of a dedicated pin."""
    return {"vcpus": {"*": cpus}}


class ForecastTest(CalendarTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)
        self.create(A, cpus="0-1")
        self.create(B, cpus="4-5")
        self.confirm(A)
        self.confirm(B)

    def collisions(self, *pins: str, **fields: Any) -> list[tuple[str, str, int, str]]:
        """Return what a new calendar collides with, in short; it stays."""
        made = self.calendar(*pins, on_collision="skip", **fields)
        return [_short(collision) for collision in made.collisions]

    def test_nothing(self) -> None:
        made = self.calendar(A, overlay=moved("2-3"))
        self.assertEqual([], made.collisions)
        self.assertEqual(utc("2026-07-01T12:00"), made.checked_until)

    def test_what_others_claim_now(self) -> None:
        found = self.collisions(A, overlay=moved("5-6"))
        self.assertEqual([(A, "06-01 20:00", 30, "5")], found)

    def test_nothing_is_stored_where_it_is_refused(self) -> None:
        asked = described(A, overlay=moved("5-6"))
        error = self.refused(
            exception.CalendarCollides, calendars.create, self.context, asked, self.now
        )
        self.assertIn("window from 2026-06-01T20:00:00Z to 2026-06-02T04:00:00Z", error.message)
        made = self.calendar(A)
        error = self.refused(
            exception.CalendarCollides,
            *(calendars.update, self.context, made.id, asked, None, self.now),
        )
        self.assertIn(A, error.message)

    def test_what_is_wrong_with_the_wish(self) -> None:
        ((_, _, _, reason),) = self.collisions(A, overlay={"iothreads": {"7": "3"}})
        self.assertIn("iothreads", reason)

    def test_what_another_calendar_takes_at_the_same_time(self) -> None:
        self.calendar(B, overlay=moved("2-3"), name="b", cron="0 22 * * 1")
        # of 30 nights five are those of a Monday, and a situation of their own
        found = self.collisions(A, overlay=moved("2-3"))
        self.assertEqual([(A, "06-01 20:00", 5, "2-3")], found)

    def test_what_another_calendar_frees_at_the_same_time(self) -> None:
        self.calendar(B, overlay=moved("2-3"), name="b", cron="0 20 * * 1-5")
        # without the other calendar the pin of B is in the way, on weekends
        found = self.collisions(A, overlay=moved("4-5"))
        self.assertEqual([(A, "06-06 20:00", 8, "4-5")], found)

    def test_windows_that_only_touch(self) -> None:
        self.calendar(B, overlay=moved("2-3"), name="b", cron="0 4 * * *", duration_s=3600)
        self.assertEqual([], self.collisions(A, overlay=moved("2-3")))

    def test_where_it_is_overruled_nothing_collides(self) -> None:
        self.calendar(A, overlay=moved("2"), name="better", priority=1)
        self.assertEqual([], self.collisions(A, overlay=moved("4-5")))

    def test_what_a_calendar_that_collides_itself_does_not_take(self) -> None:
        self.collisions(B, overlay=moved("0-1"), name="b")
        self.assertEqual([], self.collisions(A, overlay={"emulator": "6"}))

    def test_two_pins_that_are_to_change_places(self) -> None:
        # neither gives way before the other does
        self.assertEqual(1, len(self.collisions(B, overlay=moved("0-1"), name="b")))
        self.assertEqual(1, len(self.collisions(A, overlay=moved("4-5"), name="a")))

    def test_pins_of_one_calendar_collide_with_each_other(self) -> None:
        ((uuid, *_),) = self.collisions(A, B, overlay=moved("2-3"))
        self.assertEqual(B, uuid)

    def test_a_calendar_that_is_changed_is_judged_without_what_it_was(self) -> None:
        made = self.calendar(A, overlay=moved("2-3"))
        self.at("2026-06-01T22:00")
        asked = described(A, overlay=moved("3"))
        self.assertEqual([], calendars.update(self.context, made.id, asked, 1, self.now).collisions)

    def test_what_is_in_force_now_is_not_what_others_have_then(self) -> None:
        self.calendar(B, overlay=moved("2-3"), name="b", duration_s=3600)
        self.at("2026-06-01T20:30")
        self.confirm(B)
        self.assertEqual({A: "0-1", B: "2-3"}, self.claims())
        # B is back on 4-5 before that
        found = self.collisions(A, overlay=moved("4-5"), cron="0 22 * * *", name="a")
        self.assertEqual([(A, "06-01 22:00", 30, "4-5")], found)

    def test_an_instance_that_is_on_no_host(self) -> None:
        self.create(C, wait=True, cpu_policy="dedicated", thread_policy="isolate")
        self.assertEqual([], self.collisions(C, overlay=moved("4-5")))
        ((uuid, start, windows, reason),) = self.collisions(C, overlay={"cpu_policy": "shared"})
        self.assertEqual((C, "06-01 20:00", 30), (uuid, start, windows))
        self.assertIn("thread_policy", reason)

    def test_not_in_use(self) -> None:
        self.assertEqual([], self.collisions(A, overlay=moved("4-5"), enabled=False))

    def test_once_far_ahead(self) -> None:
        when = {"starts_at": utc("2026-08-01T00:00"), "ends_at": utc("2026-08-02T00:00")}
        self.assertEqual([], self.collisions(A, overlay=moved("4-5"), **when))

    def test_bounds(self) -> None:
        with mock.patch.object(forecast, "_MOST_SPANS", 10):
            made = self.calendar(A, overlay=moved("5"), on_collision="skip")
        self.assertEqual(utc("2026-06-05T20:00"), made.checked_until)
        self.assertEqual([4], [collision.windows for collision in made.collisions])
        with mock.patch.object(forecast, "_MOST_FITS", 0):
            made = self.calendar(A, overlay=moved("5"), on_collision="skip")
        self.assertEqual((utc("2026-06-01T20:00"), []), (made.checked_until, made.collisions))

    def test_bounds_of_what_is_no_wish(self) -> None:
        self.update(A, cpus="0-1", thread_policy="isolate")
        self.calendar(A, name="a", cron="*/30 * * * 1", duration_s=60, priority=-1)
        asked = described(A, overlay={"cpu_policy": "shared"}, on_collision="skip")
        made = calendars.create(self.context, asked, self.now)
        # with and without the other one
        self.assertEqual(2, len(made.collisions))
        calendars.delete(self.context, made.id)
        with mock.patch.object(forecast, "_MOST_FITS", 2):
            made = calendars.create(self.context, asked, self.now)
        self.assertEqual(1, len(made.collisions))
        self.assertLess(made.checked_until, self.now + forecast.HORIZON)

    def test_what_a_situation_costs(self) -> None:
        self.calendar(B, overlay=moved("2-3"), name="b", cron="*/30 * * * *", duration_s=60)
        calls = mock.patch.object(wishes, "under", side_effect=wishes.under)
        ledgers = mock.patch.object(forecast, "Ledger", side_effect=Ledger)
        with calls as under, ledgers as ledger:
            # two situations, in both of which the pin has what it has
            self.calendar(A, overlay=moved("0-1"), name="same")
            self.assertEqual(0, ledger.call_count)
            self.assertEqual(3, under.call_count)

    def test_each_situation_is_tried_once(self) -> None:
        with mock.patch("kongming.conductor.forecast.Ledger", side_effect=Ledger) as ledger:
            self.calendar(A, overlay=moved("2-3"), cron="*/30 * * * *", duration_s=60)
        self.assertEqual(1, ledger.call_count)


def _short(collision: objects.Collision) -> tuple[str, str, int, str]:
    reason = str(collision.reason)
    if "pCPU " in reason:
        reason = reason.partition("pCPU ")[2].partition(" ")[0]
    return collision.instance_uuid, f"{collision.start:%m-%d %H:%M}", collision.windows, reason
