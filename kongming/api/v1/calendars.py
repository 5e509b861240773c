# SPDX-License-Identifier: Apache-2.0
"""``/v1/calendars``: when something else is in force for pins than they ask for themselves."""

from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import clock, exception, objects, policy
from kongming.api import body, described, links, query
from kongming.api.loaded import load_calendar, visible
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.api.v1 import calendar_body
from kongming.api.v1.calendar_body import ChangedCalendar, NewCalendar
from kongming.api.v1.placement import Raw
from kongming.api.v1.schedules import PreviewController, Used, Window
from kongming.db import calendars as db_calendars
from kongming.db import engine, models, templates
from kongming.policies import calendars as rules

FILTERS = ("name", "project_id")
SORT_KEYS = ("created_at", "id", "name", "priority", "project_id")


class Collision(wtypes.Base):
    """A pin that cannot have what a calendar asks for, in so many of its ``windows``.

    ``start`` and ``end`` are those of the first of them.
    """

    _places: ClassVar[dict[str, Any]] = {"host": None}
    # no word beside it says what it is about
    _words: ClassVar[dict[str, str]] = {"reason": "instance_uuid"}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    host = wtypes.text
    start = wtypes.wsattr(wtypes.text, mandatory=True)
    end = wtypes.wsattr(wtypes.text, mandatory=True)
    windows = wtypes.wsattr(int, mandatory=True)
    reason = wtypes.wsattr(wtypes.text, mandatory=True)


class Calendar(wtypes.Base):
    """A calendar; ``window`` is the one that it has now.

    ``collisions``, as far as they are known until ``checked_until``, are there after a creation or
    a change.
    """

    _instances = ("pins",)

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    user_id = wtypes.text
    all_projects = wtypes.wsattr(bool, mandatory=True)
    cron = wtypes.text
    timezone = wtypes.text
    duration_s = int
    start = wtypes.text
    end = wtypes.text
    template = Used
    only_qos = wtypes.wsattr(bool, mandatory=True)
    qos = Raw()
    pins = wtypes.ArrayType(wtypes.text)
    following = Used
    metadata = wtypes.DictType(wtypes.text, wtypes.text)
    priority = wtypes.wsattr(int, mandatory=True)
    on_collision = wtypes.wsattr(wtypes.text, mandatory=True)
    enabled = wtypes.wsattr(bool, mandatory=True)
    generation = wtypes.wsattr(int, mandatory=True)
    window = Window
    collisions = wtypes.ArrayType(Collision)
    checked_until = wtypes.text
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Calendars(wtypes.Base):
    """A page of calendars."""

    calendars = wtypes.wsattr(wtypes.ArrayType(Calendar), mandatory=True)
    next = wtypes.text


_REFUSES = (
    *(exception.BadRequest, exception.Forbidden, exception.CalendarCollides),
    *(exception.MetadataNotFollowed, exception.ControlPlaneUnavailable),
)


