# SPDX-License-Identifier: Apache-2.0
"""The thread that looks what holds now."""

from typing import Any
from unittest import mock

from oslo_db import exception as db_exception

from kongming.conductor import windows
from kongming.tests.unit.conductor.base import A, B
from kongming.tests.unit.conductor.calendars import NIGHT, CalendarTestCase, utc


class TimekeeperTest(CalendarTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)
        self.create(A)
        self.create(B, cpus="4")
        self.confirm(B)

    def test_it_looks_when_it_is_woken(self) -> None:
        self.calendar(A)
        self.now = utc(NIGHT)
        conductor = self.conductor()
        with mock.patch("kongming.conductor.timekeeper._INTERVAL", 60):
            conductor.start()
            self.addCleanup(conductor.stop)
            self.eventually(lambda: self.quota() == 50000)
            self.calendar(A, overlay={"qos": {"vcpu_quota": 20000}}, priority=1)
            conductor.wake()
            self.eventually(lambda: self.quota() == 20000)

    def test_a_database_that_is_away_is_asked_again(self) -> None:
        self.calendar(A)
        self.now = utc(NIGHT)
        conductor = self.conductor()
        away, due = [db_exception.DBConnectionError(), ValueError("unheard of")], windows.due

        def look(session: Any, now: Any) -> Any:
            if away:
                raise away.pop()
            return due(session, now)

        with (
            mock.patch("kongming.conductor.timekeeper._INTERVAL", 0.01),
            mock.patch.object(windows, "due", side_effect=look),
        ):
            conductor.start()
            self.addCleanup(conductor.stop)
            self.eventually(lambda: self.quota() == 50000)
        self.assertEqual([], away)
        self.assertIn("Calendars could not be followed, tried again", self.log.output)

    def test_one_pin_does_not_keep_others_up(self) -> None:
        self.calendar(A, B)
        self.now = utc(NIGHT)
        for wrong in (ValueError("what nobody thought of"), db_exception.DBDataError()):
            with mock.patch.object(windows, "turn", side_effect=[wrong, None]) as turn:
                self.conductor().look()
            (_, failed, _), (_, other, _) = (call.args for call in turn.call_args_list)
            self.assertEqual({A, B}, {failed, other})
            self.assertIn(f"Pin of instance {failed} could not be brought", self.log.output)
        self.at(NIGHT)
        self.assertEqual([50000, 50000], [self.quota(A), self.quota(B)])

    def test_a_look_that_takes_long_goes_by_the_time_that_it_is_by_then(self) -> None:
        self.calendar(A, B)
        self.now = utc("2026-06-02T03:59")
        turn = windows.turn

        def take_long(context: Any, uuid: str, now: Any) -> Any:
            host = turn(context, uuid, now)
            self.now = utc("2026-06-02T04:02")
            return host

        with mock.patch.object(windows, "turn", side_effect=take_long):
            self.conductors[0].look()
        self.assertEqual([("nights", False)], self.by(A) + self.by(B))

    def test_what_does_not_fit_is_left_alone_while_nothing_changes(self) -> None:
        overlay = {"cpu_policy": "dedicated", "vcpus": {"*": "4"}}
        self.calendar(A, overlay=overlay, on_collision="skip")
        with mock.patch.object(windows, "turn", side_effect=windows.turn) as turn:
            for second, times in ((0, 1), (5, 1), (59, 1), (60, 2), (65, 2)):
                self.now = utc(f"2026-06-01T22:0{second // 60}:{second % 60:02}")
                self.conductors[0].look()
                self.assertEqual(times, turn.call_count)
            # the books of the host change
            self.update(B, cpus="5")
            self.conductors[0].look()
            self.assertEqual(3, turn.call_count)
        self.assertEqual([("nights", False)], self.by(A, "refused"))
