# SPDX-License-Identifier: Apache-2.0
"""A wish comes in: create, change and delete pins, each in one transaction."""

from typing import Any

from oslo_utils import timeutils

from kongming import exception, objects
from kongming.conductor import claims, history, reservations, wishes
from kongming.conductor.claims import Former
from kongming.conductor.locked import Locked, everything_of
from kongming.conductor.reservations import Target
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import hosts, models, pin_events, pins
from kongming.objects.asked import Asked
from kongming.objects.instance import ACTIVE_STATES
from kongming.objects.pin import FAILED, PENDING, WAITING
from kongming.topology.placement import Placement


@retried
def create(
    context: RequestContext,
    pin: objects.Pin,
    wait: bool,
    target: Target | None = None,
    origin: str | None = None,
) -> objects.Pin:
    """Store a new pin and claim its placement; see `ConductorAPI.create_pin`.

    :param origin: `models.METADATA` or `models.HINT` makes a pin that is kept as ``failed`` where
        another would be refused: nobody waits for the answer, and each report of the host tries
        it again
    """
    uuid = pin.instance_uuid
    further_hosts = [target.host] if target else []
    with everything_of(uuid, *further_hosts, project_id=pin.project_id) as held:
        row, instance = held.pin, held.instance
        # it may have come, with an owner, since the API looked for it
        hidden = instance is not None and claims.is_others(pin, instance)
        if hidden or (instance is None and not wait):
            raise exception.InstanceNotFound(instance_uuid=uuid)
        if row is not None and not row.deleted and not _is_void(row, instance):
            raise exception.PinExists(instance_uuid=uuid)
        if row is None:
            row = models.Pin(instance_uuid=uuid, generation=0, arrival=0)
        row.project_id = (instance and instance.project_id) or pin.project_id
        row.user_id = (instance and instance.user_id) or pin.user_id
        row.deleted = False
        row.created_at = timeutils.utcnow()
        row.updated_at = None
        row.origin = origin
        # of a pin whose place this one takes, perhaps another project's
        row.overlay = row.turned_at = row.had = None
        wishes.give(held.session, row, Asked.of(pin))
        try:
            _decide(held, row)
        except exception.NOT_GRANTED as error:
            # what is yet to be released has a placement that must not be forgotten
            if origin is None or row.in_force is not None:
                raise
            row.status, row.reason = FAILED, history.short(error.message)
        if target is not None and row.host != target.host:
            reservations.make(held, row, target)
        held.session.add(row)
        asked_by = history.asked_by(held.session, context, row, origin)
        line = history.line(context, row, "created", asked_by=asked_by)
        history.add(held.session, context, [line])
        return objects.Pin.from_row(row)


@retried
def update(
    context: RequestContext,
    uuid: str,
    asked: Asked,
    generation: int | None,
    origin: str | None = None,
    project_id: str | None = None,
) -> objects.Pin:
    """Replace what a pin asks for, and its origin; see `ConductorAPI.update_pin`."""
    with everything_of(uuid) as held:
        row = held.pin_of(project_id)
        _insist(row, generation)
        row.updated_at = timeutils.utcnow()
        row.origin = origin
        # what is reserved was for the former wish
        reservations.release(held)
        former = row.wish
        wishes.give(held.session, row, asked)
        _decide(held, row)
        asked_by = history.asked_by(held.session, context, row, origin)
        line = history.line(context, row, "changed", asked_by=asked_by, former=former)
        history.add(held.session, context, [line])
        return objects.Pin.from_row(row)


@retried
def delete(
    context: RequestContext,
    uuid: str,
    generation: int | None = None,
    project_id: str | None = None,
) -> str | None:
    """Delete a pin (with a generation, only if that is the present one).

    See `ConductorAPI.delete_pin`.

    :returns: the host that has to release the instance, None if there is nothing to do
    """
    with everything_of(uuid) as held:
        row = held.pin_of(project_id)
        _insist(row, generation)
        reserved_on = None if held.reservation is None else held.reservation.host
        reservations.release(held)
        row.in_force = (row.in_force or Placement()).joined(row.placement) or None
        row.placement = row.holding = row.progress = row.cancelled = None
        row.generation += 1
        row.status, row.reason = PENDING, None
        row.deleted = True
        row.template_id = row.template_role = row.template_version = row.overlay = None
        line = history.line(context, row, "deleted", former=row.wish)
        history.add(held.session, context, [line])
        if row.in_force is None or held.instance is None:
            held.session.delete(row)
            return reserved_on
        # the claims stay until the host confirms that the instance left the CPUs
        hosts.raise_generation(held.session, [held.instance.host])
        return held.instance.host


