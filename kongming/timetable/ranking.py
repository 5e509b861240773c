# SPDX-License-Identifier: Apache-2.0
"""Which of several rules has its way, and when."""

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator

from kongming.timetable.rule import Rule, Window


@dataclasses.dataclass(frozen=True)
class Entry:
    """A rule among others: the higher priority wins, of equal ones the older, then the lower key.

    ``key`` is unique among the entries.
    """

    key: str
    priority: int
    created_at: datetime.datetime
    rule: Rule

    @property
    def rank(self) -> tuple[int, datetime.datetime, str]:
        """What sorts entries: the least has its way."""
        return -self.priority, self.created_at, self.key


@dataclasses.dataclass(frozen=True)
class Segment:
    """A time during which one entry has its way, in or throughout one of its windows."""

    start: datetime.datetime
    end: datetime.datetime
    entry: Entry
    window: Window


def ranked(entries: Iterable[Entry], now: datetime.datetime) -> list[tuple[Entry, Window]]:
    """Return the entries in whose windows an instant is; the first has its way."""
    found = [(entry, window) for entry in entries if (window := entry.rule.at(now)) is not None]
    return sorted(found, key=lambda pair: pair[0].rank)


class TooMany(Exception):
    """Windows begin and end so often that it is not told what is from ``until`` on."""

    def __init__(self, until: datetime.datetime) -> None:
        super().__init__(until)
        self.until = until


def segments(
    entries: Collection[Entry], since: datetime.datetime, until: datetime.datetime, most: int
) -> Iterator[Segment]:
    """Yield who has its way when in ``[since, until)``, in order, without the times of nobody.

    :param most: how often windows of all entries may begin or end, times the number of entries:
        that is what it costs, even where it is always the same one that has its way
    :raises TooMany: after what could be told
    """
    last: Segment | None = None
    for start, end, active in spans(entries, since, until):
        most -= len(entries)
        if most < 0:
            if last is not None:
                yield last
            raise TooMany(start)
        if not active:
            continue
        entry, window = active[0]
        if last is not None and (last.end, last.entry, last.window) == (start, entry, window):
            last = dataclasses.replace(last, end=end)
            continue
        if last is not None:
            yield last
        last = Segment(start, end, entry, window)
    if last is not None:
        yield last


def spans(
    entries: Iterable[Entry], since: datetime.datetime, until: datetime.datetime
) -> Iterator[tuple[datetime.datetime, datetime.datetime, list[tuple[Entry, Window]]]]:
    """Yield start, end and, best first, who is in a window, from ``since`` to ``until``.

    Nobody's window begins or ends within a span.
    """
    to_come = {entry: entry.rule.windows(since, until) for entry in entries}
    at_hand = {entry: window for entry, it in to_come.items() if (window := next(it, None))}
    ordered = sorted(to_come, key=lambda entry: entry.rank)
    now = since
    while now < until:
        active = [(e, at_hand[e]) for e in ordered if e in at_hand and at_hand[e].start <= now]
        edges = [w.end if w.start <= now else w.start for w in at_hand.values()]
        end = min([*edges, until])
        yield now, end, active
        now = end
        for entry, window in list(at_hand.items()):
            if window.end <= now:
                following = next(to_come[entry], None)
                if following is None:
                    del at_hand[entry]
                else:
                    at_hand[entry] = following
