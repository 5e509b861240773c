# SPDX-License-Identifier: Apache-2.0
"""Rules against an oracle that looks at each minute, and what of a rule is refused."""

import datetime
import itertools
from typing import Any

import hypothesis
from hypothesis import strategies as st

from kongming.tests import base, timetables
from kongming.timetable import rule
from kongming.timetable.rule import Once, Recurring, RuleError, Window

#: Where clocks are put forward by an hour, by half an hour, at midnight, in the south, or never.
ZONES = (
    "America/New_York",
    "America/Santiago",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Europe/Paris",
    "UTC",
)
#: The days on which the clocks of each of these zones change in 2026, and some others.
_DAYS = (
    datetime.date(2026, 3, 7),
    datetime.date(2026, 3, 28),
    datetime.date(2026, 4, 4),
    datetime.date(2026, 4, 23),
    datetime.date(2026, 9, 5),
    datetime.date(2026, 10, 3),
    datetime.date(2026, 10, 24),
    datetime.date(2026, 10, 29),
    datetime.date(2026, 10, 31),
    datetime.date(2026, 12, 31),
)
NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def starts(cron: str, timezone: str, since: str, until: str) -> list[str]:
    windows = Recurring(cron, timezone, 60).windows(utc(since), utc(until))
    return [f"{window.start:%m-%d %H:%M}" for window in windows]


@st.composite
def crons(draw: st.DrawFn) -> str:
    minute = draw(st.sampled_from(("0", "30", "*/15", "7,37", "0-59/20", "59", "*/30")))
    hour = draw(st.sampled_from(("*", "0", "1,2,3", "2", "*/2", "0-3", "23", "1-2", "3", "22/1")))
    day = draw(st.sampled_from(("*", "*/2", "5", "28-31", "8,29")))
    month = draw(st.sampled_from(("*", "*", "3,4,10", "9-11")))
    weekday = draw(st.sampled_from(("*", "0", "7", "1-5", "6", "*/3")))
    return f"{minute} {hour} {day} {month} {weekday}"


class OracleTest(base.BareTestCase):
    @hypothesis.settings(max_examples=200)
    @hypothesis.given(
        cron=crons(),
        timezone=st.sampled_from(ZONES),
        day=st.sampled_from(_DAYS),
        duration=st.sampled_from((60, 300, 1800, 3600, 5400, 86400, 90000, 3 * 86400)),
    )
    def test_each_minute(self, cron: str, timezone: str, day: datetime.date, duration: int) -> None:
        since = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
        until = since + datetime.timedelta(hours=36)
        tested = Recurring(cron, timezone, duration)
        oracle = timetables.Minutes(cron, timezone)
        end = now = since - datetime.timedelta(seconds=duration)
        expected: set[datetime.datetime] = set()
        while now < until:
            if oracle.fires(now):
                end = now + datetime.timedelta(seconds=duration)
            if since <= now < end:
                expected.add(now)
            now += timetables.MINUTE
        windows = list(tested.windows(since, until))
        minutes = [since + number * timetables.MINUTE for number in range(36 * 60)]
        found = {m for m in minutes if any(w.start <= m < w.end for w in windows)}
        self.assertEqual(expected, found, f"{cron} {timezone}")
        for former, latter in itertools.pairwise(windows):
            self.assertLessEqual(former.end, latter.start)
        for moment in (*minutes[:120:7], *minutes[700::97]):
            held = next((w for w in windows if w.start <= moment < w.end), None)
            self.assertEqual(held, tested.at(moment))
            edges = [e for w in windows for e in (w.start, w.end) if moment < e < until]
            if edges:
                self.assertEqual(min(edges), tested.next_edge(moment))


