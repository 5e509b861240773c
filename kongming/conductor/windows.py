# SPDX-License-Identifier: Apache-2.0
"""Pins are brought to what calendars say of an instant, whatever was before.

The calendar with the highest priority whose window it is has its way; one that asks for what does
not fit is passed over, for the next one and in the end for what the pin asks for itself.
"""

import datetime
from collections.abc import Hashable, Iterable
from typing import Any

from oslo_log import log as logging
from sqlalchemy import orm

from kongming import exception
from kongming.conductor import history, pins, wishes
from kongming.conductor.claims import OTHER_PROJECT, Former
from kongming.conductor.locked import everything_of
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import calendars, models, pin_events
from kongming.objects.pin import FAILED
from kongming.timetable import ranking
from kongming.timetable.overlay import Overlay

LOG = logging.getLogger(__name__)

#: How far the clocks of two conductors may differ without one undoing what the other did.
_CLOCKS_DIFFER = datetime.timedelta(seconds=60)
#: How many of the calendars whose window it is are tried: each that does not fit is a transaction.
_MOST_TRIED = 10

_Mark = Hashable


class _Refused(Exception):
    """What a calendar asks for, or what a pin does without, is not granted now."""

    def __init__(self, mark: _Mark, reason: str) -> None:
        super().__init__(reason)
        self.mark = mark
        self.reason = reason


def due(session: orm.Session, now: datetime.datetime) -> dict[str, Hashable]:
    """Return the pins that are not as calendars say of an instant, by uuid.

    The value changes with all on which it depends whether they can be.
    """
    rows = calendars.enabled(session)
    overlays = _in_force(rows, now)
    open_now = [row for row, _ in overlays]
    reached = calendars.reached(session, open_now)
    metadata = calendars.metadata(session, open_now, [pin.instance_uuid for pin in reached])
    found: dict[str, Hashable] = {}
    for pin in reached:
        entries = metadata.get(pin.instance_uuid, set())
        wanted = [over for row, over in overlays if calendars.reaches(row, pin, entries)]
        marks = tuple(_mark(overlay) for overlay in (*wanted[:_MOST_TRIED], None))
        stranded = pin.is_stranded and pin.reason != OTHER_PROJECT
        if marks[0] != _mark(pin.overlay) or (stranded and wanted):
            found[pin.instance_uuid] = (marks, pin.generation, pin.host_generation)
    return found


def turn(context: RequestContext, uuid: str, now: datetime.datetime) -> str | None:
    """Bring a pin to what calendars say of an instant (aware, UTC), as far as that fits.

    A line of its history tells what changed, and one tells what does not fit, once for each reason.

    :returns: the host whose agent must hear of it, None if nothing changed there
    """
    refused: dict[_Mark, str] = {}
    while True:
        try:
            return _turn(context, uuid, now, refused)
        except _Refused as error:
            refused[error.mark] = error.reason


@retried
def _turn(
    context: RequestContext, uuid: str, now: datetime.datetime, refused: dict[_Mark, str]
) -> str | None:
    with everything_of(uuid) as held:
        row = held.pin
        if row is None or row.deleted:
            return None
        now = _not_back(row, now)
        rows = calendars.reaching(held.session, row)
        candidates = [*(overlay for _, overlay in _in_force(rows, now)[:_MOST_TRIED]), None]
        before, stranded = row.overlay, _is_stranded(row)
        lines: list[dict[str, Any]] = []
        concerned = None
        for overlay in candidates:
            mark, asked_by = _mark(overlay), _asked_by(overlay or before, ended=overlay is None)
            if mark in refused:
                if not pin_events.said(held.session, uuid, "refused", refused[mark], asked_by):
                    line = history.line(context, row, "refused", asked_by=asked_by)
                    lines.append(line | {"reason": refused[mark]})
                continue
            if mark == _mark(before):
                if stranded and before is not None:
                    continue
                break
            row.overlay, row.turned_at = overlay, now.replace(tzinfo=None)
            had = _keep(row) if before is None else row.had
            row.had = None if overlay is None else had
            try:
                if stranded or wishes.base(held.session, row) != row.wish:
                    former = Former.from_dict(had) if had and overlay is None else None
                    pins.revise(context, held, asked_by, former=former)
                    concerned = row.host or (held.reservation and held.reservation.host)
            except exception.NOT_GRANTED as error:
                raise _Refused(mark, error.message) from error
            break
        history.add(held.session, context, lines)
        return concerned


def _in_force(
    rows: Iterable[models.Calendar], now: datetime.datetime
) -> list[tuple[models.Calendar, Overlay]]:
    """Return the calendars in whose windows an instant is, best first."""
    by_key = {row.id: row for row in rows}
    ranked = ranking.ranked([calendars.entry(row) for row in by_key.values()], now)
    return [
        (by_key[entry.key], calendars.overlay(by_key[entry.key], window))
        for entry, window in ranked
    ]


def _not_back(row: models.Pin, now: datetime.datetime) -> datetime.datetime:
    """Return an instant for a pin that is not before the one that it was last turned to."""
    if row.turned_at is None:
        return now
    last = row.turned_at.replace(tzinfo=datetime.UTC)
    return last if now < last < now + _CLOCKS_DIFFER else now


def _is_stranded(row: models.Pin) -> bool:
    """Whether a pin has no place on the host that its instance came to."""
    has_none = row.status == FAILED and row.placement is None and row.host is not None
    return has_none and row.reason != OTHER_PROJECT


def _asked_by(overlay: Overlay | None, ended: bool) -> dict[str, Any]:
    if overlay is None:
        return {"kind": "calendar", "ended": ended}
    return {
        "kind": "calendar",
        "id": overlay.calendar_id,
        "name": overlay.name,
        "start": f"{overlay.window.start:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{overlay.window.end:%Y-%m-%dT%H:%M:%SZ}",
        "ended": ended,
    }


def _keep(row: models.Pin) -> dict[str, Any] | None:
    """Return what a pin has without any calendar, which it shall get again where that is free."""
    had = Former.of(row)
    return None if had is None else had.to_dict()


def _mark(overlay: Overlay | None) -> _Mark:
    return None if overlay is None else overlay.mark
