# SPDX-License-Identifier: Apache-2.0
"""The books of hosts, as the tables tell them."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db import claims, instances, reservations
from kongming.db.models import Host, Instance, Pin, Reservation
from kongming.db.pins import Account
from kongming.topology.books import Books
from kongming.topology.placement import Placement


def of_host(session: orm.Session, host: Host, pins: Iterable[Pin]) -> Books:
    """Return the books of a host, of whose pins the rows are there (others are left out)."""
    return of_hosts(session, [host], pins)[host.name]


def of_hosts(
    session: orm.Session, hosts: Iterable[Host], pins: Iterable[Pin | Account]
) -> dict[str, Books]:
    """Return the books of several hosts by name, from three statements."""
    found = {host.name: Books(topology=host.topology) for host in hosts}
    for name, claimed in claims.by_hosts(session, found).items():
        found[name].claims = claimed
    for name, gifts in instances.gifts(session, found).items():
        found[name].gifts = gifts
    for reserved in reservations.on_hosts(session, found):
        books = found[reserved.host]
        books.hold(reserved.instance_uuid, reserved.placement.cpus, reserved.holding)
    for pin in pins:
        if pin.host in found:
            found[pin.host].hold(pin.instance_uuid, _used(pin), pin.holding)
    return found


def _used(pin: Pin | Account) -> int:
    """Return the pCPUs where a pin shall be, and where its instance may still be."""
    return (pin.placement or Placement()).cpus | (pin.in_force or Placement()).cpus


def hosts_of(session: orm.Session, uuid: str) -> set[str]:
    """Return the names of the hosts on which an instance is or has something."""
    places: sa.CompoundSelect[Any] = sa.union(
        sa.select(Instance.host).where(Instance.uuid == uuid),
        sa.select(Pin.host).where(Pin.instance_uuid == uuid),
        sa.select(Reservation.host).where(Reservation.instance_uuid == uuid),
    )
    return {host for host in session.scalars(places) if host is not None}
