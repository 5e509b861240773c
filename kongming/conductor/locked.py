# SPDX-License-Identifier: Apache-2.0
"""Everything that one pin touches, locked for the length of a transaction."""

import contextlib
import dataclasses
from collections.abc import Iterator

from sqlalchemy import orm

from kongming import exception
from kongming.conductor import quotas
from kongming.conductor.quotas import Accounts
from kongming.conductor.retry import Moved
from kongming.db import engine, hosts, instances, models, pins, reservations
from kongming.db import quotas as db_quotas


@dataclasses.dataclass
class Locked:
    """The rows of one instance; ``hosts`` are those that it is or has something reserved on.

    ``pin`` may be a deleted one that its host has yet to release.
    """

    uuid: str
    session: orm.Session
    accounts: Accounts
    hosts: dict[str, models.Host]
    instance: models.Instance | None
    reservation: models.Reservation | None
    pin: models.Pin | None

    @property
    def host(self) -> models.Host | None:
        """The host that the instance is on, if it is known."""
        return None if self.instance is None else self.hosts[self.instance.host]

    def pin_of(self, project_id: str | None) -> models.Pin:
        """Return the pin, if it is still that of a project (None: of any).

        :raises PinNotFound: it is not, or there is none that is not deleted
        """
        pin = self.pin
        if pin is None or pin.deleted or (project_id and pin.project_id != project_id):
            raise exception.PinNotFound(instance_uuid=self.uuid)
        return pin


@contextlib.contextmanager
def everything_of(
    uuid: str, *further_hosts: str, project_id: str | None = None
) -> Iterator[Locked]:
    """Open the transaction of a change to one pin; to be called in a `retried` function.

    Hosts are locked first, then projects with a limit, then the pin.

    :param further_hosts: names of other hosts to lock; those that are not known are left out
    :param project_id: the project of a pin that is to be made
    """
    expected, projects = _look_up(uuid)
    limited = quotas.limited({*projects, project_id})
    with engine.writer() as session:
        names = {name for name in (*expected, *further_hosts) if name is not None}
        held = hosts.lock_all(session, names) if names else {}
        db_quotas.lock(session, limited)
        pin = pins.lock(session, uuid)
        # read once: in PostgreSQL the next statement may see what was not there for this one
        instance, reservation = instances.get(session, uuid), reservations.get(session, uuid)
        if _hosts(instance, reservation) != expected:
            raise Moved(uuid)
        accounts = quotas.Accounts(session, limited)
        # what failed counts for nothing, and would not be new to the limits once it is tried again
        accounts.look()
        yield Locked(uuid, session, accounts, held, instance, reservation, pin)


def _look_up(uuid: str) -> tuple[tuple[str | None, str | None], set[str | None]]:
    """Return what `_hosts` does, and the projects of the instance and its pin."""
    with engine.reader() as session:
        instance, pin = instances.get(session, uuid), pins.get(session, uuid)
        projects = {row.project_id for row in (instance, pin) if row is not None}
        return _hosts(instance, reservations.get(session, uuid)), projects


def _hosts(
    instance: models.Instance | None, reservation: models.Reservation | None
) -> tuple[str | None, str | None]:
    """Return the hosts that an instance is on, and has something reserved on."""
    return (
        None if instance is None else instance.host,
        None if reservation is None else reservation.host,
    )
