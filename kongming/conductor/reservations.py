# SPDX-License-Identifier: Apache-2.0
"""A scheduler means to put an instance on a host: what its pin needs there is kept for it."""

import dataclasses
import datetime

from oslo_utils import timeutils

from kongming import exception, objects
from kongming.conductor import claims, history
from kongming.conductor.locked import Locked, everything_of
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import claims as db_claims
from kongming.db import hosts, models, pins
from kongming.objects.pin import WAITING
from kongming.topology import fit


@dataclasses.dataclass(frozen=True)
class Target:
    """The host that an instance of some size is expected on within ``seconds``."""

    host: str
    size: fit.Size
    seconds: int


@retried
def reserve(
    context: RequestContext, uuid: str, target: Target, project_id: str | None = None
) -> objects.Pin:
    """Keep room for an instance that has a pin; see `ConductorAPI.reserve`."""
    with everything_of(uuid, target.host) as held:
        pin = held.pin_of(project_id)
        if pin.host != target.host:
            make(held, pin, target)
        history.add(held.session, context, [history.line(context, pin, "reserved")])
        return objects.Pin.from_row(pin)


def make(held: Locked, pin: models.Pin, target: Target) -> None:
    """Reserve for a pin, in place of what was reserved for it before.

    :raises BadRequest: the host is not known, or lacks what the wish names
    :raises DoesNotFit, CpuAlreadyClaimed: it has too little left
    :raises QuotaExceeded: the project has too much
    """
    session, uuid = held.session, pin.instance_uuid
    host = held.hosts.get(target.host)
    if host is None:
        raise exception.BadRequest.field("host", "no such host is known", "host_unknown")
    release(held)
    with session.no_autoflush:
        ledger = claims.Ledger(session, host, pins.lock_on_host(session, host.name))
        placement, holding = ledger.place(pin.wish, uuid, target.size)
        held.accounts.take(pin.project_id, uuid, holding)
    ledger.hold(uuid, placement, holding)
    ledger.save()
    hosts.raise_generation(session, [host.name])
    expires_at = timeutils.utcnow() + datetime.timedelta(seconds=target.seconds)
    held.reservation = models.Reservation(
        instance_uuid=uuid,
        host=host.name,
        vcpus=target.size.vcpus,
        memory_mib=target.size.memory_mib,
        placement=placement,
        holding=holding,
        expires_at=expires_at,
    )
    session.add(held.reservation)
    if pin.status == WAITING:
        pin.reason = f"reserved on host {host.name} until {expires_at:%Y-%m-%dT%H:%M:%SZ}"


def rest_of(reservation: models.Reservation) -> Target:
    """Return for what a reservation is, and how long still."""
    left = (reservation.expires_at - timeutils.utcnow()).total_seconds()
    size = fit.Size(reservation.vcpus, reservation.memory_mib)
    return Target(reservation.host, size, max(0, round(left)))


def release(held: Locked) -> None:
    """Give back what is reserved for an instance, if anything is."""
    if held.reservation is None:
        return
    host, uuid = held.reservation.host, held.reservation.instance_uuid
    db_claims.drop(held.session, host, uuid)
    held.session.delete(held.reservation)
    held.session.flush()
    held.reservation = None
    hosts.raise_generation(held.session, [host])


@retried
def expire(context: RequestContext, uuid: str, now: datetime.datetime) -> str | None:
    """End the reservation of an instance if its time was over at ``now`` (UTC).

    :returns: the host on which it was, None if it is not over or there is none
    """
    with everything_of(uuid) as held:
        if held.reservation is None or held.reservation.expires_at >= now:
            return None
        return _end(context, held, "expired", "the reservation on host {host} expired")


@retried
def give_up(context: RequestContext, uuid: str) -> str | None:
    """End the reservation of an instance that could not be built.

    :returns: the host on which it was, None if there is none
    """
    with everything_of(uuid) as held:
        if held.reservation is None:
            return None
        return _end(context, held, WAITING, "the instance could not be built on host {host}")


def _end(context: RequestContext, held: Locked, event: str, reason: str) -> str:
    assert held.reservation is not None  # nosec B101 # for mypy
    host = held.reservation.host
    release(held)
    if held.pin is not None and held.pin.status == WAITING:
        held.pin.reason = reason.format(host=host)
        held.pin.updated_at = timeutils.utcnow()
        history.add(held.session, context, [history.line(context, held.pin, event)])
    return host