@retried
def cancel_move(context: RequestContext, uuid: str, project_id: str | None = None) -> objects.Pin:
    """Call off what moves the memory of an instance; see `ConductorAPI.cancel_move`."""
    with everything_of(uuid) as held:
        row = held.pin_of(project_id)
        if row.progress is None or row.host is None:
            raise exception.MoveNotFound(instance_uuid=uuid)
        if not row.cancelled:
            row.cancelled, row.updated_at = True, timeutils.utcnow()
            history.add(held.session, context, [history.line(context, row, "cancelled")])
            hosts.raise_generation(held.session, [row.host])
        return objects.Pin.from_row(row)


@retried
def refuse(context: RequestContext, uuid: str, reason: str) -> None:
    """Write into the history of a pin, if there is one, why a new wish was not taken."""
    with everything_of(uuid) as held:
        if held.pin is None or held.pin.deleted:
            return
        told = history.short(reason)
        last = pin_events.last(held.session, uuid)
        if last is None or (last.event, last.reason) != ("refused", told):
            line = history.line(context, held.pin, "refused") | {"reason": told}
            history.add(held.session, context, [line])


def _is_void(row: models.Pin, instance: models.Instance | None) -> bool:
    """Whether a pin waited for an instance that then came with another owner."""
    return instance is not None and claims.is_others(row, instance) and not row.in_force


def revise(
    context: RequestContext,
    held: Locked,
    asked_by: dict[str, Any],
    forced: bool = False,
    former: Former | None = None,
) -> None:
    """Give a pin the wish that it comes to now that its template or a calendar says something else.

    One whose wish is the same, since that is about other roles or is overridden, stays where it is.
    What is reserved for the others is reserved anew.

    :param former: what it had for this wish before, and shall get again where that is free
    :param forced: a pin that is not granted its wish has failed, and runs without until it is
    :raises NOT_GRANTED: unless that is forced
    """
    row = held.pin
    assert row is not None  # nosec B101 # for mypy
    row.updated_at = timeutils.utcnow()
    try:
        wish = wishes.base(held.session, row)
        if wish != row.wish or row.status == FAILED:
            row.wish = wish
            target = None if held.reservation is None else reservations.rest_of(held.reservation)
            reservations.release(held)
            _decide(held, row, former)
            if target is not None and row.host != target.host:
                reservations.make(held, row, target)
    except exception.NOT_GRANTED as error:
        if not forced:
            raise
        _lose(held, row, error.message)
    history.add(held.session, context, [history.line(context, row, "changed", asked_by=asked_by)])


def _lose(held: Locked, row: models.Pin, reason: str) -> None:
    """Let a pin fail for which there is no place; what it had is released by its host."""
    row.generation += 1
    row.in_force = (row.in_force or Placement()).joined(row.placement) or None
    row.placement = row.holding = row.progress = row.cancelled = None
    row.status, row.reason = FAILED, history.short(reason)
    if held.host is not None:
        here = pins.lock_on_host(held.session, held.host.name)
        ledger = claims.Ledger(held.session, held.host, here)
        ledger.settle(row)
        ledger.save()
        hosts.raise_generation(held.session, [held.host.name])


def _insist(row: models.Pin, generation: int | None) -> None:
    if generation is not None and generation != row.generation:
        raise exception.StaleGeneration(given=generation, current=row.generation)


def _decide(held: Locked, row: models.Pin, former: Former | None = None) -> None:
    """Give a pin with a new wish a new generation and, if its instance is known, a placement."""
    row.generation += 1
    row.status, row.reason = WAITING, None
    row.progress = row.cancelled = None
    session, instance, host = held.session, held.instance, held.host
    if instance is None or host is None:
        held.accounts.take(row.project_id, row.instance_uuid, None)
        return
    if claims.is_others(row, instance):
        row.status, row.reason = FAILED, claims.OTHER_PROJECT
        return
    with session.no_autoflush:
        ledger = claims.Ledger(session, host, pins.lock_on_host(session, host.name))
        placement, holding = ledger.place(
            row.wish, row.instance_uuid, claims.size_of(instance), bool(row.placed), former
        )
        held.accounts.take(instance.project_id or row.project_id, row.instance_uuid, holding)
    row.in_force = (row.in_force or Placement()).joined(row.placement) or None
    row.host, row.placement, row.holding = host.name, placement, holding
    row.placed = True
    if instance.state in ACTIVE_STATES:
        row.status = PENDING
    ledger.settle(row)
    ledger.save()
    hosts.raise_generation(session, [host.name])
