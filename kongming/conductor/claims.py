# SPDX-License-Identifier: Apache-2.0
"""Who holds what on a host: decided here, inside a transaction that has locked the host."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import orm

from kongming import exception
from kongming.db import books, models
from kongming.db import claims as db_claims
from kongming.db import instances as db_instances
from kongming.topology import cpuset, fit
from kongming.topology.books import Holding, Memory
from kongming.topology.inventory import Occupancy
from kongming.topology.placement import Placement
from kongming.topology.wish import Wish

#: Why a pin that waited for an instance does not get it.
OTHER_PROJECT = "the instance belongs to another project than the pin"


def is_others(pin: Any, instance: models.Instance) -> bool:
    """Whether an instance is of another project than a pin, which then must not touch it."""
    return bool(pin.project_id and instance.project_id and pin.project_id != instance.project_id)


def size_of(instance: models.Instance) -> fit.Size:
    """Return how large an instance is."""
    return fit.Size(instance.vcpus, instance.memory_mib, tuple(instance.iothreads))


@dataclasses.dataclass(frozen=True)
class Former:
    """What a pin had on a host while it had some wish."""

    host: str
    wish: Wish
    placement: Placement
    holding: Holding

    @classmethod
    def of(cls, pin: models.Pin) -> "Former | None":
        """Return what a pin has, if it has a placement."""
        if pin.host is None or pin.placement is None:
            return None
        return cls(pin.host, pin.wish, pin.placement, pin.holding or Holding())

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's types; `from_dict` reads it back."""
        return {
            "host": self.host,
            "wish": self.wish.to_dict(),
            "placement": self.placement.to_dict(),
            "holding": self.holding.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Former":
        """Return what `to_dict` described."""
        return cls(
            data["host"],
            Wish.from_dict(data["wish"]),
            Placement.from_dict(data["placement"]),
            Holding.from_dict(data["holding"]),
        )


class Ledger:
    """The books of one host for one transaction: what is settled in it counts at once."""

    def __init__(self, session: orm.Session, host: models.Host, pins: Iterable[models.Pin]) -> None:
        pins = list(pins)
        self._session = session
        self._host = host.name
        self._books = books.of_host(session, host, pins)
        self._before = self._entries()
        self._named = {uuid for pin in pins for uuid in pin.wish.neighbours}
        self._occupancy: dict[str, Occupancy] | None = None

    def place(
        self,
        wish: Wish,
        uuid: str,
        size: fit.Size,
        ours: bool = False,
        former: Former | None = None,
    ) -> tuple[Placement, Holding]:
        """Return the placement that an instance would get, and what it would claim.

        ``ours``: KongMing has placed the instance before, so what its definition gives it may
        be KongMing's own doing, and whoever had to override has done so.

        ``former`` is what it gets again if that was here, for the same wish, and is still free.

        No part may use a pCPU that another pin claims or another instance was given alone by
        others; a dedicated pin may moreover claim none that another pin uses.

        :raises PlacedByOthers: others gave the instance pCPUs, and the wish does not override
        :raises BadRequest: instance or host lacks what the wish names
        :raises DoesNotFit: the host has too little left of what the wish describes
        :raises CpuAlreadyClaimed: naming the pCPUs and the holder
        """
        given = self._books.gifts.get(uuid)
        if given is not None and not (ours or wish.override):
            raise exception.PlacedByOthers(
                instance_uuid=uuid, cpus=cpuset.to_text(given.cpus), host=self._host
            )
        if former is not None and self._is_left(former, wish, uuid, size):
            return former.placement, former.holding
        try:
            found = fit.place(wish, size, self._books.inventory(uuid, self._look_at(wish)))
        except fit.DoesNotFit as error:
            raise exception.refusal(error.reasons) from error
        contest = self._books.contest(uuid, found)
        if contest is not None:
            raise exception.contested(contest, self._host)
        return found.placement, Holding(found.exclusive, found.memory)

    def settle(self, pin: Any) -> None:
        """Record what a pin holds from now on.

        What it claimed before and may still run on (``in_force``) stays claimed until its
        host confirms that it left.
        """
        uuid, placement = pin.instance_uuid, pin.placement or Placement()
        holding, in_force = pin.holding or Holding(), pin.in_force or Placement()
        held = 0 if in_force == placement else self._books.claimed_by(uuid) & in_force.cpus
        held |= holding.cpus
        self.forget(uuid)
        self._books.claims |= dict.fromkeys(cpuset.members(held), uuid)
        self._books.hold(uuid, placement.cpus | in_force.cpus, holding)

    def hold(self, uuid: str, placement: Placement, holding: Holding) -> None:
        """Record what is reserved for an instance that is not on this host yet."""
        self._books.hold(uuid, placement.cpus, holding)
        self._books.claims |= dict.fromkeys(cpuset.members(holding.cpus), uuid)

    def holds(self, uuid: str, cpus: int) -> bool:
        """Whether an instance claims all of these pCPUs (a bitmask)."""
        return not cpus & ~self._books.claimed_by(uuid)

    def forget(self, uuid: str) -> None:
        """Record that an instance holds and uses nothing on this host any more."""
        self._books.claims = {cpu: who for cpu, who in self._books.claims.items() if who != uuid}
        self._books.used.pop(uuid, None)
        self._books.memory.pop(uuid, None)

    def save(self) -> bool:
        """Write the changes (at most two statements); return whether the books changed.

        They do so without a claim where a shared pin comes or goes: what it uses, nobody
        can claim.
        """
        before, now = self._before[0], self._books.claims
        dropped = [cpu for cpu, who in before.items() if now.get(cpu) != who]
        added = {cpu: who for cpu, who in now.items() if before.get(cpu) != who}
        db_claims.change(self._session, self._host, dropped, added)
        changed = self._before != self._entries()
        self._before = self._entries()
        return changed

    def _is_left(self, former: Former, wish: Wish, uuid: str, size: fit.Size) -> bool:
        """Whether nobody else has any of what an instance had, and it suits it still."""
        placement, holding = former.placement, former.holding
        if (former.host, former.wish) != (self._host, wish):
            return False
        if placement.cpus & self._books.topology.offline or not fit.covers(wish, size, placement):
            return False
        free = self._books.inventory(uuid).free_memory
        for node, sizes in holding.memory.items():
            if any(free.get(node, {}).get(page, 0) < mib for page, mib in sizes.items()):
                return False
        found = fit.Fit(placement, holding.cpus, holding.memory, (), fit.Score())
        return self._books.contest(uuid, found) is None

    def _entries(self) -> tuple[dict[int, str], dict[str, int], dict[str, Memory]]:
        books = self._books
        return dict(books.claims), dict(books.used), dict(books.memory)

    def _look_at(self, wish: Wish) -> dict[str, Occupancy]:
        """Return where the neighbours are that this wish, or any other here, names."""
        if not wish.neighbours:
            return {}
        if self._occupancy is None:
            named = self._named.union(wish.neighbours)
            everywhere = db_instances.occupancy(self._session, named)
            self._occupancy = everywhere.get(self._host, {})
        return self._occupancy
