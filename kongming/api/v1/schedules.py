# SPDX-License-Identifier: Apache-2.0
"""What calendars will have in force when: of one calendar, and for one pin."""

import collections
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import pecan
from oslo_config import cfg
from sqlalchemy import orm
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import clock, exception
from kongming.api import described, links, query
from kongming.api.loaded import load_calendar, load_pin, templates_seen
from kongming.api.microversion import serves
from kongming.api.routes import Document
from kongming.api.v1.placement import Raw
from kongming.db import calendars, engine
from kongming.policies import calendars as rules
from kongming.policies import pins as pin_rules
from kongming.timetable import ranking, rule

#: Days that may be asked for, and those that are told otherwise.
DAYS = (1, 366)
_USUAL_DAYS = 30
_QUERY = {"days": {"type": "integer", "minimum": DAYS[0], "maximum": DAYS[1]}}
#: How much is looked at for one answer, see `ranking.segments`: a few seconds.
_MOST_LOOKED_AT = 500_000
#: UUIDs of instances in one answer, about.
_MOST_NAMED = 20_000


class Window(wtypes.Base):
    """From ``start`` on until just before ``end``."""

    start = wtypes.wsattr(wtypes.text, mandatory=True)
    end = wtypes.wsattr(wtypes.text, mandatory=True)

    @classmethod
    def of(cls, window: rule.Window | None) -> Self | None:
        """Return a window as it is shown."""
        if window is None:
            return None
        return cls(start=links.instant(window.start), end=links.instant(window.end))


class Used(wtypes.Base):
    """A template, with the role and the version of it if those matter."""

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.text
    role = wtypes.text
    version = int

    @classmethod
    def of(cls, calendar: Any, names: Mapping[str, str]) -> Self | None:
        """Return the template that a calendar lays over wishes, if it is one."""
        if calendar.template_id is None:
            return None
        return cls(
            id=calendar.template_id,
            name=names.get(calendar.template_id),
            role=calendar.template_role,
            version=calendar.template_version,
        )


class Of(wtypes.Base):
    """A calendar by id and name."""

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.wsattr(wtypes.text, mandatory=True)


class Scheduled(wtypes.Base):
    """From ``start`` on until just before ``end`` a calendar has its way, in one of its windows."""

    start = wtypes.wsattr(wtypes.text, mandatory=True)
    end = wtypes.wsattr(wtypes.text, mandatory=True)
    window = wtypes.wsattr(Window, mandatory=True)
    calendar = wtypes.wsattr(Of, mandatory=True)
    priority = wtypes.wsattr(int, mandatory=True)
    template = Used
    qos = Raw()


class Schedule(wtypes.Base):
    """What will be in force for a pin ``until`` some time; when not told, what it asks for."""

    schedule = wtypes.wsattr(wtypes.ArrayType(Scheduled), mandatory=True)
    until = wtypes.wsattr(wtypes.text, mandatory=True)


class Previewed(wtypes.Base):
    """From ``start`` on until just before ``end`` a calendar has its way for some instances."""

    _instances = ("instances",)

    start = wtypes.wsattr(wtypes.text, mandatory=True)
    end = wtypes.wsattr(wtypes.text, mandatory=True)
    window = wtypes.wsattr(Window, mandatory=True)
    instances = wtypes.wsattr(wtypes.ArrayType(wtypes.text), mandatory=True)


class Preview(wtypes.Base):
    """When a calendar will have its way ``until`` some time."""

    preview = wtypes.wsattr(wtypes.ArrayType(Previewed), mandatory=True)
    until = wtypes.wsattr(wtypes.text, mandatory=True)