class ClockTest(base.BareTestCase):
    def test_a_time_that_is_skipped_counts_at_the_first_minute_after(self) -> None:
        # from 02:00 to 03:00, at 01:00 UTC
        found = starts("15,30 2 * * *", "Europe/Paris", "2026-03-28 12:00", "2026-03-30 12:00")
        self.assertEqual(["03-29 01:00", "03-30 00:15", "03-30 00:30"], found)

    def test_a_time_that_is_shown_twice_counts_at_the_first(self) -> None:
        # from 03:00 to 02:00, at 01:00 UTC
        found = starts("30 2 * * *", "Europe/Paris", "2026-10-24 12:00", "2026-10-26 12:00")
        self.assertEqual(["10-25 00:30", "10-26 01:30"], found)

    def test_what_follows_the_clock_is_skipped_and_shown_twice(self) -> None:
        spring = starts("30 * * * *", "Europe/Paris", "2026-03-29 00:00", "2026-03-29 03:00")
        self.assertEqual(["03-29 00:30", "03-29 01:30", "03-29 02:30"], spring)
        skipped = starts("*/30 2 * * *", "Europe/Paris", "2026-03-28 12:00", "2026-03-30 00:00")
        self.assertEqual([], skipped)
        autumn = starts("*/30 2 * * *", "Europe/Paris", "2026-10-24 12:00", "2026-10-25 12:00")
        self.assertEqual(["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"], autumn)

    def test_half_an_hour(self) -> None:
        # from 02:00 to 02:30, at 15:30 UTC
        found = starts("0-59/15 2,3 * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-04")
        at_three = ["10-03 16:00", "10-03 16:15", "10-03 16:30", "10-03 16:45"]
        self.assertEqual(["10-03 15:30", "10-03 15:45", *at_three], found)

    def test_a_window_lasts_in_real_time(self) -> None:
        window = Recurring("0 1 * * *", "Europe/Paris", 4 * 3600).at(utc("2026-03-29 03:59"))
        self.assertEqual(Window(utc("2026-03-29 00:00"), utc("2026-03-29 04:00")), window)

    def test_a_window_ends_when_the_next_begins(self) -> None:
        # the day has 23 hours
        daily = Recurring("0 0 * * *", "Europe/Paris", 86400)
        first, second = itertools.islice(daily.windows(utc("2026-03-29"), utc("2026-04-01")), 2)
        self.assertEqual(utc("2026-03-29 22:00"), first.end)
        self.assertEqual(first.end, second.start)

    def test_rare(self) -> None:
        leap = Recurring("0 0 29 2 *", "UTC", 3600)
        self.assertEqual(utc("2028-02-29"), leap.next_edge(NOW))
        mondays = Recurring("0 0 * 2 MON#5", "UTC", 3600)
        self.assertEqual(utc("2044-02-29"), mondays.next_edge(NOW))

    def test_once(self) -> None:
        once = Once(utc("2026-05-01"), utc("2026-05-02"))
        window = Window(once.start, once.end)
        self.assertEqual([window], list(once.windows(utc("2026-05-01 23:59"), utc("2026-06-01"))))
        self.assertEqual([], list(once.windows(utc("2026-05-02"), utc("2026-06-01"))))
        self.assertEqual((None, window), (once.at(utc("2026-05-02")), once.at(utc("2026-05-01"))))
        edges = [once.next_edge(now) for now in (NOW, once.start, once.end)]
        self.assertEqual([once.start, once.end, None], edges)


