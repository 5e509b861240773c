# SPDX-License-Identifier: Apache-2.0
"""A wish comes in: create, change and delete pins, each in one transaction."""

from oslo_utils import timeutils
from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor import claims, history
from kongming.conductor.retry import Moved, retried
from kongming.context import RequestContext
from kongming.db import engine, hosts, instances, models, pin_events, pins
from kongming.objects.instance import ACTIVE_STATES
from kongming.objects.pin import FAILED, PENDING, WAITING
from kongming.topology.placement import Placement
from kongming.topology.wish import Wish


@retried
def create(context: RequestContext, pin: objects.Pin, wait: bool) -> objects.Pin:
    """Store a new pin and claim its placement; see `ConductorAPI.create_pin`."""
    uuid = pin.instance_uuid
    where = _host_of(uuid)
    with engine.writer() as session:
        host = hosts.lock(session, where) if where else None
        row = pins.lock(session, uuid)
        if row is not None and not row.deleted:
            raise exception.PinExists(instance_uuid=uuid)
        instance = _instance_on(session, uuid, where)
        # it may have come, with an owner, since the API looked for it
        hidden = instance is not None and claims.is_others(pin, instance)
        if hidden or (instance is None and not wait):
            raise exception.InstanceNotFound(instance_uuid=uuid)
        if row is None:
            row = models.Pin(instance_uuid=uuid, generation=0)
        row.project_id = (instance and instance.project_id) or pin.project_id
        row.user_id = (instance and instance.user_id) or pin.user_id
        row.deleted = False
        row.created_at = timeutils.utcnow()
        row.updated_at = None
        _decide(session, row, pin.wish, instance, host)
        session.add(row)
        pin_events.add(session, [history.line(context, row, "created")])
        return objects.Pin.from_row(row)


@retried
def update(context: RequestContext, uuid: str, wish: Wish, generation: int | None) -> objects.Pin:
    """Replace the wish of a pin; see `ConductorAPI.update_pin`."""
    where = _host_of(uuid)
    with engine.writer() as session:
        host = hosts.lock(session, where) if where else None
        row = pins.lock(session, uuid)
        if row is None or row.deleted:
            raise exception.PinNotFound(instance_uuid=uuid)
        if generation is not None and generation != row.generation:
            raise exception.StaleGeneration(given=generation, current=row.generation)
        row.updated_at = timeutils.utcnow()
        _decide(session, row, wish, _instance_on(session, uuid, where), host)
        pin_events.add(session, [history.line(context, row, "changed")])
        return objects.Pin.from_row(row)


@retried
def delete(context: RequestContext, uuid: str) -> str | None:
    """Delete a pin; see `ConductorAPI.delete_pin`.

    :returns: the host that has to release the instance, None if there is nothing to do
    """
    where = _host_of(uuid)
    with engine.writer() as session:
        if where:
            hosts.lock(session, where)
        row = pins.lock(session, uuid)
        if row is None or row.deleted:
            raise exception.PinNotFound(instance_uuid=uuid)
        instance = _instance_on(session, uuid, where)
        row.in_force = (row.in_force or Placement()).joined(row.placement) or None
        row.placement = row.holding = None
        row.generation += 1
        row.status, row.reason = PENDING, None
        row.deleted = True
        pin_events.add(session, [history.line(context, row, "deleted")])
        if row.in_force is None or instance is None:
            session.delete(row)
            return None
        # the claims stay until the host confirms that the instance left the CPUs
        hosts.raise_generation(session, [instance.host])
        return str(instance.host)


def _host_of(uuid: str) -> str | None:
    with engine.reader() as session:
        instance = instances.get(session, uuid)
        return None if instance is None else instance.host


def _instance_on(session: orm.Session, uuid: str, where: str | None) -> models.Instance | None:
    """Return the instance, sure to be on the host that was locked."""
    instance = instances.get(session, uuid)
    if (None if instance is None else instance.host) != where:
        raise Moved(uuid)
    return instance


def _decide(
    session: orm.Session,
    row: models.Pin,
    wish: Wish,
    instance: models.Instance | None,
    host: models.Host | None,
) -> None:
    """Give a pin its wish, a new generation and, where its instance is known, a placement."""
    row.wish = wish
    row.generation += 1
    row.status, row.reason = WAITING, None
    if instance is None or host is None:
        return
    if claims.is_others(row, instance):
        row.status, row.reason = FAILED, claims.OTHER_PROJECT
        return
    with session.no_autoflush:
        ledger = claims.Ledger(session, host, pins.lock_on_host(session, host.name))
        placement, holding = ledger.place(wish, instance)
    row.in_force = (row.in_force or Placement()).joined(row.placement) or None
    row.host, row.placement, row.holding = host.name, placement, holding
    if instance.state in ACTIVE_STATES:
        row.status = PENDING
    ledger.settle(row)
    ledger.save()
    hosts.raise_generation(session, [host.name])
