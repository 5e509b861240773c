# SPDX-License-Identifier: Apache-2.0
"""Queries for the history of pins."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import PinEvent


def add(session: orm.Session, rows: list[dict[str, Any]]) -> None:
    """Append lines to histories in one statement; what has no column is left out."""
    columns = PinEvent.__table__.columns.keys()
    stored = [{name: value for name, value in row.items() if name in columns} for row in rows]
    if stored:
        session.execute(sa.insert(PinEvent).values(stored))


def last(session: orm.Session, instance_uuid: str) -> PinEvent | None:
    """Return the newest line of a pin's history, or None."""
    return session.scalars(
        sa.select(PinEvent)
        .where(PinEvent.instance_uuid == instance_uuid)
        .order_by(PinEvent.id.desc())
        .limit(1)
    ).first()


def owners(session: orm.Session, instance_uuid: str) -> Sequence[str | None]:
    """Return the projects whose pin the one of an instance has been."""
    query = sa.select(PinEvent.project_id).where(PinEvent.instance_uuid == instance_uuid)
    return session.scalars(query.distinct()).all()


def of_pin(
    session: orm.Session, instance_uuid: str, project_ids: Collection[str | None], most: int
) -> Sequence[PinEvent]:
    """Return the newest ``most`` lines of a pin when some projects had it, oldest first."""
    query = sa.select(PinEvent).where(
        PinEvent.instance_uuid == instance_uuid,
        # None is nobody's, which IN does not find
        sa.or_(sa.false(), *(PinEvent.project_id == project_id for project_id in project_ids)),
    )
    return session.scalars(query.order_by(PinEvent.id.desc()).limit(most)).all()[::-1]


def said(
    session: orm.Session, instance_uuid: str, event: str, reason: str, asked_by: dict[str, Any]
) -> bool:
    """Whether the newest lines of an event in a pin's history have one that says just this."""
    query = (
        sa.select(PinEvent)
        .where(PinEvent.instance_uuid == instance_uuid, PinEvent.event == event)
        .order_by(PinEvent.id.desc())
        .limit(20)
    )
    return any((row.reason, row.asked_by) == (reason, asked_by) for row in session.scalars(query))
