# SPDX-License-Identifier: Apache-2.0
"""Whether what a calendar asks for will fit, as far as that can be told beforehand.

A host is in one of few situations: which calendars have their windows. Of each in which the
calendar has its way, wherever it comes again, the placements are tried once on the books of today,
as conductors will try them: what the other calendars ask for first, then what the calendar does.
Nothing is stored.
"""

import collections
import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor import wishes
from kongming.conductor.claims import Ledger, size_of
from kongming.db import calendars, hosts, models
from kongming.db import instances as db_instances
from kongming.db import pins as db_pins
from kongming.timetable import ranking
from kongming.timetable.rule import Window
from kongming.topology.wish import Wish

#: How far ahead is looked.
HORIZON = datetime.timedelta(days=30)
#: Changes of situation that are followed; situations of hosts, and placements in these, that are
#: tried: at most, about.
_MOST_SPANS, _MOST_FITS = 20_000, 2_000


@dataclasses.dataclass
class Situation:
    """The calendars that have windows at once, best first; in ``windows`` of the one's windows."""

    keys: tuple[str, ...]
    first: Window
    last: Window
    windows: int = 1


class _Change(NamedTuple):
    """A pin that has another wish in a situation, because of the calendar (``ours``) or not."""

    ours: bool
    number: int
    pin: models.Pin
    wish: Wish
    instance: models.Instance


