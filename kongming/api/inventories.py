# SPDX-License-Identifier: Apache-2.0
"""What every host has left, held in memory: only what changed is loaded again."""

import dataclasses
import threading
import time
from collections.abc import Collection, Mapping

from sqlalchemy import orm

from kongming.db import books, engine, hosts, instances, pins
from kongming.objects.host import is_down
from kongming.topology.inventory import Inventory

#: A row costs that many times as much if it is asked for by name.
_BY_NAME = 4
#: Seconds in which hosts that are gone from the database are forgotten.
_FORGET_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Known:
    """The inventory of a host at one generation."""

    generation: int
    inventory: Inventory


class Inventories:
    """The inventories of all hosts; every method may be called by any thread."""

    def __init__(self) -> None:
        # held while loading: requests that come together do not all load the same
        self._loading = threading.Lock()
        self._known: dict[str, Known] = {}
        self._complete_until = 0.0

    def of(
        self,
        names: Collection[str] | None,
        neighbours: Collection[str],
        instance: str | None = None,
    ) -> tuple[dict[str, Inventory], set[str]]:
        """Return what the hosts named (None: all) have left, and which of them are down.

        Hosts that nobody knows are in neither. ``neighbours`` are the uuids of instances of
        which the inventories shall tell where they are. ``instance`` is the uuid of one whose
        own parts count as free.
        """
        with engine.reader() as session:
            if names is not None and self._by_name(names):
                beats = hosts.beats(session, names)
                gone = set(names) - set(beats)
            else:
                beats = hosts.beats(session, None)
                gone = set(self._known) - set(beats)
                self._complete_until = time.monotonic() + _FORGET_SECONDS
                if names is not None:
                    beats = {name: beats[name] for name in names if name in beats}
            known = self._up_to_date(session, beats, gone)
            own = _own(session, instance) if instance is not None else {}
            near = instances.occupancy(session, neighbours) if neighbours else {}
        up, down = {}, set()
        for name, beat in beats.items():
            if is_down(beat.reported_at, beat.report_interval):
                down.add(name)
            elif name in known:
                up[name] = own.get(name) or known[name].inventory
        for name, occupancy in near.items():
            if name in up:
                up[name] = dataclasses.replace(up[name], occupancy=occupancy)
        return up, down

    def _by_name(self, names: Collection[str]) -> bool:
        few = len(names) * _BY_NAME < len(self._known)
        return few and time.monotonic() < self._complete_until

    def _up_to_date(
        self, session: orm.Session, beats: Mapping[str, hosts.Beat], gone: Collection[str]
    ) -> Mapping[str, Known]:
        """Return what is known of the hosts in ``beats`` (and others); forget those ``gone``."""
        known = self._known
        if not gone and not _stale(known, beats):
            return known
        with self._loading:
            known = {name: entry for name, entry in self._known.items() if name not in gone}
            if stale := _stale(known, beats):
                rows = hosts.several(session, stale)
                found = books.of_hosts(session, rows, pins.accounts(session, stale))
                for row in rows:
                    known[row.name] = Known(row.generation, found[row.name].inventory())
            self._known = known
            return known


def _own(session: orm.Session, instance: str) -> dict[str, Inventory]:
    """Return what the hosts where an instance has something offer to it itself."""
    rows = hosts.several(session, books.hosts_of(session, instance))
    names = [row.name for row in rows]
    found = books.of_hosts(session, rows, pins.accounts(session, names))
    return {name: found[name].inventory(instance) for name in names}


def _stale(known: Mapping[str, Known], beats: Mapping[str, hosts.Beat]) -> list[str]:
    return [
        name
        for name, beat in beats.items()
        if (entry := known.get(name)) is None or entry.generation != beat.generation
    ]
