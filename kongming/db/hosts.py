# SPDX-License-Identifier: Apache-2.0
"""Queries for hosts."""

import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Host
from kongming.topology.host import Host as Topology


def get(session: orm.Session, name: str) -> Host | None:
    """Return a host, or None."""
    return session.get(Host, name)


def lock_all(session: orm.Session, names: Collection[str]) -> dict[str, Host]:
    """Return hosts by name and keep every other transaction from locking them.

    Those that do not exist are left out. Must be the first statement of its transaction:
    MySQL and MariaDB freeze what a transaction sees at its first unlocked read. All are
    locked in the order of their names, so that no two transactions wait for each other.
    """
    query = sa.select(Host).where(Host.name.in_(names)).order_by(Host.name).with_for_update()
    return {row.name: row for row in session.scalars(query)}


class Beat(NamedTuple):
    """The sign of life of a host; ``reported_at`` is in UTC."""

    generation: int
    reported_at: datetime.datetime
    report_interval: int


def beats(session: orm.Session, names: Collection[str] | None) -> dict[str, Beat]:
    """Return generation and last sign of life of some hosts (None: of all)."""
    # as text: what the drivers make of dates takes them longer than all the rest of a row
    reported_at = sa.cast(Host.reported_at, sa.String(32))
    query = sa.select(Host.name, Host.generation, reported_at, Host.report_interval)
    if names is not None:
        query = query.where(Host.name.in_(names))
    return {
        name: Beat(
            generation,
            datetime.datetime.fromisoformat(instant).replace(tzinfo=datetime.UTC),
            interval,
        )
        for name, generation, instant, interval in session.execute(query)
    }


def several(session: orm.Session, names: Collection[str]) -> Sequence[Host]:
    """Return some hosts."""
    return session.scalars(sa.select(Host).where(Host.name.in_(names))).all()


def raise_generation(session: orm.Session, names: Iterable[str]) -> None:
    """Note that placements or claims on these hosts changed."""
    session.execute(
        sa.update(Host).where(Host.name.in_(names)).values(generation=Host.generation + 1),
        execution_options={"synchronize_session": False},
    )


def topologies(session: orm.Session, names: Iterable[str]) -> dict[str, Topology]:
    """Return the topology of each of some hosts."""
    query = sa.select(Host.name, Host.topology).where(Host.name.in_(names))
    return {row.name: row.topology for row in session.execute(query)}


def usages(session: orm.Session, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what each of some hosts is used for, if it has told, as `Host.usage`."""
    return _documents(session, Host.usage, names)


def instance_usages(session: orm.Session, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return for what its instances use each of some hosts, as `Host.instance_usage`."""
    return _documents(session, Host.instance_usage, names)


def _documents(
    session: orm.Session, column: orm.InstrumentedAttribute[Any], names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    query = sa.select(Host.name, column).where(Host.name.in_(names), column.is_not(None))
    # of a host that has not told yet an empty document is stored
    return {row.name: row[1] for row in session.execute(query) if row[1]}
