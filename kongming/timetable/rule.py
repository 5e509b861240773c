# SPDX-License-Identifier: Apache-2.0
"""Windows of time: those that come again by a cron expression, or a single one."""

import dataclasses
import datetime
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from kongming.timetable.cron import Cron, CronError, zone

#: Seconds that a window may last.
MIN_DURATION_S, MAX_DURATION_S = 60, 31 * 24 * 60 * 60
#: How long after now a window may begin that comes only once, and the last one that is looked for.
_FAR = datetime.timedelta(days=3660)
_NEVER = datetime.timedelta(days=50 * 366)
_INSTANT = datetime.timedelta(microseconds=1)
#: How far back a window is looked for at first.
_FIRST_LOOK = datetime.timedelta(hours=1)


class RuleError(ValueError):
    """A field of a rule is malformed, or contradicts another."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclasses.dataclass(frozen=True, order=True)
class Window:
    """From ``start`` on until just before ``end``."""

    start: datetime.datetime
    end: datetime.datetime


class Rule:
    """When windows are; those of one rule never overlap."""

    def windows(self, since: datetime.datetime, until: datetime.datetime) -> Iterator[Window]:
        """Yield the windows that have a part in ``[since, until)``, in order."""
        raise NotImplementedError

    def at(self, now: datetime.datetime) -> Window | None:
        """Return the window in which an instant is, if any."""
        return next(self.windows(now, now + _INSTANT), None)

    def next_edge(self, after: datetime.datetime) -> datetime.datetime | None:
        """Return when, after an instant, a window next begins or ends."""
        for window in self.windows(after, after + _NEVER):
            return window.start if window.start > after else window.end
        return None


@dataclasses.dataclass(frozen=True)
class Recurring(Rule):
    """A window begins whenever the cron expression fires, and lasts ``duration_s`` real seconds.

    One that lasts when the next begins ends there.
    """

    cron: str
    timezone: str
    duration_s: int

    def windows(self, since: datetime.datetime, until: datetime.datetime) -> Iterator[Window]:
        """Yield windows; the hours that clocks are put forward or back do not count twice."""
        duration = datetime.timedelta(seconds=self.duration_s)
        starts = self._starts(since, duration)
        for start, following in itertools.pairwise(itertools.chain(starts, [None])):
            if start is None or start >= until:
                return
            end = start + duration if following is None else min(start + duration, following)
            if end > since:
                yield Window(start, end)

    def _starts(
        self, since: datetime.datetime, duration: datetime.timedelta
    ) -> Iterator[datetime.datetime]:
        """Yield the starts of windows from the last that matters at an instant on, or from before.

        That is the last one, and seldom far back where there are many.
        """
        cron, back = _cron(self.cron, self.timezone), min(duration, _FIRST_LOOK)
        while True:
            starts = cron.starts(since - back)
            first = next(starts, None)
            if back == duration or (first is not None and first <= since):
                return itertools.chain([] if first is None else [first], starts)
            back = min(duration, 16 * back)


@functools.lru_cache(maxsize=1024)
def _cron(expression: str, timezone: str) -> Cron:
    found = zone(timezone)
    if found is None:
        # it was there when the rule was made: the time zones of this machine are older
        raise RuleError("timezone", f"this machine does not know {timezone}")
    return Cron(expression, found)


@dataclasses.dataclass(frozen=True)
class Once(Rule):
    """A single window."""

    start: datetime.datetime
    end: datetime.datetime

    def windows(self, since: datetime.datetime, until: datetime.datetime) -> Iterator[Window]:
        """Yield it if it has a part in between."""
        if self.start < until and self.end > since:
            yield Window(self.start, self.end)


def parse(data: Mapping[str, Any], now: datetime.datetime) -> Rule:
    """Return the rule of ``cron``, ``timezone`` and ``duration_s``, or of ``start`` and ``end``.

    :raises RuleError: naming the first field that is missing, malformed or beyond a limit
    """
    recurring, once = ("cron", "timezone", "duration_s"), ("start", "end")
    kind, other = (once, recurring) if "start" in data or "end" in data else (recurring, once)
    for name in other:
        if name in data:
            raise RuleError(name, f"does not go with {' and '.join(n for n in kind if n in data)}")
    for name in kind:
        if name not in data:
            raise RuleError(name, "is missing")
    return _once(data, now) if kind is once else _recurring(data)


def _recurring(data: Mapping[str, Any]) -> Recurring:
    if zone(data["timezone"]) is None:
        raise RuleError("timezone", "must be the name of a time zone such as Europe/Paris or UTC")
    try:
        _cron(data["cron"], data["timezone"])
    except CronError as error:
        raise RuleError("cron", str(error)) from error
    seconds = data["duration_s"]
    if not MIN_DURATION_S <= seconds <= MAX_DURATION_S:
        raise RuleError("duration_s", f"must be from {MIN_DURATION_S} to {MAX_DURATION_S}")
    return Recurring(" ".join(data["cron"].split()), data["timezone"], seconds)


def _once(data: Mapping[str, Any], now: datetime.datetime) -> Once:
    start, end = instant("start", data["start"]), instant("end", data["end"])
    seconds = (end - start).total_seconds()
    if seconds <= 0:
        raise RuleError("end", "must be after start")
    if not MIN_DURATION_S <= seconds <= MAX_DURATION_S:
        raise RuleError(
            "end", f"must be from {MIN_DURATION_S} to {MAX_DURATION_S} seconds after start"
        )
    if end <= now:
        raise RuleError("end", "is over")
    if start > now + _FAR:
        raise RuleError("start", f"must be within {_FAR.days} days from now")
    return Once(start, end)


def instant(field: str, text: str) -> datetime.datetime:
    """Return the instant that a text such as ``2027-01-31T22:00:00Z`` names.

    :raises RuleError: it has no offset from UTC, parts of a second, or is no time at all
    """
    try:
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is None or found.microsecond:
            raise ValueError
        return found.astimezone(datetime.UTC)
    except (OverflowError, ValueError):
        raise RuleError(
            field, "must be a time with its offset from UTC, such as 2027-01-31T22:00:00Z"
        ) from None
