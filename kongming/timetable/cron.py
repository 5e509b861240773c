# SPDX-License-Identifier: Apache-2.0
"""At which instants a cron expression fires in a time zone.

The clock is read as Debian's cron does. An expression that names its minutes and hours fires once
for each time of the day that it names: a time that the clock skips counts at the first minute
after, one that it shows twice at the first. One whose minute or hour begins with ``*`` follows the
clock: it does not fire for what is skipped, and twice for what is shown twice.
"""

import datetime
import functools
import zoneinfo
from collections.abc import Iterator

import cronsim

_NONE, _MINUTE = datetime.timedelta(0), datetime.timedelta(minutes=1)
#: More than any clock was ever put back or forward, and less than between two such changes.
_SLACK = datetime.timedelta(hours=25)
_MAX_LENGTH = 255
#: Minutes that have to be between two times of the day.
MIN_DISTANCE = 5


class CronError(ValueError):
    """A cron expression is malformed, never fires, or does so too often."""


class Cron:
    """A cron expression of five fields in a time zone.

    :raises CronError:
    """

    def __init__(self, expression: str, zone: zoneinfo.ZoneInfo) -> None:
        self._expression = expression
        self._zone = zone
        fields = expression.split()
        if len(fields) != 5 or len(expression) > _MAX_LENGTH:
            raise CronError("must have five fields: minute, hour, day of month, month, weekday")
        try:
            parsed = cronsim.CronSim(expression, datetime.datetime(2000, 1, 1))
            next(parsed)
        except (cronsim.CronSimError, StopIteration) as error:
            raise CronError(_why(fields, error)) from error
        _check_distance(parsed)
        self._follows_the_clock = fields[0].startswith("*") or fields[1].startswith("*")

    def starts(self, since: datetime.datetime) -> Iterator[datetime.datetime]:
        """Yield the instants at or after ``since``, in order."""
        pending: set[datetime.datetime] = set()
        for shown in cronsim.CronSim(self._expression, self._shown_before(since)):
            instants = self._instants(shown)
            # what the clock shows later is not earlier than the first of these
            for instant in sorted(pending.difference(instants)):
                if instants and instant < instants[0]:
                    yield instant
                    pending.remove(instant)
            pending.update(instant for instant in instants if instant >= since)
        yield from sorted(pending)

    def _shown_before(self, since: datetime.datetime) -> datetime.datetime:
        """Return what the clock shows before all that it shows, or skips, from an instant on."""
        near = [(since + slack).astimezone(self._zone) for slack in (-_SLACK, _NONE, _SLACK)]
        begin = near[1].replace(tzinfo=None, fold=0) - _MINUTE
        return begin - _SLACK if len({time.utcoffset() for time in near}) > 1 else begin

    def _instants(self, shown: datetime.datetime) -> list[datetime.datetime]:
        """Return when it fires for a time that the clock shows, or skips."""
        if self._is_skipped(shown):
            if self._follows_the_clock:
                return []
            while self._is_skipped(shown):
                shown += _MINUTE
        first = self._instant(shown)
        return [first, self._instant(shown.replace(fold=1))] if self._follows_the_clock else [first]

    def _is_skipped(self, shown: datetime.datetime) -> bool:
        there = self._instant(shown).astimezone(self._zone)
        return there.replace(tzinfo=None, fold=0) != shown

    def _instant(self, shown: datetime.datetime) -> datetime.datetime:
        return shown.replace(tzinfo=self._zone).astimezone(datetime.UTC)


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """Return the time zone of a name such as ``Europe/Paris``, or None."""
    return zoneinfo.ZoneInfo(name) if name in _names() else None


@functools.cache
def _names() -> set[str]:
    # that is another one on another machine
    return zoneinfo.available_timezones() - {"localtime"}


def _why(fields: list[str], error: Exception) -> str:
    """Return why an expression is refused: its days may be fine but for the months."""
    minute, hour, day, _, weekday = fields
    if isinstance(error, cronsim.CronSimError) and str(error) == "Bad day-of-month":
        try:
            cronsim.CronSim(f"{minute} {hour} {day} * {weekday}", datetime.datetime(2000, 1, 1))
        except cronsim.CronSimError:
            return str(error)
    elif isinstance(error, cronsim.CronSimError):
        return str(error)
    return "never fires: none of its months has such a day"


def _check_distance(parsed: cronsim.CronSim) -> None:
    """Insist that the times of a day, and those of one day and the next, are some time apart."""
    day = 24 * 60
    times = sorted(60 * hour + minute for hour in parsed.hours for minute in parsed.minutes)
    for former, latter in zip(times, [*times[1:], times[0] + day], strict=True):
        if latter - former < MIN_DISTANCE:
            shown = (f"{time % day // 60:02}:{time % 60:02}" for time in (former, latter))
            raise CronError(
                f"fires at {' and at '.join(shown)}; {MIN_DISTANCE} minutes must be between"
            )
