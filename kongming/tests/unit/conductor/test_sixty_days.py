# SPDX-License-Identifier: Apache-2.0
"""Sixty days of a hundred hosts, through both changes of the clocks: each minute is judged.

What should be in force comes from an oracle that looks at every single minute. The conductors look
at each minute at which that changes for any pin, at the minute before, and at some between.
"""

import collections
import dataclasses
import datetime
import itertools
import random
from typing import Any

import sqlalchemy as sa

from kongming.conductor import calendars, windows
from kongming.db import engine, models
from kongming.tests import timetables
from kongming.tests.timetables import MINUTE
from kongming.tests.unit.conductor.base import outcome
from kongming.tests.unit.conductor.calendars import CalendarTestCase, described, utc

HOSTS, DAYS = 100, 60
#: Clocks go forward on 8 March in New York and on 29 March in Paris, back on 5 April in Santiago
#: and on Lord Howe Island.
BEGIN = utc("2026-03-01T00:00")
END = BEGIN + datetime.timedelta(days=DAYS)
#: When all conductors are away, and when each is replaced by a new one.
OUTAGES = (
    (utc("2026-03-12T23:17"), utc("2026-03-15T05:31")),
    (utc("2026-03-29T00:10"), utc("2026-03-29T01:40")),
)
RESTARTS = tuple(BEGIN + datetime.timedelta(days=day, hours=21) for day in range(3, DAYS, 7))
_BASE = 100_000


@dataclasses.dataclass(frozen=True)
class Told:
    """A calendar as the oracle knows it, from a minute on until another; and its pins."""

    id: str
    quota: int
    priority: int
    age: int
    hosts: range
    when: dict[str, Any]
    since: datetime.datetime = BEGIN
    until: datetime.datetime = END

    def minutes(self) -> bytearray:
        """Return for each minute whether it has a window."""
        own = {"id": self.id, "priority": 0, "age": 0, **self.when}
        found = bytearray(DAYS * 24 * 60)
        for number, (now, key) in enumerate(timetables.in_force([own], BEGIN, END)):
            found[number] = key is not None and self.since <= now < self.until
        return found


def weekly(cron: str, timezone: str, hours: float) -> dict[str, Any]:
    """Return when a calendar has windows."""
    return {"cron": cron, "timezone": timezone, "duration_s": int(hours * 3600)}


def once(start: str, end: str) -> dict[str, Any]:
    """Return when a calendar has its window."""
    return {"start": utc(start), "end": utc(end)}


#: When calendars are changed, and when instances move, both within windows.
_CHANGE, _MOVE = utc("2026-04-06T11:00"), utc("2026-03-29T01:40")
CALENDARS = (
    # over both changes of the clocks, within the hour that is skipped and the one shown twice
    Told("weekends", 10_000, 0, 1, range(0, 12), weekly("30 2 * * 0", "Europe/Paris", 20)),
    Told("new-york", 11_000, 2, 2, range(8, 16), weekly("30 2 * * 7", "America/New_York", 3.5)),
    Told("santiago", 12_000, 2, 3, range(10, 20), weekly("30 23 * * 6", "America/Santiago", 30)),
    Told("lord-howe", 13_000, 1, 4, range(18, 28), weekly("45 1 * * 0", "Australia/Lord_Howe", 5)),
    # with the clock, as far as it goes
    Told("hours", 14_000, 3, 5, range(27, 29), weekly("*/45 1-2 * * 0", "Europe/Paris", 0.5)),
    # of equal priority: the older has its way
    Told("older", 15_000, 4, 6, range(28, 42), weekly("0 20 1,15 * *", "UTC", 48)),
    Told("younger", 16_000, 4, 7, range(36, 52), weekly("0 8 1-2,15-16 * *", "UTC", 30)),
    # windows that end because the next begins
    Told("cut", 17_000, 0, 8, range(70, 80), weekly("0 0 */10 * *", "Asia/Kolkata", 15 * 24)),
    # only once, across a change and out of an outage into the next days
    Told("once", 18_000, 9, 9, range(0, 100, 7), once("2026-03-14T10:00", "2026-03-16T03:20")),
    Told("change", 19_000, 9, 10, range(80, 90), once("2026-03-28T23:00", "2026-03-29T04:00")),
    # changed and deleted inside windows, and made inside what would be one
    Told("deleted", 20_000, 0, 11, range(85, 95), weekly("0 6 * * 1", "UTC", 10), until=_CHANGE),
    Told(
        *("made", 21_000, 5, 12, range(83, 100), weekly("0 5 * * 1", "UTC", 9)),
        since=_CHANGE,
    ),
)
#: The second of these takes the place of the first, under its id.
BEFORE = Told(
    *("replaced", 22_000, 1, 13, range(90, 100), weekly("0 4 * * 1-2", "UTC", 12)),
    until=_CHANGE,
)
AFTER = Told(
    *("replaced", 23_000, 1, 13, range(94, 100), weekly("0 9 * * 1-2", "UTC", 12)),
    since=_CHANGE,
)


