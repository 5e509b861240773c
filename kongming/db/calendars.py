# SPDX-License-Identifier: Apache-2.0
"""Queries for calendars and those whom they reach."""

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Calendar, Host, Pin, ServerMetadata, Template
from kongming.objects.pin import FAILED
from kongming.timetable.overlay import Overlay
from kongming.timetable.ranking import Entry
from kongming.timetable.rule import Once, Recurring, Rule, Window

#: Entries of the metadata of servers: key and value.
Metadata = Collection[tuple[str, str]]


def get(session: orm.Session, calendar_id: str) -> Calendar | None:
    """Return a calendar, or None."""
    return session.get(Calendar, calendar_id)


def lock(session: orm.Session, calendar_id: str) -> Calendar | None:
    """Return a calendar, locked against change; or None."""
    return session.scalar(sa.select(Calendar).where(Calendar.id == calendar_id).with_for_update())


def count(session: orm.Session, project_id: str) -> int:
    """Return how many calendars a project has, in use or not."""
    query = sa.select(sa.func.count()).where(Calendar.project_id == project_id)
    return session.scalar(query) or 0


def enabled(session: orm.Session) -> Sequence[Calendar]:
    """Return all calendars that are in use."""
    return session.scalars(sa.select(Calendar).where(Calendar.enabled.is_(True))).all()


def names_template(session: orm.Session, template: Template, by_others: bool = False) -> bool:
    """Whether a calendar (``by_others``: one of another project) has to do with a template."""
    named = sa.or_(Calendar.template_id == template.id, Calendar.following == template.id)
    if by_others:
        named &= Calendar.project_id != template.project_id
    return session.scalar(sa.select(Calendar.id).where(named).limit(1)) is not None


def rule(row: Any) -> Rule:
    """Return when the windows of a calendar (or of its versioned object) are."""
    if row.cron is not None and row.timezone is not None and row.duration_s is not None:
        return Recurring(row.cron, row.timezone, row.duration_s)
    assert row.starts_at is not None and row.ends_at is not None  # nosec B101 # for mypy
    return Once(_utc(row.starts_at), _utc(row.ends_at))


def entry(row: Calendar) -> Entry:
    """Return a calendar as one among others."""
    return Entry(row.id, row.priority, _utc(row.created_at), rule(row))


def overlay(row: Calendar, window: Window) -> Overlay:
    """Return what a calendar lays over wishes in one of its windows."""
    return Overlay(row.id, row.name, row.generation, window, row.overlay)


def reaches(row: Calendar, pin: Any, metadata: Metadata) -> bool:
    """Whether a pin (or a part of its row) is among those of a calendar.

    :param metadata: what is known of the instance's, at least as far as the calendar asks for it
    """
    if not row.all_projects and row.project_id != pin.project_id:
        return False
    if row.following is not None:
        return bool(pin.template_id == row.following)
    if row.metadata_key is not None:
        return (row.metadata_key, row.metadata_value) in metadata
    return pin.instance_uuid in row.pins


class Reached(NamedTuple):
    """What has to be known of a pin to tell which calendar should have its way."""

    instance_uuid: str
    project_id: str | None
    template_id: str | None
    generation: int
    overlay: Overlay | None
    is_stranded: bool
    reason: str | None
    host_generation: int | None


def reached(session: orm.Session, calendars: Iterable[Calendar]) -> list[Reached]:
    """Return the pins that some calendars may reach, and those that have something of any.

    One ``is_stranded`` whose instance came to a host where the wish has no place.
    """
    rows = list(calendars)
    stranded = sa.and_(Pin.status == FAILED, Pin.placement.is_(None), Pin.host.is_not(None))
    query = (
        sa.select(
            *(Pin.instance_uuid, Pin.project_id, Pin.template_id, Pin.generation, Pin.overlay),
            *(stranded, Pin.reason, Host.generation),
        )
        .outerjoin(Host, Host.name == Pin.host)
        .where(Pin.deleted.is_(False), sa.or_(Pin.overlay.is_not(None), among(rows)))
    )
    return [Reached(*row) for row in session.execute(query)]


def among(rows: Sequence[Calendar]) -> sa.ColumnElement[bool]:
    """Return the condition for pins that some calendars select, of whatever project they are."""
    listed = {uuid for row in rows for uuid in row.pins}
    followed = {row.following for row in rows if row.following is not None}
    return sa.or_(
        Pin.instance_uuid.in_(listed),
        Pin.template_id.in_(followed),
        Pin.instance_uuid.in_(sa.select(ServerMetadata.instance_uuid).where(_asked_for(rows))),
    )


def selected(session: orm.Session, row: Calendar) -> Sequence[Pin]:
    """Return the pins that a calendar selects, of whatever project they are."""
    query = sa.select(Pin).where(Pin.deleted.is_(False), among([row]))
    return session.scalars(query).all()


def metadata(
    session: orm.Session, calendars: Iterable[Calendar], uuids: Collection[str]
) -> dict[str, set[tuple[str, str]]]:
    """Return which of the entries that calendars ask for the metadata of instances have."""
    rows = [row for row in calendars if row.metadata_key is not None]
    if not rows:
        return {}
    query = sa.select(ServerMetadata).where(
        ServerMetadata.instance_uuid.in_(uuids), _asked_for(rows)
    )
    found: dict[str, set[tuple[str, str]]] = {}
    for item in session.scalars(query):
        found.setdefault(item.instance_uuid, set()).add((item.key, item.value))
    return found


def reaching(session: orm.Session, pin: Any) -> list[Calendar]:
    """Return the calendars in use that a pin is among the pins of."""
    ours = sa.or_(Calendar.all_projects.is_(True), Calendar.project_id == pin.project_id)
    rows = session.scalars(sa.select(Calendar).where(Calendar.enabled.is_(True), ours)).all()
    entries = metadata(session, rows, [pin.instance_uuid]).get(pin.instance_uuid, set())
    return [row for row in rows if reaches(row, pin, entries)]


def known_metadata(session: orm.Session, instance_uuid: str) -> dict[str, str]:
    """Return the metadata of a server as it was last told."""
    query = sa.select(ServerMetadata).where(ServerMetadata.instance_uuid == instance_uuid)
    return {row.key: row.value for row in session.scalars(query)}


def store_metadata(session: orm.Session, instance_uuid: str, entries: Mapping[str, str]) -> None:
    """Note the metadata of a server, in place of what was known before."""
    session.execute(
        sa.delete(ServerMetadata).where(ServerMetadata.instance_uuid == instance_uuid),
        execution_options={"synchronize_session": False},
    )
    session.add_all(
        ServerMetadata(instance_uuid=instance_uuid, key=key, value=value)
        for key, value in entries.items()
    )


def _asked_for(rows: Sequence[Calendar]) -> sa.ColumnElement[bool]:
    pairs = {(row.metadata_key, row.metadata_value) for row in rows if row.metadata_key is not None}
    conditions = [
        sa.and_(ServerMetadata.key == key, ServerMetadata.value == value) for key, value in pairs
    ]
    return sa.or_(sa.false(), *conditions)


def _utc(when: datetime.datetime) -> datetime.datetime:
    return when.replace(tzinfo=datetime.UTC)
