# SPDX-License-Identifier: Apache-2.0
"""Queries for rollouts, and for the pins that they are about."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Instance, Pin, Rollout
from kongming.objects.template import UNFINISHED

#: Read ``touched`` in the same statement: a later one may see another state of things.
_WHOLE = (orm.undefer(Rollout.touched),)


def get(session: orm.Session, rollout_id: str) -> Rollout | None:
    """Return a rollout with all that it touched, or None."""
    return session.get(Rollout, rollout_id, options=_WHOLE)


def lock(session: orm.Session, rollout_id: str) -> Rollout | None:
    """Return a rollout as `get` does, locked against change, as it is now; or None.

    To be locked last, after hosts, pins and the template.
    """
    query = sa.select(Rollout).where(Rollout.id == rollout_id).options(*_WHOLE).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def last_number(session: orm.Session, template_id: str) -> int:
    """Return the number of the last rollout of a template, 0 if it has none."""
    query = sa.select(sa.func.max(Rollout.number)).where(Rollout.template_id == template_id)
    return session.scalar(query) or 0


def unfinished(session: orm.Session, template_id: str | None = None) -> Sequence[Rollout]:
    """Return the rollouts (of one template, or all) that have yet to do something, in order."""
    query = sa.select(Rollout).where(Rollout.state.in_(UNFINISHED))
    if template_id is not None:
        query = query.where(Rollout.template_id == template_id)
    return session.scalars(query.order_by(Rollout.template_id, Rollout.number)).all()


class Follower(NamedTuple):
    """How far a pin is that follows a template; ``version`` is the one that it has."""

    uuid: str
    version: int | None
    status: str
    reason: str | None
    host: str | None


def followers(session: orm.Session, template_id: str) -> list[Follower]:
    """Return how far those are that follow a template, in the order of their uuids."""
    query = (
        sa.select(Pin.instance_uuid, Pin.template_version, Pin.status, Pin.reason, Pin.host)
        .where(Pin.template_id == template_id)
        .order_by(Pin.instance_uuid)
    )
    return list(itertools.starmap(Follower, session.execute(query)))


def lock_followers(session: orm.Session, template_id: str) -> Sequence[Pin]:
    """Return the pins that follow a template, locked, in the order of their uuids."""
    query = sa.select(Pin).where(Pin.template_id == template_id)
    return session.scalars(query.order_by(Pin.instance_uuid).with_for_update()).all()


def instances(session: orm.Session, template_id: str) -> dict[str, Instance]:
    """Return the instances of those that follow a template, as far as they are known, by uuid."""
    query = sa.select(Instance).join(Pin, Pin.instance_uuid == Instance.uuid)
    found = session.scalars(query.where(Pin.template_id == template_id))
    return {row.uuid: row for row in found}