@serves("1.11")
class CalendarsController(Collection):
    """``/v1/calendars``"""

    children = {"preview": PreviewController()}

    @pecan.expose("json")
    @described.operation(
        Calendars, refuses=(exception.Forbidden,), filters=FILTERS, sort_keys=SORT_KEYS
    )
    def get_all(self) -> dict[str, Any]:
        """List the calendars that the caller may see."""
        request = pecan.request
        page = query.page(request, FILTERS, SORT_KEYS)
        where = visible(request.context, rules.GET, rules.ALL_PROJECTS, models.Calendar.project_id)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Calendar.id, page, where)
            found = [objects.Calendar.from_row(row) for row in rows]
        answer: dict[str, Any] = {"calendars": _shown(found)}
        if more:
            answer["next"] = query.next_link(request, page, found[-1].id)
        return answer

    @pecan.expose("json")
    @described.operation(Calendar, refuses=(exception.CalendarNotFound,))
    def get_one(self, calendar_id: str) -> Any:
        """Show a calendar."""
        return _shown([load_calendar(pecan.request.context, rules.GET, calendar_id)])[0]

    @pecan.expose("json")
    @described.operation(Calendar, takes={"1.11": NewCalendar}, status=201, refuses=_REFUSES)
    def post(self) -> Any:
        """Make a calendar, if nothing collides with it or it is to skip that."""
        request = pecan.request
        asked = body.read(request, NewCalendar)
        new = calendar_body.new(asked, clock.now())
        stored = request.conductor.create_calendar(request.context, new)
        pecan.response.status = 201
        pecan.response.location = links.to(request, "calendars", stored.id)[0].href
        return _changed(stored)

    @pecan.expose("json")
    @described.operation(
        Calendar,
        takes={"1.11": ChangedCalendar},
        refuses=(exception.CalendarNotFound, exception.StaleCalendar, *_REFUSES),
    )
    def put(self, calendar_id: str) -> Any:
        """Replace a calendar, if nothing collides with it or it is to skip that."""
        request = pecan.request
        calendar = load_calendar(request.context, rules.UPDATE, calendar_id)
        if calendar.all_projects:
            policy.authorize(request.context, rules.CREATE_FOR_ALL)
        asked = body.read(request, ChangedCalendar)
        generation = asked.generation if body.has(asked, "generation") else None
        wanted = calendar_body.changed(asked, calendar, clock.now())
        across = policy.allows(request.context, rules.CREATE_FOR_ALL)
        return _changed(
            request.conductor.update_calendar(
                request.context, calendar.id, wanted, generation, across
            )
        )

    @pecan.expose("json")
    @described.operation(
        status=204,
        refuses=(
            *(exception.CalendarNotFound, exception.Forbidden),
            exception.ControlPlaneUnavailable,
        ),
    )
    def delete(self, calendar_id: str) -> None:
        """Delete a calendar; its pins return to what they ask for themselves."""
        request = pecan.request
        calendar = load_calendar(request.context, rules.DELETE, calendar_id)
        across = policy.allows(request.context, rules.CREATE_FOR_ALL)
        request.conductor.delete_calendar(request.context, calendar.id, across)
        pecan.response.status = 204


def _changed(calendar: objects.Calendar) -> Any:
    collisions = [
        Collision(
            instance_uuid=found.instance_uuid,
            host=found.host,
            start=links.instant(found.start),
            end=links.instant(found.end),
            windows=found.windows,
            reason=found.reason,
        )
        for found in calendar.collisions
    ]
    told = wsme_json.tojson(wtypes.ArrayType(Collision), collisions)
    until = {"checked_until": links.instant(calendar.checked_until)}
    return _shown([calendar])[0] | {"collisions": told} | until


def _shown(calendars: list[objects.Calendar]) -> list[Any]:
    """Return calendars as JSON's types."""
    named = {key for c in calendars for key in (c.template_id, c.following) if key is not None}
    with engine.reader() as session:
        names = templates.names(session, named) if named else {}
    return [_show(calendar, names) for calendar in calendars]


def _show(calendar: objects.Calendar, names: dict[str, str]) -> Any:
    from_template = calendar.template_id is not None
    metadata = {calendar.metadata_key: calendar.metadata_value}
    window = db_calendars.rule(calendar).at(clock.now()) if calendar.enabled else None
    return wsme_json.tojson(
        Calendar,
        Calendar(
            id=calendar.id,
            name=calendar.name,
            project_id=calendar.project_id,
            user_id=calendar.user_id,
            all_projects=calendar.all_projects,
            cron=calendar.cron,
            timezone=calendar.timezone,
            duration_s=calendar.duration_s,
            start=links.instant(calendar.starts_at),
            end=links.instant(calendar.ends_at),
            template=Used.of(calendar, names),
            only_qos=calendar.only_qos,
            qos=None if from_template else calendar.overlay.get("qos"),
            pins=calendar.pins or None,
            following=calendar.following
            and Used(id=calendar.following, name=names.get(calendar.following)),
            metadata=metadata if calendar.metadata_key is not None else None,
            priority=calendar.priority,
            on_collision=calendar.on_collision,
            enabled=calendar.enabled,
            generation=calendar.generation,
            window=Window.of(window),
            created_at=links.instant(calendar.created_at),
            updated_at=links.instant(calendar.updated_at),
            links=links.to(pecan.request, "calendars", calendar.id),
        ),
    )