@serves("1.11")
class ScheduleController(Document):
    """``/v1/pins/{instance_uuid}/schedule``"""

    @pecan.expose("json")
    @described.operation(Schedule, refuses=(exception.PinNotFound,), query=_QUERY)
    def show(self, instance_uuid: str) -> dict[str, Any]:
        """Tell what calendars will have in force for a pin, and when."""
        pin = load_pin(pecan.request.context, pin_rules.GET, instance_uuid)
        since, until = _asked_for()
        with engine.reader() as session:
            rows = {row.id: row for row in calendars.reaching(session, pin)}
        named = {row.template_id for row in rows.values() if row.template_id is not None}
        # a calendar for all projects may use one that its own project alone may see
        names = templates_seen(pecan.request.context, named)
        told: list[Scheduled] = []
        entries = [calendars.entry(row) for row in rows.values()]
        found, until = _segments(
            entries, since, until, _MOST_LOOKED_AT, cfg.CONF.api.max_limit, {*rows}
        )
        for segment in found:
            row = rows[segment.entry.key]
            told.append(
                Scheduled(
                    start=links.instant(segment.start),
                    end=links.instant(segment.end),
                    window=Window.of(segment.window),
                    calendar=Of(id=row.id, name=row.name),
                    priority=row.priority,
                    template=Used.of(row, names) if row.template_id in names else None,
                    qos=row.overlay.get("qos"),
                )
            )
        shown = wsme_json.tojson(wtypes.ArrayType(Scheduled), told)
        return {"schedule": shown, "until": links.instant(until)}


class PreviewController(Document):
    """``/v1/calendars/{calendar_id}/preview``"""

    @pecan.expose("json")
    @described.operation(Preview, refuses=(exception.CalendarNotFound,), query=_QUERY)
    def show(self, calendar_id: str) -> dict[str, Any]:
        """Tell when a calendar will have its way, and for the pins of which instances."""
        calendar = load_calendar(pecan.request.context, rules.GET, calendar_id)
        since, until = _asked_for()
        with engine.reader() as session:
            groups = _alike(session, calendar.id)
        told: list[tuple[ranking.Segment, list[str]]] = []
        for entries, uuids in groups:
            most = min(cfg.CONF.api.max_limit, max(1, _MOST_NAMED // max(1, len(uuids))))
            looked_at = _MOST_LOOKED_AT // len(groups)
            found, until = _segments(entries, since, until, looked_at, most, {calendar.id})
            told += [(segment, uuids) for segment in found]
        told = [(segment, uuids) for segment, uuids in told if segment.start < until]
        told.sort(key=lambda pair: (pair[0].start, pair[1][:1]))
        shown = [
            Previewed(
                start=links.instant(segment.start),
                end=links.instant(min(segment.end, until)),
                window=Window.of(segment.window),
                instances=uuids,
            )
            for segment, uuids in told
        ]
        return {
            "preview": wsme_json.tojson(wtypes.ArrayType(Previewed), shown),
            "until": links.instant(until),
        }


def _asked_for() -> tuple[datetime.datetime, datetime.datetime]:
    days = query.integer(pecan.request, "days", _USUAL_DAYS, *DAYS)
    now = clock.now().replace(microsecond=0)
    return now, now + datetime.timedelta(days=days)


def _segments(
    entries: Collection[ranking.Entry],
    since: datetime.datetime,
    until: datetime.datetime,
    looked_at: int,
    most: int,
    keys: Collection[str],
) -> tuple[list[ranking.Segment], datetime.datetime]:
    """Return when some entries have their way, and until when that is told.

    :param looked_at: as ``most`` of `ranking.segments`
    :param most: how many to return
    """
    found: list[ranking.Segment] = []
    try:
        for segment in ranking.segments(entries, since, until, looked_at):
            if segment.entry.key in keys:
                if len(found) == most:
                    return found, segment.start
                found.append(segment)
    except ranking.TooMany as error:
        return found, error.until
    return found, until


def _alike(
    session: orm.Session, calendar_id: str
) -> Sequence[tuple[list[ranking.Entry], list[str]]]:
    """Return the instances whose pins a calendar reaches, with the calendars that reach them.

    Those of the same calendars are together. Without any instance the calendar is there alone.
    """
    row = calendars.get(session, calendar_id)
    if row is None or not row.enabled:
        return []
    rows = {other.id: other for other in calendars.enabled(session)}
    pins = calendars.selected(session, row)
    known = calendars.metadata(session, rows.values(), [pin.instance_uuid for pin in pins])
    found: dict[tuple[str, ...], list[str]] = collections.defaultdict(list)
    for pin in pins:
        entries = known.get(pin.instance_uuid, ())
        keys = [key for key, other in rows.items() if calendars.reaches(other, pin, entries)]
        if row.id in keys:
            found[tuple(sorted(keys))].append(pin.instance_uuid)
    groups = found or {(row.id,): []}
    return [
        ([calendars.entry(rows[key]) for key in keys], sorted(uuids))
        for keys, uuids in groups.items()
    ]