class ParseTest(base.BareTestCase):
    GOOD = {"cron": "0 22 * * 1-5", "timezone": "Europe/Paris", "duration_s": 3600}

    def refused(self, data: dict[str, Any], field: str, *words: str) -> None:
        error = self.assertRaises(RuleError, rule.parse, data, NOW)
        self.assertEqual(field, error.field, str(error))
        for word in words:
            self.assertIn(word, error.reason)

    def test_good(self) -> None:
        nights = Recurring("0 22 * * 1-5", "Europe/Paris", 3600)
        self.assertEqual(nights, rule.parse(self.GOOD, NOW))
        spaced = self.GOOD | {"cron": "  0 22  * * 1-5 "}
        self.assertEqual(nights, rule.parse(spaced, NOW))
        once = {"start": "2026-03-01T01:00:00+02:00", "end": "2026-03-02T00:00:00Z"}
        self.assertEqual(Once(utc("2026-02-28 23:00"), utc("2026-03-02")), rule.parse(once, NOW))

    def test_cron(self) -> None:
        for cron, words in (
            ("0 0 31 2 *", "never fires"),
            ("0 0 30,31 2 *", "never fires"),
            ("0 0 31 4,6 */2", "never fires"),
            ("0 0 32 1 *", "day-of-month"),
            ("60 0 * * *", "minute"),
            ("0 24 * * *", "hour"),
            ("0 0 * 13 *", "month"),
            ("0 0 * * 8", "day-of-week"),
            ("* * * * *", "00:00 and at 00:01; 5 minutes"),
            ("*/4 0 * * *", "5 minutes"),
            ("58 23,0 * * *", None),
            ("58,0 23,0 * * *", "23:58 and at 00:00"),
            ("0 0 0 * * *", "five fields"),
            ("@daily", "five fields"),
            ("", "five fields"),
            (f"0 0 * * {'1,' * 200}1", "five fields"),
            ("0 0 * * \u00b2L", "day-of-week"),
        ):
            if words is None:
                rule.parse(self.GOOD | {"cron": cron}, NOW)
            else:
                self.refused(self.GOOD | {"cron": cron}, "cron", words)

    def test_zone(self) -> None:
        long = "x" * 999
        wrong = ("Mars/Olympus", "europe/paris", "Europe", "../../etc/passwd", "", "a\0b", long)
        for name in (*wrong, "localtime"):
            self.refused(self.GOOD | {"timezone": name}, "timezone")

    def test_duration(self) -> None:
        for seconds in (0, -1, 59, 31 * 86400 + 1, 10**30):
            self.refused(self.GOOD | {"duration_s": seconds}, "duration_s", "from 60 to 2678400")

    def test_once(self) -> None:
        good = {"start": "2026-05-01T00:00:00Z", "end": "2026-05-02T00:00:00Z"}
        for changed, field, words in (
            ({"end": "2026-05-01T00:00:00Z"}, "end", "after start"),
            ({"end": "2026-04-01T00:00:00Z"}, "end", "after start"),
            ({"end": "2026-05-01T00:00:59Z"}, "end", "from 60"),
            ({"end": "2026-08-01T00:00:00Z"}, "end", "to 2678400"),
            ({"start": "2025-05-01T00:00:00Z", "end": "2025-05-02T00:00:00Z"}, "end", "is over"),
            ({"start": "2056-05-01T00:00:00Z", "end": "2056-05-02T00:00:00Z"}, "start", "3660"),
            ({"start": "2026-05-01T00:00:00"}, "start", "offset"),
            ({"start": "2026-05-01T00:00:00.5Z"}, "start", "offset"),
            ({"start": "0001-01-01T00:00:00+01:00"}, "start", "offset"),
            ({"start": "tomorrow"}, "start", "offset"),
            ({"cron": "0 0 * * *"}, "cron", "does not go with start and end"),
        ):
            self.refused(good | changed, field, words)

    def test_missing(self) -> None:
        self.refused({}, "cron", "is missing")
        for name in self.GOOD:
            self.refused({key: self.GOOD[key] for key in self.GOOD if key != name}, name, "missing")
        self.refused({"start": "2026-05-01T00:00:00Z"}, "end", "is missing")
        self.refused({"end": "2026-05-01T00:00:00Z"}, "start", "is missing")

    @hypothesis.given(st.text(st.sampled_from("0123456789*/,-#LWMON \u00b2"), max_size=24))
    def test_any_text(self, text: str) -> None:
        try:
            found = rule.parse(self.GOOD | {"cron": text}, NOW)
        except RuleError:
            return
        self.assertIsNotNone(found.next_edge(NOW))

    @hypothesis.given(
        st.tuples(*[st.text(st.sampled_from("0123456789*/,-#L"), min_size=1, max_size=5)] * 5)
    )
    def test_any_fields(self, fields: tuple[str, ...]) -> None:
        try:
            found = rule.parse(self.GOOD | {"cron": " ".join(fields)}, NOW)
        except RuleError:
            return
        self.assertIsNotNone(found.next_edge(NOW))
