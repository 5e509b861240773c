# SPDX-License-Identifier: Apache-2.0
"""Of several rules the right one has its way."""

import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st

from kongming.tests import base, timetables
from kongming.tests.unit.timetable.test_rule import ZONES, crons, utc
from kongming.timetable import ranking
from kongming.timetable.ranking import Entry
from kongming.timetable.rule import Once, Recurring, Rule

SINCE = utc("2026-10-24 12:00")
UNTIL = SINCE + datetime.timedelta(hours=36)
MOST = 100_000


def entry(key: str, rule: Rule, priority: int = 0, age: int = 0) -> Entry:
    return Entry(key, priority, utc("2026-01-01") + datetime.timedelta(seconds=age), rule)


@st.composite
def calendars(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        ranks = {"priority": draw(st.integers(0, 2)), "age": draw(st.integers(0, 1))}
        if draw(st.booleans()):
            when: dict[str, Any] = {
                "cron": draw(crons()),
                "timezone": draw(st.sampled_from(ZONES)),
                "duration_s": draw(st.sampled_from((300, 3600, 7200, 86400))),
            }
        else:
            start = SINCE + draw(st.integers(-600, 2400)) * timetables.MINUTE
            when = {"start": start, "end": start + draw(st.integers(1, 900)) * timetables.MINUTE}
        found.append({"id": f"{number}", **ranks, **when})
    return found


def entries(found: list[dict[str, Any]]) -> list[Entry]:
    return [
        entry(
            c["id"],
            Once(c["start"], c["end"])
            if "start" in c
            else Recurring(c["cron"], c["timezone"], c["duration_s"]),
            c["priority"],
            c["age"],
        )
        for c in found
    ]


class RankingTest(base.BareTestCase):
    @hypothesis.settings(max_examples=60)
    @hypothesis.given(calendars())
    def test_each_minute(self, drawn: list[dict[str, Any]]) -> None:
        tested = entries(drawn)
        found = list(ranking.segments(tested, SINCE, UNTIL, MOST))
        for number, (now, expected) in enumerate(timetables.in_force(drawn, SINCE, UNTIL)):
            held = [s.entry.key for s in found if s.start <= now < s.end]
            self.assertEqual([] if expected is None else [expected], held, str(now))
            if number % 61 == 0:
                first = [e.key for e, _ in ranking.ranked(tested, now)][:1]
                self.assertEqual(held, first)

    def test_a_window_that_is_overruled_goes_on_after(self) -> None:
        low = entry("low", Once(utc("2026-10-24 20:00"), utc("2026-10-25 06:00")))
        high = entry("high", Once(utc("2026-10-24 22:00"), utc("2026-10-25 02:00")), priority=1)
        found = [
            (f"{s.start:%H}", f"{s.end:%H}", s.entry.key)
            for s in ranking.segments([low, high], SINCE, UNTIL, MOST)
        ]
        self.assertEqual([("20", "22", "low"), ("22", "02", "high"), ("02", "06", "low")], found)

    def test_edges_of_those_who_are_overruled_do_not_show(self) -> None:
        low = entry("low", Once(utc("2026-10-24 23:00"), utc("2026-10-25 00:00")))
        high = entry("high", Once(utc("2026-10-24 22:00"), utc("2026-10-25 02:00")), priority=1)
        (found,) = ranking.segments([low, high], SINCE, UNTIL, MOST)
        self.assertEqual(utc("2026-10-24 22:00"), found.start)
        self.assertEqual(utc("2026-10-25 02:00"), found.end)

    def test_of_equal_ones_the_older_wins(self) -> None:
        rule = Once(utc("2026-10-24 22:00"), utc("2026-10-25 02:00"))
        both = [entry("a", rule, age=2), entry("b", rule, age=1)]
        self.assertEqual(["b"], [s.entry.key for s in ranking.segments(both, SINCE, UNTIL, MOST)])
        twins = [entry("d", rule), entry("c", rule)]
        self.assertEqual(["c"], [s.entry.key for s in ranking.segments(twins, SINCE, UNTIL, MOST)])

    def test_what_would_be_too_much(self) -> None:
        low = entry("low", Recurring("*/5 * * * *", "UTC", 60))
        high = entry("high", Once(SINCE, UNTIL), priority=1)
        found = ranking.segments([low, high], SINCE, UNTIL, 20)
        until = utc("2026-10-24 12:25")
        self.assertEqual((SINCE, until), [(s.start, s.end) for s in [next(found)]][0])
        error = self.assertRaises(ranking.TooMany, next, found)
        self.assertEqual(until, error.until)
