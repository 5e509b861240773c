# SPDX-License-Identifier: Apache-2.0
"""The books of hosts, as the tables tell them."""

from collections.abc import Iterable

from sqlalchemy import orm

from kongming.db import claims, instances
from kongming.db.models import Host, Pin
from kongming.topology.books import Books
from kongming.topology.placement import Placement


def of_host(session: orm.Session, host: Host, pins: Iterable[Pin]) -> Books:
    """Return the books of a host, of whose pins the rows are there (others are left out)."""
    here = [pin for pin in pins if pin.host == host.name]
    return Books(
        topology=host.topology,
        claims=claims.on_host(session, host.name),
        used={pin.instance_uuid: _used(pin) for pin in here},
        memory={pin.instance_uuid: pin.holding.memory for pin in here if pin.holding},
        gifts=instances.gifts(session, [host.name]).get(host.name, {}),
    )


def of_hosts(session: orm.Session, hosts: Iterable[Host], pins: Iterable[Pin]) -> dict[str, Books]:
    """Return the books of several hosts by name, from two statements."""
    found = {host.name: Books(topology=host.topology) for host in hosts}
    for name, claimed in claims.by_hosts(session, found).items():
        found[name].claims = claimed
    for name, gifts in instances.gifts(session, found).items():
        found[name].gifts = gifts
    for pin in pins:
        if pin.host in found:
            found[pin.host].used[pin.instance_uuid] = _used(pin)
            if pin.holding:
                found[pin.host].memory[pin.instance_uuid] = pin.holding.memory
    return found


def _used(pin: Pin) -> int:
    """Return the pCPUs where a pin shall be, and where its instance may still be."""
    return (pin.placement or Placement()).cpus | (pin.in_force or Placement()).cpus
