# SPDX-License-Identifier: Apache-2.0
"""A naive oracle of timetables: it looks at each minute, and shares no code with what it judges."""

import dataclasses
import datetime
import zoneinfo
from collections.abc import Iterator
from typing import Any

MINUTE = datetime.timedelta(minutes=1)
_FIRST = (0, 0, 1, 1, 0)
_LAST = (59, 23, 31, 12, 7)


def _numbers(text: str, first: int, last: int) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            low, high = first, last
        elif "-" in span:
            low, high = map(int, span.split("-"))
        else:
            low = int(span)
            high = last if step else low
        found.update(range(low, high + 1, int(step or 1)))
    return found


@dataclasses.dataclass
class Minutes:
    """A cron expression in a time zone, asked for one minute after the other."""

    cron: str
    timezone: str

    def __post_init__(self) -> None:
        self.texts = self.cron.split()
        self.fields = [_numbers(*field) for field in zip(self.texts, _FIRST, _LAST, strict=True)]
        if 7 in self.fields[4]:
            self.fields[4].add(0)
        self.zone = zoneinfo.ZoneInfo(self.timezone)
        self.follows = self.texts[0][0] == "*" or self.texts[1][0] == "*"

    def names(self, shown: datetime.datetime) -> bool:
        """Whether the expression names what a clock shows."""
        minute, hour, day, month, weekday = self.fields
        if shown.minute not in minute or shown.hour not in hour or shown.month not in month:
            return False
        by_day, by_weekday = shown.day in day, (shown.weekday() + 1) % 7 in weekday
        if self.texts[2][0] == "*" or self.texts[4][0] == "*":
            return by_day and by_weekday
        return by_day or by_weekday

    def fires(self, instant: datetime.datetime) -> bool:
        """Whether it fires at a minute."""
        shown = instant.astimezone(self.zone)
        if self.follows:
            return self.names(shown)
        if shown.fold == 0 and self.names(shown):
            return True
        # a clock that was just put forward has skipped some minutes
        before = (instant - MINUTE).astimezone(self.zone).replace(tzinfo=None) + MINUTE
        while before < shown.replace(tzinfo=None):
            if self.names(before):
                return True
            before += MINUTE
        return False


def in_force(
    calendars: list[dict[str, Any]], since: datetime.datetime, until: datetime.datetime
) -> Iterator[tuple[datetime.datetime, str | None]]:
    """Yield for each minute which calendar (its ``id``) has its way.

    A calendar has ``id``, ``priority``, ``age`` (the lower the older) and either ``cron``,
    ``timezone`` and ``duration_s`` or ``start`` and ``end``. Everything is in whole minutes.
    """
    longest = max([c.get("duration_s", 0) for c in calendars], default=0)
    crons = {c["id"]: Minutes(c["cron"], c["timezone"]) for c in calendars if "cron" in c}
    ends: dict[str, datetime.datetime] = {}
    now = since - datetime.timedelta(seconds=longest)
    while now < until:
        best: tuple[int, int, str] | None = None
        for calendar in calendars:
            name = calendar["id"]
            if name in crons:
                if crons[name].fires(now):
                    ends[name] = now + datetime.timedelta(seconds=calendar["duration_s"])
                holds = name in ends and now < ends[name]
            else:
                holds = calendar["start"] <= now < calendar["end"]
            if holds:
                rank = (-calendar["priority"], calendar["age"], name)
                best = rank if best is None else min(best, rank)
        if now >= since:
            yield now, None if best is None else best[2]
        now += MINUTE