def uuid_on(host: int) -> str:
    """Return the uuid of the instance that begins on a host."""
    return f"{host:08x}-1111-4111-8111-111111111111"


class SixtyDaysTest(CalendarTestCase):
    def test_every_minute(self) -> None:
        self.now = BEGIN - MINUTE
        self.made: dict[str, str] = {}
        self.restarts = list(RESTARTS)
        self.conductors = [self.conductor(), self.conductor()]
        self.whereabouts = {uuid_on(host): f"host-{host}" for host in range(HOSTS)}
        for uuid, host in self.whereabouts.items():
            self.run_instances(uuid, host=host)
            self.create(uuid, qos={"vcpu_quota": _BASE + int(uuid[:8], 16)})
        for told in CALENDARS:
            if told.since == BEGIN:
                self.make(told)
        self.make(BEFORE)
        expected = self.oracle()
        looks = self.looks(expected)
        for self.now in looks:
            self.live_on()
            self.look()
            if not self.is_away():
                minute = (self.now - BEGIN) // MINUTE
                self.assertEqual([q[minute] for q in expected], self.in_force(), str(self.now))
        self.assert_histories(expected, looks)

    def make(self, told: Told, **fields: Any) -> None:
        """Make a calendar, a minute before it counts if it does so from the begin on."""
        when = {"start": "starts_at", "end": "ends_at"}
        asked = described(
            *(uuid_on(host) for host in told.hosts),
            overlay={"qos": {"vcpu_quota": told.quota}},
            name=told.id,
            priority=told.priority,
            **dict.fromkeys(("cron", "timezone", "duration_s", "starts_at", "ends_at"))
            | {when.get(name, name): value for name, value in told.when.items()},
        )
        if told.id in self.made:
            calendars.update(self.context, self.made[told.id], asked, 1, self.now)
            return
        self.made[told.id] = calendars.create(self.context, asked, self.now).id
        with engine.writer() as session:
            row = session.get(models.Calendar, self.made[told.id])
            assert row is not None
            row.created_at = utc("2026-01-01").replace(tzinfo=None) + told.age * MINUTE

    def oracle(self) -> list[list[int]]:
        """Return for each pin, in the order of the hosts, the quota of each minute."""
        known = [(told, told.minutes()) for told in (*CALENDARS, BEFORE, AFTER)]
        found: list[list[int]] = []
        cache: dict[tuple[int, ...], list[int]] = {}
        for host in range(HOSTS):
            mine = [number for number, (told, _) in enumerate(known) if host in told.hosts]
            mine.sort(key=lambda number: (-known[number][0].priority, known[number][0].age))
            key = tuple(mine)
            if key not in cache:
                rows = [(known[number][0].quota, known[number][1]) for number in mine]
                cache[key] = [
                    next((quota for quota, minutes in rows if minutes[minute]), 0)
                    for minute in range(DAYS * 24 * 60)
                ]
            found.append([quota or _BASE + host for quota in cache[key]])
        return found

    def looks(self, expected: list[list[int]]) -> list[datetime.datetime]:
        """Return when the conductors look: around each change, and at some other times."""
        minutes: set[int] = set(random.Random(7).sample(range(DAYS * 24 * 60), 60))
        for quotas in {tuple(quotas) for quotas in expected}:
            changes = (n for n, (a, b) in enumerate(itertools.pairwise(quotas), 1) if a != b)
            for change in changes:
                minutes |= {change - 1, change}
        minutes |= {(end - BEGIN) // MINUTE for _, end in OUTAGES}
        return [BEGIN + minute * MINUTE for minute in sorted({0, *minutes})]

    def live_on(self) -> None:
        """Let happen what has to have happened by now, but for what conductors do."""
        while self.restarts and self.now >= self.restarts[0]:
            del self.restarts[0]
            self.conductors = [self.conductor(), self.conductor()]
        if self.now >= _CHANGE and "made" not in self.made:
            calendars.delete(self.context, self.made["deleted"])
            self.make(next(told for told in CALENDARS if told.id == "made"))
            self.make(AFTER)
        if self.now >= _MOVE and len(set(self.whereabouts.values())) == HOSTS:
            for host in range(0, 100, 9):
                self.move(uuid_on(host), f"host-{(host + 1) % HOSTS}")

    def move(self, uuid: str, host: str) -> None:
        """Let an instance be on another host."""
        self.whereabouts[uuid] = host
        self.report(self.instance(uuid, host), host=host)

    def look(self) -> None:
        """Let one of the conductors look, and some of the agents do what they are told."""
        if self.is_away():
            return
        self.told.clear()
        self.conductors.reverse()
        self.conductors[0].look()
        for host in {host for host in self.told if host is not None and host.endswith("5")}:
            self.confirm_all(host)

    def confirm_all(self, host: str) -> None:
        """Let the agent of a host say that it carried out everything."""
        with engine.reader() as session:
            pins = session.scalars(sa.select(models.Pin).where(models.Pin.host == host)).all()
            session.expunge_all()
        done = [outcome(p.instance_uuid, p.generation, in_force=p.placement) for p in pins]
        self.report(host=host, outcomes=done)

    def is_away(self) -> bool:
        return any(begin <= self.now < end for begin, end in OUTAGES)

    def in_force(self) -> list[int]:
        """Return the quota of each pin, in the order of the hosts."""
        with engine.reader() as session:
            self.assertEqual({}, windows.due(session, self.now))
            query = sa.select(models.Pin.wish).order_by(models.Pin.instance_uuid)
            found = [wish.qos for wish in session.scalars(query)]
        return [qos.numbers["vcpu_quota"] for qos in found if qos is not None]

    def assert_histories(self, expected: list[list[int]], looks: list[datetime.datetime]) -> None:
        """Insist on one line for each change that was not missed, and no other."""
        seen = [
            (now - BEGIN) // MINUTE
            for now in looks
            if not any(begin <= now < end for begin, end in OUTAGES)
        ]
        changes: dict[str, list[int]] = collections.defaultdict(list)
        with engine.reader() as session:
            query = sa.select(models.PinEvent).order_by(models.PinEvent.id)
            events = ("changed", "refused")
            for line in session.scalars(query.where(models.PinEvent.event.in_(events))):
                assert line.wish is not None and line.wish.qos is not None
                changes[line.instance_uuid].append(line.wish.qos.numbers["vcpu_quota"])
        for host, quotas in enumerate(expected):
            states = [_BASE + host, *(quotas[minute] for minute in seen)]
            told = [now for before, now in itertools.pairwise(states) if before != now]
            self.assertEqual(told, changes[uuid_on(host)], f"host {host}")
