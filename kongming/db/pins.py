# SPDX-License-Identifier: Apache-2.0
"""Queries for pins."""

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Pin
from kongming.objects.pin import APPLIED
from kongming.topology.books import Holding
from kongming.topology.placement import Placement


def get(session: orm.Session, instance_uuid: str) -> Pin | None:
    """Return the pin of an instance, or None; never a deleted one."""
    return session.scalar(
        sa.select(Pin).where(Pin.instance_uuid == instance_uuid, Pin.deleted.is_(False))
    )


def lock(session: orm.Session, instance_uuid: str) -> Pin | None:
    """Return the pin of an instance, deleted or not, locked against change; or None."""
    return session.scalar(
        sa.select(Pin).where(Pin.instance_uuid == instance_uuid).with_for_update()
    )


def lock_on_host(session: orm.Session, host: str, uuids: Collection[str] = ()) -> Sequence[Pin]:
    """Return, locked, the pins of a host and those of the instances that ``uuids`` names."""
    return session.scalars(
        sa.select(Pin)
        .where(sa.or_(Pin.host == host, Pin.instance_uuid.in_(uuids)))
        .order_by(Pin.instance_uuid)
        .with_for_update()
    ).all()


class Account(NamedTuple):
    """What a pin has on its host: where it shall be, what it claims, where it may still be."""

    instance_uuid: str
    host: str
    placement: Placement | None
    holding: Holding | None
    in_force: Placement | None


def accounts(session: orm.Session, hosts: Collection[str]) -> list[Account]:
    """Return what the pins of several hosts have, those yet to be released included."""
    query = sa.select(Pin.instance_uuid, Pin.host, Pin.placement, Pin.holding, Pin.in_force).where(
        Pin.host.in_(hosts)
    )
    return list(itertools.starmap(Account, session.execute(query)))


def on_host(session: orm.Session, host: str) -> Sequence[Pin]:
    """Return the pins of a host, deleted ones that it has yet to release among them."""
    return session.scalars(sa.select(Pin).where(Pin.host == host)).all()


def for_agent(session: orm.Session, host: str) -> Sequence[Pin]:
    """Return what the agent of a host shall do: place pins, and release the others.

    Those are deleted, or found no place. Also of the latter an agent that has not heard may have
    carried out what it knew, when the instance came back to its host.
    """
    return session.scalars(sa.select(Pin).where(Pin.host == host)).all()


def placed(session: orm.Session, uuids: Collection[str]) -> set[str]:
    """Return which of some instances KongMing has placed."""
    query = sa.select(Pin.instance_uuid).where(
        Pin.instance_uuid.in_(uuids), Pin.status == APPLIED, Pin.deleted.is_(False)
    )
    return set(session.scalars(query))
