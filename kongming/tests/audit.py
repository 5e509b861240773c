# SPDX-License-Identifier: Apache-2.0
"""What contradicts itself in the tables, whoever wrote them in whatever order."""

import collections
from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db import claims, instances, models
from kongming.topology import cpuset
from kongming.topology.books import Holding
from kongming.topology.placement import Placement

#: Bitmask of the pCPUs claimed, by host and instance.
_Claims = Mapping[tuple[str, str], int]


def faults(session: orm.Session, quiet: bool = False) -> list[str]:
    """Return a sentence for each contradiction; the transaction must see one moment only.

    :param quiet: every host has confirmed what it was told: nothing claims more than it needs
    """
    pins = session.scalars(sa.select(models.Pin)).all()
    by_uuid = {pin.instance_uuid: pin for pin in pins}
    hosts = session.scalars(sa.select(models.Host)).all()
    reserved = {
        (row.host, row.instance_uuid): row.holding.cpus
        for row in session.scalars(sa.select(models.Reservation))
    }
    claimed: dict[tuple[str, str], int] = collections.Counter()
    for name, claims_there in claims.by_hosts(session, [host.name for host in hosts]).items():
        for cpu, uuid in claims_there.items():
            claimed[name, uuid] |= 1 << cpu
    found = [
        *_claims_without_pin(claimed, by_uuid, reserved, quiet),
        *_pins_without_claim(claimed, pins),
    ]
    for host in hosts:
        here = [pin for pin in pins if pin.host == host.name]
        gifts = instances.gifts(session, [host.name]).get(host.name, {})
        # one that has just come with its pin looks as if others had given it what it brings
        given = {uuid: gift.cpus for uuid, gift in gifts.items() if uuid not in by_uuid}
        found += [*_shared_cpus(here, given), *_too_much_memory(host, here)]
    return [*found, *_history(session, by_uuid)]


def _claims_without_pin(
    claimed: _Claims, pins: Mapping[str, models.Pin], reserved: _Claims, quiet: bool
) -> Iterator[str]:
    for (host, uuid), claims_there in claimed.items():
        cpus = claims_there & ~reserved.get((host, uuid), 0)
        if not cpus:
            continue
        pin = pins.get(uuid)
        if pin is None or pin.host != host:
            yield f"{uuid} claims {cpuset.to_text(cpus)} of {host}, but has no pin there"
            continue
        justified = _holding(pin).cpus | (0 if quiet else (pin.in_force or Placement()).cpus)
        if more := cpus & ~justified:
            yield f"{uuid} claims {cpuset.to_text(more)} of {host} without need"


def _pins_without_claim(claimed: _Claims, pins: Collection[models.Pin]) -> Iterator[str]:
    for pin in pins:
        if lacking := _holding(pin).cpus & ~claimed.get((str(pin.host), pin.instance_uuid), 0):
            yield f"{pin.instance_uuid} holds {cpuset.to_text(lacking)}, but does not claim it"
        if pin.wish.cpu_policy == "dedicated" and pin.placement is not None:
            alone = pin.placement.vcpu_cpus
            if alone != _holding(pin).cpus:
                yield f"{pin.instance_uuid} has {cpuset.to_text(alone)}, but does not hold that"


def _shared_cpus(pins: Collection[models.Pin], given: Mapping[str, int]) -> Iterator[str]:
    alone = [(pin.instance_uuid, _holding(pin).cpus) for pin in pins]
    for pin in pins:
        used = (pin.placement or Placement()).cpus
        for holder, cpus in (*alone, *given.items()):
            if holder != pin.instance_uuid and (common := used & cpus):
                where = f"{cpuset.to_text(common)} of {pin.host}"
                yield f"{pin.instance_uuid} has {where}, which {holder} has for itself"


def _too_much_memory(host: models.Host, pins: Collection[models.Pin]) -> Iterator[str]:
    held: dict[tuple[int, int], int] = collections.Counter()
    for pin in pins:
        for node, sizes in _holding(pin).memory.items():
            for size, mib in sizes.items():
                held[node, size] += mib
    there = {node.id: node.offered_memory for node in host.topology.nodes}
    for (node, size), mib in held.items():
        if mib > there[node].get(size, 0):
            yield f"{mib} MiB of {size} KiB are held of node {node} of {host.name}"


def _history(session: orm.Session, pins: Mapping[str, models.Pin]) -> Iterator[str]:
    """Compare each pin with the last word of its callers, which came with it or not at all."""
    events = sa.select(models.PinEvent).where(
        models.PinEvent.event.in_(("created", "changed", "deleted"))
    )
    last = {event.instance_uuid: event for event in session.scalars(events.order_by("id"))}
    for uuid in {*pins, *last}:
        pin, event = pins.get(uuid), last.get(uuid)
        gone = pin is None or pin.deleted
        if event is None or gone != (event.event == "deleted"):
            yield f"{uuid}: pin and history contradict each other"
        elif pin is not None and not gone and pin.wish != event.wish:
            yield f"{uuid}: the wish is not the one that was told last"


def _holding(pin: models.Pin) -> Holding:
    return pin.holding or Holding()
