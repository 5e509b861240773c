# SPDX-License-Identifier: Apache-2.0
"""Queries for instances."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Instance, Pin
from kongming.topology import cpuset
from kongming.topology.books import Gift
from kongming.topology.inventory import Occupancy
from kongming.topology.placement import MEMORY, Placement


def get(session: orm.Session, uuid: str) -> Instance | None:
    """Return an instance, or None."""
    return session.get(Instance, uuid)


def on_host(session: orm.Session, host: str) -> Sequence[Instance]:
    """Return the instances of a host."""
    query = sa.select(Instance).where(Instance.host == host).order_by(Instance.uuid)
    return session.scalars(query).all()


def hosts_of(session: orm.Session, uuids: Collection[str]) -> set[str]:
    """Return the hosts that have any of some instances."""
    return set(session.scalars(sa.select(Instance.host).where(Instance.uuid.in_(uuids)).distinct()))


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


def gifts(session: orm.Session, hosts: Collection[str]) -> dict[str, dict[str, Gift]]:
    """Return what others than KongMing gave instances alone: ``{host: {uuid: gift}}``."""
    query = sa.select(Instance).where(Instance.host.in_(hosts), Instance.holds != "")
    found: dict[str, dict[str, Gift]] = {}
    for row in session.scalars(query):
        nodes = (row.observed or Placement()).get(MEMORY, 0)
        gift = Gift(cpuset.parse(row.holds), nodes, row.memory_mib)
        found.setdefault(row.host, {})[row.uuid] = gift
    return found


def occupancy(session: orm.Session, uuids: Collection[str]) -> dict[str, dict[str, Occupancy]]:
    """Return where those of some instances are that run: ``{host: {uuid: occupancy}}``."""
    found: dict[str, dict[str, Occupancy]] = {}
    for row in session.scalars(sa.select(Instance).where(Instance.uuid.in_(uuids))):
        if row.observed is not None:
            place = Occupancy(row.observed.cpus, row.observed.get(MEMORY, 0))
            found.setdefault(row.host, {})[row.uuid] = place
    return found


def owned(session: orm.Session, uuids: Collection[str], project_id: str | None) -> set[str]:
    """Return which of some instances are of a project, those that are yet to come included.

    A pin that waited for what then came as another project's makes it nobody's own.
    """
    if project_id is None:
        return set()
    query = sa.union(
        sa.select(Instance.uuid).where(Instance.uuid.in_(uuids), Instance.project_id == project_id),
        sa.select(Pin.instance_uuid)
        .outerjoin(Instance, Instance.uuid == Pin.instance_uuid)
        .where(
            Pin.instance_uuid.in_(uuids),
            Pin.project_id == project_id,
            sa.func.coalesce(Instance.project_id, project_id) == project_id,
        ),
    )
    return set(session.scalars(query))
