# SPDX-License-Identifier: Apache-2.0
"""Calendars come, change and go."""

import datetime

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils
from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor.forecast import Forecast
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import calendars as db_calendars
from kongming.db import engine, models
from kongming.db import templates as db_templates
from kongming.db.quotas import UNLIMITED
from kongming.objects.calendar import REFUSE
from kongming.policies import calendars as rules
from kongming.timetable.rule import RuleError
from kongming.topology import template
from kongming.topology.wish import Wish, WishError

LOG = logging.getLogger(__name__)

#: How many collisions a refusal names, at most.
_MOST_TOLD = 100
#: What a change of a calendar leaves as it is.
_KEPT = frozenset(("id", "project_id", "user_id", "generation", "created_at"))
_ASKED = tuple(
    name
    for name in models.Calendar.__table__.columns.keys()  # noqa: SIM118  # not a dict
    if name not in _KEPT and name != "updated_at"
)


def create(
    context: RequestContext, calendar: objects.Calendar, now: datetime.datetime
) -> objects.Calendar:
    """Store a new calendar, as of ``now`` (UTC); see `ConductorAPI.create_calendar`."""
    _insist_on_room(calendar.project_id)
    row = models.Calendar(
        id=uuidutils.generate_uuid(),
        project_id=calendar.project_id,
        user_id=calendar.user_id,
        generation=1,
        created_at=timeutils.utcnow(),
    )
    _ask(row, calendar)
    forecast = _look_ahead(row, now)
    _store(row)
    LOG.info("Calendar %s (%s) created by user %s", row.name, row.id, context.user_id)
    return _shown(row, forecast)


def _insist_on_room(project_id: str) -> None:
    """Insist that a project may have one more; of several at once, more may slip through."""
    limit = cfg.CONF.quota.calendars
    with engine.reader() as session:
        used = db_calendars.count(session, project_id)
    if limit != UNLIMITED and used >= limit:
        raise exception.QuotaExceeded(
            project_id=project_id, resource="calendars", limit=limit, used=used, asked=1
        )


@retried
def _store(row: models.Calendar) -> None:
    with engine.writer() as session:
        _fill(session, row, lock=True)
        session.merge(row)


def update(
    context: RequestContext,
    calendar_id: str,
    calendar: objects.Calendar,
    generation: int | None,
    now: datetime.datetime,
    across: bool = True,
) -> objects.Calendar:
    """Replace what a calendar says, as of ``now`` (UTC); see `ConductorAPI.update_calendar`."""
    with engine.reader() as session:
        found = db_calendars.get(session, calendar_id)
        if found is None:
            raise exception.CalendarNotFound(calendar_id=calendar_id)
        _insist(found, generation, across)
        row = models.Calendar(**{name: getattr(found, name) for name in _KEPT})
    row.generation += 1
    _ask(row, calendar)
    forecast = _look_ahead(row, now)
    changed = _replace(row, generation, across)
    LOG.info("Calendar %s (%s) changed by user %s", row.name, row.id, context.user_id)
    return _shown(changed, forecast)


@retried
def _replace(row: models.Calendar, generation: int | None, across: bool) -> models.Calendar:
    with engine.writer() as session:
        found = db_calendars.lock(session, row.id)
        if found is None:
            raise exception.CalendarNotFound(calendar_id=row.id)
        _insist(found, generation, across)
        _fill(session, row, lock=True)
        for name in _ASKED:
            setattr(found, name, getattr(row, name))
        found.generation += 1
        found.updated_at = timeutils.utcnow()
        return found


@retried
def delete(context: RequestContext, calendar_id: str, across: bool = True) -> None:
    """Delete a calendar; see `ConductorAPI.delete_calendar`."""
    with engine.writer() as session:
        row = db_calendars.lock(session, calendar_id)
        if row is None:
            raise exception.CalendarNotFound(calendar_id=calendar_id)
        _insist(row, None, across)
        session.delete(row)
        LOG.info("Calendar %s (%s) deleted by user %s", row.name, row.id, context.user_id)


def _insist(row: models.Calendar, generation: int | None, across: bool) -> None:
    # somebody may have let it reach all projects since it was looked at
    if row.all_projects and not across:
        raise exception.Forbidden(rule=rules.CREATE_FOR_ALL)
    if generation is not None and generation != row.generation:
        raise exception.StaleCalendar(given=generation, current=row.generation)


def _ask(row: models.Calendar, calendar: objects.Calendar) -> None:
    for name in _ASKED:
        value = getattr(calendar, name)
        if isinstance(value, datetime.datetime):
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        setattr(row, name, value)


def _look_ahead(row: models.Calendar, now: datetime.datetime) -> Forecast:
    """Return what a calendar would collide with.

    :raises CalendarCollides: that is something, and not to be skipped
    :raises BadRequest: as `_fill`, or this machine does not know its time zone
    """
    with engine.reader() as session:
        _fill(session, row, lock=False)
        try:
            forecast = Forecast(session, row, now)
        except RuleError as error:
            raise exception.BadRequest.field(error.field, error.reason) from error
    if forecast.collisions and row.on_collision == REFUSE:
        raise exception.CalendarCollides(
            problems=[
                (
                    exception.CalendarCollides.code,
                    f"instance {c.instance_uuid}, window from {c.start:%Y-%m-%dT%H:%M:%SZ}"
                    f" to {c.end:%Y-%m-%dT%H:%M:%SZ}, {c.windows} in all: {c.reason}",
                )
                for c in forecast.collisions[:_MOST_TOLD]
            ]
        )
    return forecast


def _fill(session: orm.Session, row: models.Calendar, lock: bool) -> None:
    """Take what is to be laid over wishes from the template that is named, if one is.

    :param lock: keep the templates that are named from being deleted until the end
    :raises BadRequest: a template is not there for the project, or has no such version or role
    """
    find = db_templates.lock if lock else db_templates.get
    found = {
        name: find(session, template_id)
        for name, template_id in sorted(
            (("template", row.template_id), ("following", row.following)),
            key=lambda named: named[1] or "",
        )
        if template_id is not None
    }
    for name, named in found.items():
        if named is None or not (named.shared or named.project_id == row.project_id):
            raise exception.BadRequest.field(name, "is there no more for this project")
    if row.template_id is None:
        return
    used = found["template"]
    assert used is not None  # nosec B101 # for mypy
    if row.template_version is None:
        row.template_version = used.current
    content = db_templates.content(session, used.id, row.template_version)
    if content is None:
        raise exception.BadRequest.field("template_version", f"{used.name} has no such version")
    try:
        fields = template.part(content, row.template_role)
        if row.only_qos:
            if "qos" not in fields:
                raise WishError("only_qos", f"template {used.name} has no qos")
            fields = {"qos": fields["qos"]}
        Wish.from_dict(fields)
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
    row.overlay = dict(fields)


def _shown(row: models.Calendar, forecast: Forecast) -> objects.Calendar:
    shown: objects.Calendar = objects.Calendar.from_row(row)
    shown.collisions, shown.checked_until = forecast.collisions, forecast.until
    return shown
