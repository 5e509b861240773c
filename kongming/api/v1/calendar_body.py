# SPDX-License-Identifier: Apache-2.0
"""What a calendar is asked to be: when, what, and for which pins."""

import datetime
from collections.abc import Collection
from typing import Any, ClassVar

import pecan
from sqlalchemy import orm
from wsme import types as wtypes

from kongming import exception, objects, policy
from kongming.api import body, granted
from kongming.api.loaded import canonical
from kongming.api.v1.placement import Raw
from kongming.db import engine, pins, templates
from kongming.objects.asked import Asked
from kongming.objects.calendar import MAX_PINS, MAX_PRIORITY, ON_COLLISION, REFUSE
from kongming.policies import calendars as rules
from kongming.policies import pins as pin_rules
from kongming.timetable import rule
from kongming.timetable.rule import Once, RuleError
from kongming.topology import grammar
from kongming.topology.template import Reference, part
from kongming.topology.wish import Wish, WishError

_MAX_METADATA = 255
_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
_VERSIONS = 2**31 - 1
_WHEN = ("cron", "timezone", "duration_s", "start", "end")
_WHAT = ("template", "qos")
_WHICH = ("pins", "following", "metadata")


class NewCalendar(wtypes.Base):
    """Body of a POST.

    When (``cron``, ``timezone``, ``duration_s`` or ``start``, ``end``), what, for which pins.

    What is in force is a ``template`` (``NAME`` or ``NAME/ROLE``), or just the ``qos`` of that or
    as given. The pins are listed, or follow a template, or are those of servers with an entry in
    their metadata; with ``all_projects`` those of any project.
    """

    _grammar: ClassVar[dict[str, Any]] = {
        "cron": {"type": "string", "maxLength": 255},
        "timezone": {"type": "string", "maxLength": 64},
        "duration_s": {
            "type": "integer",
            "minimum": rule.MIN_DURATION_S,
            "maximum": rule.MAX_DURATION_S,
        },
        "start": _INSTANT,
        "end": _INSTANT,
        "template": grammar.TEMPLATE,
        "template_version": {"type": "integer", "minimum": 1, "maximum": _VERSIONS},
        "qos": grammar.WISH["qos"],
        "pins": {
            "type": "array",
            "items": grammar.UUID,
            "minItems": 1,
            "maxItems": MAX_PINS,
            "uniqueItems": True,
        },
        "following": grammar.NAME,
        "metadata": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"minLength": 1, "maxLength": _MAX_METADATA},
            "additionalProperties": {"type": "string", "maxLength": _MAX_METADATA},
        },
        "priority": {"type": "integer", "minimum": -MAX_PRIORITY, "maximum": MAX_PRIORITY},
    }
    _shape: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": ["cron", "timezone", "duration_s"]},
            {"required": ["start", "end"]},
        ],
        "allOf": [
            {"oneOf": [{"required": [name]} for name in _WHAT]},
            {"oneOf": [{"required": [name]} for name in _WHICH]},
        ],
        "dependentRequired": {"template_version": ["template"], "only_qos": ["template"]},
    }

    name = wtypes.wsattr(body.Identifier(), mandatory=True)
    cron = wtypes.text
    timezone = wtypes.text
    duration_s = int
    start = wtypes.text
    end = wtypes.text
    template = wtypes.text
    template_version = int
    only_qos = bool
    qos = Raw()
    pins = Raw()
    following = wtypes.text
    metadata = wtypes.DictType(wtypes.text, wtypes.text)
    priority = int
    on_collision = wtypes.Enum(str, *ON_COLLISION)
    enabled = bool
    all_projects = bool


class ChangedCalendar(NewCalendar):
    """Body of a PUT: replaces the whole calendar."""

    generation = int


def new(asked: NewCalendar, now: datetime.datetime) -> objects.Calendar:
    """Return the calendar that a body asks for, owned by the caller.

    :raises BadRequest: naming the field that is wrong
    :raises Forbidden: the caller may not make that
    """
    context = pecan.request.context
    if context.project_id is None:
        raise exception.BadRequest.field("project_id", "is missing in the token")
    calendar = objects.Calendar(project_id=context.project_id, user_id=context.user_id)
    # whose own project it is may see it
    nobody = exception.CalendarNotFound(calendar_id="")
    policy.authorize_owned(context, rules.CREATE, rules.GET, calendar, hidden=nobody)
    return _filled(calendar, asked, now, ())


def changed(
    asked: ChangedCalendar, calendar: objects.Calendar, now: datetime.datetime
) -> objects.Calendar:
    """Return what a calendar shall become; it may list pins that it did although they are gone.

    :raises BadRequest: naming the field that is wrong
    :raises Forbidden: the caller may not make that of it
    """
    wanted = objects.Calendar(project_id=calendar.project_id, user_id=calendar.user_id)
    return _filled(wanted, asked, now, calendar.pins)


def _filled(
    calendar: objects.Calendar, asked: Any, now: datetime.datetime, known: Collection[str]
) -> objects.Calendar:
    _given_once(asked, _WHAT)
    _given_once(asked, _WHICH)
    calendar.all_projects = body.has(asked, "all_projects") and asked.all_projects
    if calendar.all_projects:
        policy.authorize(pecan.request.context, rules.CREATE_FOR_ALL)
    calendar.name = asked.name
    calendar.priority = _bounded(asked, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY)
    calendar.on_collision = asked.on_collision if body.has(asked, "on_collision") else REFUSE
    calendar.enabled = asked.enabled if body.has(asked, "enabled") else True
    _when(calendar, asked, now)
    with engine.reader() as session:
        _what(calendar, asked, session)
        _which(calendar, asked, session, known)
    return calendar


