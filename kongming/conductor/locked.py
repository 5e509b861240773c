# SPDX-License-Identifier: Apache-2.0
"""Everything that one pin touches, locked for the length of a transaction."""

import contextlib
import dataclasses
from collections.abc import Iterator

from sqlalchemy import orm

from kongming.conductor.retry import Moved
from kongming.db import engine, hosts, instances, models, pins, reservations


@dataclasses.dataclass
class Locked:
    """The rows of one instance; ``hosts`` are those that it is or has something reserved on.

    ``pin`` may be a deleted one that its host has yet to release.
    """

    session: orm.Session
    hosts: dict[str, models.Host]
    instance: models.Instance | None
    reservation: models.Reservation | None
    pin: models.Pin | None

    @property
    def host(self) -> models.Host | None:
        """The host that the instance is on, if it is known."""
        return None if self.instance is None else self.hosts[self.instance.host]


@contextlib.contextmanager
def everything_of(uuid: str, *further_hosts: str) -> Iterator[Locked]:
    """Open the transaction of a change to one pin; to be called in a `retried` function.

    :param further_hosts: names of other hosts to lock; those that are not known are left out
    """
    expected = _look_up(uuid)
    with engine.writer() as session:
        names = {name for name in (*expected, *further_hosts) if name is not None}
        held = hosts.lock_all(session, names) if names else {}
        pin = pins.lock(session, uuid)
        # read once: in PostgreSQL the next statement may see what was not there for this one
        instance, reservation = instances.get(session, uuid), reservations.get(session, uuid)
        if _hosts(instance, reservation) != expected:
            raise Moved(uuid)
        yield Locked(session, held, instance, reservation, pin)


def _look_up(uuid: str) -> tuple[str | None, str | None]:
    with engine.reader() as session:
        return _hosts(instances.get(session, uuid), reservations.get(session, uuid))


def _hosts(
    instance: models.Instance | None, reservation: models.Reservation | None
) -> tuple[str | None, str | None]:
    """Return the hosts that an instance is on, and has something reserved on."""
    return (
        None if instance is None else instance.host,
        None if reservation is None else reservation.host,
    )
