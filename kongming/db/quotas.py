# SPDX-License-Identifier: Apache-2.0
"""Queries for the limits of projects, and for what projects hold."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy import orm

from kongming.db.models import Pin, Project, Quota, Reservation
from kongming.db.paging import MarkerNotFound
from kongming.objects.pin import FAILED
from kongming.topology.books import Holding

UNLIMITED = -1
#: What is limited, as ``[quota]`` calls it.
RESOURCES = ("pins", "dedicated_pcpus", "memory_mib")

#: How much of each of `RESOURCES`.
Amounts = Mapping[str, int]


def limits(session: orm.Session, project_id: str) -> dict[str, int]:
    """Return how much a project may have of each resource; -1 is as much as there is."""
    return default() | own(session, [project_id]).get(project_id, {})


def default() -> dict[str, int]:
    """Return how much of each resource a project may have for which nothing else was set."""
    return {name: getattr(cfg.CONF.quota, name) for name in RESOURCES}


def own(session: orm.Session, project_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return what was set for those of some projects for which anything was, in their order."""
    query = sa.select(Quota).where(Quota.project_id.in_(project_ids))
    found: dict[str, dict[str, int]] = {}
    for row in session.scalars(query.order_by(Quota.project_id, Quota.resource)):
        found.setdefault(row.project_id, {})[row.resource] = row.limit
    return found


def projects(session: orm.Session, limit: int, marker: str | None) -> tuple[list[str], bool]:
    """Return one page of the projects for which a limit was set, and whether more follow.

    :raises MarkerNotFound: none was set for the project ``marker``
    """
    query = sa.select(Quota.project_id).distinct().order_by(Quota.project_id).limit(limit + 1)
    if marker is not None:
        if not own(session, [marker]):
            raise MarkerNotFound(marker)
        query = query.where(Quota.project_id > marker)
    found = list(session.scalars(query))
    return found[:limit], len(found) > limit


def is_limited(session: orm.Session, project_id: str) -> bool:
    """Whether there is anything of which a project may not have as much as there is."""
    return any(limit != UNLIMITED for limit in limits(session, project_id).values())


def change(session: orm.Session, project_id: str, wanted: Amounts) -> None:
    """Give a project these limits and no others."""
    session.execute(
        sa.delete(Quota).where(Quota.project_id == project_id),
        execution_options={"synchronize_session": False},
    )
    if wanted:
        rows = [
            {"project_id": project_id, "resource": resource, "limit": limit}
            for resource, limit in sorted(wanted.items())
        ]
        session.execute(sa.insert(Quota).values(rows))


def lock(session: orm.Session, project_ids: Collection[str]) -> None:
    """Keep other transactions from locking these projects, each of which must have a row.

    To be called after the hosts were locked, and before anything is read without a lock.
    """
    if project_ids:
        query = sa.select(Project).where(Project.project_id.in_(project_ids))
        session.scalars(query.order_by(Project.project_id).with_for_update()).all()


def without_row(session: orm.Session, project_ids: Collection[str]) -> set[str]:
    """Return which of some projects have no row that could be locked."""
    query = sa.select(Project.project_id).where(Project.project_id.in_(project_ids))
    return set(project_ids).difference(session.scalars(query))


def amounts(holding: Holding | None) -> dict[str, int]:
    """Return what one pin comes to that holds this, which is none if it is None."""
    held = holding or Holding()
    return {
        "pins": 1,
        "dedicated_pcpus": held.cpus.bit_count(),
        "memory_mib": sum(mib for sizes in held.memory.values() for mib in sizes.values()),
    }


def counts(pin: Pin) -> bool:
    """Whether a pin is there to anybody's use.

    One that was made of metadata or of a hint is not where it failed and so has nothing.
    """
    return pin.origin is None or pin.status != FAILED or pin.placement is not None


def use(session: orm.Session, project_id: str) -> dict[str, dict[str, int]]:
    """Return what each pin of a project comes to: ``{instance uuid: {resource: amount}}``.

    An instance on its way from one host to another has what is reserved there only once. What does
    not count is left out, see `counts`.
    """
    query = sa.select(Pin, Reservation)
    query = query.outerjoin(Reservation, Reservation.instance_uuid == Pin.instance_uuid)
    mine = (Pin.project_id == project_id, Pin.deleted.is_(False))
    found: dict[str, dict[str, int]] = {}
    for pin, reservation in session.execute(query.where(*mine)):
        if not counts(pin):
            continue
        here, there = amounts(pin.holding), amounts(reservation and reservation.holding)
        found[pin.instance_uuid] = {name: max(here[name], there[name]) for name in RESOURCES}
    return found