def _given_once(asked: Any, names: tuple[str, ...]) -> None:
    given = [name for name in names if body.has(asked, name)]
    if not given:
        raise exception.BadRequest.field(names[0], f"is missing, or {' or '.join(names[1:])}")
    for name in given[1:]:
        raise exception.BadRequest.field(name, f"does not go with {given[0]}")


def _when(calendar: objects.Calendar, asked: Any, now: datetime.datetime) -> None:
    given = {name: getattr(asked, name) for name in _WHEN if body.has(asked, name)}
    try:
        found = rule.parse(given, now)
    except RuleError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
    for name in ("cron", "timezone", "duration_s"):
        setattr(calendar, name, getattr(found, name, None))
    calendar.starts_at, calendar.ends_at = (
        (found.start, found.end) if isinstance(found, Once) else (None, None)
    )


def _what(calendar: objects.Calendar, asked: Any, session: orm.Session) -> None:
    """Name the template, whose content the conductor takes; or take the QoS.

    What a template asks for was granted to its author; not so what it no longer does, which may
    have been changed for good reason.
    """
    calendar.template_id = calendar.template_role = calendar.template_version = None
    calendar.only_qos = body.has(asked, "only_qos") and asked.only_qos
    calendar.overlay = {}
    if body.has(asked, "template"):
        calendar.template_id, calendar.template_role = _template(
            session, "template", asked.template, calendar.project_id
        )
        if body.has(asked, "template_version"):
            calendar.template_version = _bounded(asked, "template_version", 1, 1, _VERSIONS)
            _check_version(session, calendar)
        return
    for name in ("only_qos", "template_version"):
        if body.has(asked, name):
            raise exception.BadRequest.field(name, "belongs to template, which is missing")
    try:
        wish = Wish.from_dict({"qos": asked.qos})
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
    granted.check(pecan.request.context, wish)
    calendar.overlay = {"qos": asked.qos}


def _check_version(session: orm.Session, calendar: objects.Calendar) -> None:
    """Insist that the caller may ask for what another version than the current one says.

    :raises Forbidden: it may not
    """
    row = templates.get(session, calendar.template_id)
    if row is None or calendar.template_version == row.current:
        return
    content = templates.content(session, row.id, calendar.template_version)
    try:
        fields = {} if content is None else part(content, calendar.template_role)
    except WishError:
        # conductors say what is not there
        return
    if calendar.only_qos:
        fields = {name: value for name, value in fields.items() if name == "qos"}
    granted.check(pecan.request.context, Asked(fields).own())


def _which(
    calendar: objects.Calendar, asked: Any, session: orm.Session, known: Collection[str]
) -> None:
    calendar.pins = []
    calendar.following = calendar.metadata_key = calendar.metadata_value = None
    if body.has(asked, "pins"):
        calendar.pins = _pins(asked.pins)
        _check_pins(session, calendar, known)
        return
    # whichever those of the project will be
    policy.authorize(pecan.request.context, pin_rules.UPDATE, calendar)
    if body.has(asked, "following"):
        calendar.following, role = _template(
            session, "following", asked.following, calendar.project_id
        )
        if role is not None:
            raise exception.BadRequest.field("following", "names no role: all roles are meant")
    else:
        calendar.metadata_key, calendar.metadata_value = _entry(asked.metadata)


def _template(
    session: orm.Session, field: str, text: str, project_id: str
) -> tuple[str, str | None]:
    try:
        reference = Reference.parse(text)
    except WishError as error:
        raise exception.BadRequest.field(field, error.reason) from error
    row = templates.find(session, reference, project_id)
    if row is None:
        raise exception.BadRequest.field(field, f"there is no template {reference.name}")
    return row.id, reference.role


def _pins(listed: Any) -> list[str]:
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_PINS:
        raise exception.BadRequest.field("pins", f"must be a list of 1 to {MAX_PINS} UUIDs")
    found: list[str] = []
    for number, text in enumerate(listed):
        wrong = exception.BadRequest.field(f"pins.{number}", "must be the UUID of an instance")
        if not isinstance(text, str):
            raise wrong
        uuid = canonical(text, otherwise=wrong)
        if uuid in found:
            raise exception.BadRequest.field(f"pins.{number}", "is listed twice")
        found.append(uuid)
    return found


def _check_pins(session: orm.Session, calendar: objects.Calendar, known: Collection[str]) -> None:
    """Insist on pins that the caller may change, and the calendar as well."""
    for number, uuid in enumerate(calendar.pins):
        if uuid in known:
            continue
        row = pins.get(session, uuid)
        if (
            row is None
            or not (calendar.all_projects or row.project_id == calendar.project_id)
            or not policy.allows(pecan.request.context, pin_rules.UPDATE, row)
        ):
            raise exception.BadRequest.field(
                f"pins.{number}", f"instance {uuid} has no pin that this calendar may change"
            )


def _entry(metadata: dict[str, str]) -> tuple[str, str]:
    if len(metadata) != 1:
        raise exception.BadRequest.field("metadata", "must be an object with one key")
    ((key, value),) = metadata.items()
    for text in (key, value):
        if len(text) > _MAX_METADATA or not text.isprintable() or not key:
            raise exception.BadRequest.field(
                "metadata", f"key and value must be at most {_MAX_METADATA} printable characters"
            )
    return key, value


def _bounded(asked: Any, name: str, otherwise: int, low: int, high: int) -> int:
    if not body.has(asked, name):
        return otherwise
    value: int = getattr(asked, name)
    if not low <= value <= high:
        raise exception.BadRequest.field(name, f"must be an integer from {low} to {high}")
    return value
