# SPDX-License-Identifier: Apache-2.0
"""Queries for instances."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Instance
from kongming.topology import cpuset


def get(session: orm.Session, uuid: str) -> Instance | None:
    """Return an instance, or None."""
    return session.get(Instance, uuid)


def on_host(session: orm.Session, host: str) -> Sequence[Instance]:
    """Return the instances of a host."""
    query = sa.select(Instance).where(Instance.host == host).order_by(Instance.uuid)
    return session.scalars(query).all()


def touched_by_report(
    session: orm.Session, host: str, uuids: Collection[str], full: bool
) -> Sequence[Instance]:
    """Return the instances that ``uuids`` names and, for a full report, all of ``host``."""
    where: sa.ColumnElement[bool] = Instance.uuid.in_(uuids)
    if full:
        where = sa.or_(where, Instance.host == host)
    return session.scalars(sa.select(Instance).where(where)).all()


def by_hosts(session: orm.Session, hosts: Collection[str]) -> dict[str, list[Instance]]:
    """Return the instances of several hosts: ``{host: [instance]}``."""
    found: dict[str, list[Instance]] = {name: [] for name in hosts}
    query = sa.select(Instance).where(Instance.host.in_(hosts)).order_by(Instance.uuid)
    for row in session.scalars(query):
        found[row.host].append(row)
    return found


def holding(session: orm.Session, hosts: Collection[str]) -> dict[str, dict[str, int]]:
    """Return what instances hold without KongMing: ``{host: {uuid: bitmask of pCPUs}}``."""
    query = sa.select(Instance.host, Instance.uuid, Instance.holds).where(
        Instance.host.in_(hosts), Instance.holds != ""
    )
    found: dict[str, dict[str, int]] = {}
    for row in session.execute(query):
        found.setdefault(row.host, {})[row.uuid] = cpuset.parse(row.holds)
    return found
