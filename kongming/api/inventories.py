# SPDX-License-Identifier: Apache-2.0
"""What every host has left, held in memory: only what changed is loaded again."""

import dataclasses
import threading
from collections.abc import Collection

from kongming.db import books, engine, hosts, instances, pins
from kongming.objects.host import is_down
from kongming.topology.inventory import Inventory


@dataclasses.dataclass(frozen=True)
class Known:
    """The inventory of a host at one generation."""

    generation: int
    inventory: Inventory


class Inventories:
    """The inventories of all hosts; every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}

    def of(
        self, names: Collection[str] | None, neighbours: Collection[str]
    ) -> tuple[dict[str, Inventory], set[str]]:
        """Return what the hosts named (None: all) have left, and which of them are down.

        Hosts that nobody knows are in neither. ``neighbours`` are the uuids of instances of
        which the inventories shall tell where they are.
        """
        with engine.reader() as session:
            beats = hosts.beats(session, names)
            known = {name: self._known.get(name) for name in beats}
            stale = [
                name
                for name, beat in beats.items()
                if (old := known[name]) is None or old.generation != beat.generation
            ]
            loaded = {}
            if stale:
                rows = hosts.several(session, stale)
                generations = {row.name: row.generation for row in rows}
                found = books.of_hosts(session, rows, pins.on_hosts(session, stale))
                loaded = {
                    name: Known(generations[name], page.inventory()) for name, page in found.items()
                }
            near = instances.occupancy(session, neighbours) if neighbours else {}
        with self._lock:
            self._known = self._known | loaded
        up, down = {}, set()
        for name, beat in beats.items():
            entry = loaded.get(name) or known[name]
            if is_down(beat.reported_at, beat.report_interval):
                down.add(name)
            elif entry is not None:
                up[name] = entry.inventory
        for name, occupancy in near.items():
            if name in up:
                up[name] = dataclasses.replace(up[name], occupancy=occupancy)
        return up, down
