# SPDX-License-Identifier: Apache-2.0
"""Queries for reservations."""

import datetime
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Pin, Reservation


def get(session: orm.Session, instance_uuid: str) -> Reservation | None:
    """Return what is reserved for an instance, or None."""
    return session.get(Reservation, instance_uuid)


def of_instances(session: orm.Session, uuids: Collection[str]) -> dict[str, Reservation]:
    """Return what is reserved for several instances: ``{uuid: reservation}``."""
    query = sa.select(Reservation).where(Reservation.instance_uuid.in_(uuids))
    return {row.instance_uuid: row for row in session.scalars(query)}


def on_hosts(session: orm.Session, hosts: Collection[str]) -> Sequence[Reservation]:
    """Return what is reserved on several hosts."""
    return session.scalars(sa.select(Reservation).where(Reservation.host.in_(hosts))).all()


def expired(session: orm.Session, now: datetime.datetime) -> Sequence[str]:
    """Return the uuids of the instances whose reservation ended before ``now`` (UTC)."""
    query = sa.select(Reservation.instance_uuid).where(Reservation.expires_at < now)
    return session.scalars(query).all()


def for_agent(session: orm.Session, host: str) -> Sequence[tuple[Pin, Reservation]]:
    """Return what is reserved on a host for instances that are not on any host yet."""
    query = (
        sa.select(Pin, Reservation)
        .join(Reservation, Reservation.instance_uuid == Pin.instance_uuid)
        .where(Reservation.host == host, Pin.host.is_(None), Pin.deleted.is_(False))
    )
    return [(pin, reservation) for pin, reservation in session.execute(query)]


def drop(session: orm.Session, uuids: Collection[str]) -> None:
    """Drop what is reserved for some instances; their claims are left as they are."""
    session.execute(
        sa.delete(Reservation).where(Reservation.instance_uuid.in_(uuids)),
        execution_options={"synchronize_session": False},
    )