class Forecast:
    """The collisions of a calendar (``row``, which need not be stored) from ``now`` on.

    ``until`` is how far they are known: less than `HORIZON` where there would be too much to try.
    """

    def __init__(self, session: orm.Session, row: models.Calendar, now: datetime.datetime) -> None:
        self.collisions: list[objects.Collision] = []
        self.until = now + HORIZON
        self._session = session
        self._row = row
        self._now = now
        others = [other for other in calendars.enabled(session) if other.id != row.id]
        self._rows = {calendar.id: calendar for calendar in (*others, row)}
        self._situations: dict[frozenset[str], list[Situation]] = {}
        # of the pins of a host, by uuid and the calendar that has its way
        self._wishes: dict[tuple[str, str | None], Wish | exception.BadRequest] = {}
        self._spans, self._fits = _MOST_SPANS, _MOST_FITS
        if row.enabled:
            self._look()

    def _look(self) -> None:
        reached = self._reached()
        by_host = collections.defaultdict(list)
        for pin in reached:
            by_host[pin.host].append(pin)
        for pin in by_host.pop(None, []):
            self._try_form(pin)
        for host in hosts.several(self._session, [name for name in by_host if name is not None]):
            self._try_host(host)
        self.collisions.sort(key=lambda found: (found.start, found.instance_uuid))

    def _reached(self) -> list[models.Pin]:
        pins = calendars.selected(self._session, self._row)
        return [pin for pin, rows in self._with_calendars(pins) if self._row in rows]

    def _with_calendars(
        self, pins: Sequence[models.Pin]
    ) -> list[tuple[models.Pin, list[models.Calendar]]]:
        """Return each of some pins with the calendars that reach it."""
        rows = self._rows.values()
        uuids = [pin.instance_uuid for pin in pins]
        known = calendars.metadata(self._session, rows, uuids)
        return [
            (
                pin,
                [
                    row
                    for row in rows
                    if calendars.reaches(row, pin, known.get(pin.instance_uuid, ()))
                ],
            )
            for pin in pins
        ]

    def _try_form(self, pin: models.Pin) -> None:
        """Insist that a wish comes out for a pin whose instance is on no host."""
        try:
            wishes.under(self._session, pin, self._row.overlay)
        except exception.BadRequest as error:
            for situation in self._situations_of({self._row.id}):
                self._collides(pin, situation, error)

    def _try_host(self, host: models.Host) -> None:
        here = db_pins.on_host(self._session, host.name)
        self._wishes.clear()
        found = db_instances.on_host(self._session, host.name)
        instances = {row.uuid: row for row in found}
        reached = {
            pin.instance_uuid: {row.id for row in rows}
            for pin, rows in self._with_calendars(here)
            if not pin.deleted and pin.instance_uuid in instances
        }
        for situation in self._situations_of(set().union(*reached.values())):
            if self._fits <= 0:
                self.until = min(self.until, situation.first.start)
                continue
            self._fits -= 1
            self._try(situation, host, here, instances, reached)

    def _try(
        self,
        situation: Situation,
        host: models.Host,
        here: Sequence[models.Pin],
        instances: Mapping[str, models.Instance],
        reached: Mapping[str, set[str]],
    ) -> None:
        """Turn all that is not as it is now, again and again as long as something gives way."""
        changes: list[_Change] = []
        for pin in here:
            if pin.instance_uuid not in reached:
                continue
            keys = reached[pin.instance_uuid]
            number, key = next(
                ((number, key) for number, key in enumerate(situation.keys) if key in keys),
                (-1, None),
            )
            ours = key == self._row.id
            wish = self._wish(pin, key)
            if isinstance(wish, exception.BadRequest):
                if ours:
                    self._fits -= 1
                    self._collides(pin, situation, wish)
            elif wish != pin.wish:
                changes.append(_Change(ours, number, pin, wish, instances[pin.instance_uuid]))
        if not any(change.ours for change in changes):
            return
        ledger = Ledger(self._session, host, here)
        changes.sort(key=lambda change: (change.ours, change.number))
        while changes:
            self._fits -= len(changes)
            refused = {
                change.pin.instance_uuid: why
                for change in changes
                if (why := _turn(ledger, change)) is not None
            }
            left = [change for change in changes if change.pin.instance_uuid in refused]
            if left == changes:
                break
            changes = left
        for change in changes:
            if change.ours:
                self._collides(change.pin, situation, refused[change.pin.instance_uuid])

    def _wish(self, pin: models.Pin, key: str | None) -> Wish | exception.BadRequest:
        """Return the wish of a pin when a calendar has its way, or why there is none."""
        if (pin.instance_uuid, key) not in self._wishes:
            fields = {} if key is None else self._rows[key].overlay
            try:
                found: Wish | exception.BadRequest = wishes.under(self._session, pin, fields)
            except exception.BadRequest as error:
                found = error
            self._wishes[pin.instance_uuid, key] = found
        return self._wishes[pin.instance_uuid, key]

    def _collides(
        self, pin: models.Pin, situation: Situation, error: exception.KongMingError
    ) -> None:
        self.collisions.append(
            objects.Collision(
                instance_uuid=pin.instance_uuid,
                host=pin.host,
                start=situation.first.start,
                end=situation.first.end,
                windows=situation.windows,
                reason=error.message,
            )
        )

    def _situations_of(self, ids: set[str]) -> list[Situation]:
        """Return those that some calendars bring about within windows of the one."""
        key = frozenset(ids)
        if key not in self._situations:
            found: dict[tuple[str, ...], Situation] = {}
            for keys, window in self._windows(ids):
                known = found.setdefault(keys, Situation(keys, window, window))
                if known.last != window:
                    known.last = window
                    known.windows += 1
            self._situations[key] = list(found.values())
        return self._situations[key]

    def _windows(self, ids: set[str]) -> Iterator[tuple[tuple[str, ...], Window]]:
        """Yield who has windows when the calendar has one, and that."""
        entries = [calendars.entry(self._rows[key]) for key in sorted(ids)]
        for start, _, active in ranking.spans(entries, self._now, self._now + HORIZON):
            self._spans -= 1
            if self._spans <= 0:
                self.until = min(self.until, start)
                return
            for entry, window in active:
                if entry.key == self._row.id:
                    yield tuple(entry.key for entry, _ in active), window


def _turn(ledger: Ledger, change: _Change) -> exception.KongMingError | None:
    """Give a pin in the books the place of another wish; return why that does not fit, if so."""
    pin, uuid = change.pin, change.pin.instance_uuid
    ledger.forget(uuid)
    try:
        size = size_of(change.instance)
        ledger.hold(uuid, *ledger.place(change.wish, uuid, size, ours=bool(pin.placed)))
    except exception.NOT_GRANTED as error:
        if pin.placement is not None and pin.holding is not None:
            ledger.hold(uuid, pin.placement, pin.holding)
        return error
    return None
