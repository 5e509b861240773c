# SPDX-License-Identifier: Apache-2.0
"""What the agent holds: the placements last received, kept in a local file."""

import dataclasses
import errno
import json
import os
import pathlib
import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from kongming import objects
from kongming.hypervisor.driver import Scope
from kongming.topology.answer import Size
from kongming.topology.books import Holding
from kongming.topology.placement import Placement
from kongming.topology.wish import Wish

LOG = logging.getLogger(__name__)


#: What is to be carried out: a placement, or its release, and generation and arrival it is of.
Order = tuple[int, int, Placement | None]
#: Where the parts of an instance were, by scope.
Snapshot = Mapping[Scope, Placement]


@dataclasses.dataclass(frozen=True)
class Decided:
    """What a stand-alone agent, which decides itself, made a placement from, and its claims."""

    wish: Wish
    size: Size
    holding: Holding

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form; `from_dict` reads it back."""
        return {
            "wish": self.wish.to_dict(),
            "size": dataclasses.asdict(self.size),
            "holding": self.holding.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Decided":
        """Return what `to_dict` described."""
        size = data["size"] | {"iothreads": tuple(data["size"]["iothreads"])}
        holding = Holding.from_dict(data["holding"])
        return cls(Wish.from_dict(data["wish"]), Size(**size), holding)


@dataclasses.dataclass(frozen=True)
class Held:
    """One pin as the agent knows it.

    ``placement`` None: release the instance. ``in_force`` is what was carried out and not
    undone. ``given`` holds the entries that the instance's definition had before the
    first pin, to which a released part returns. ``before`` is set while it is carried out: where
    everything was, to which it returns on failure, even if the agent died on the way; that is true
    of the process ``before_of`` alone.
    ``cancelled``: it is not to be carried out any more. ``decided`` is None where conductors
    decide, and so is ``wanted``: a newer wish, which has found no place yet. ``process`` is the one
    in which all was last seen in place, None if it never was. Without ``enforce`` what somebody
    moves stays there.
    """

    instance_uuid: str
    generation: int
    placement: Placement | None
    in_force: Placement | None = None
    given: Placement | None = None
    before: Snapshot | None = None
    before_of: str | None = None
    cancelled: bool = False
    decided: Decided | None = None
    wanted: Wish | None = None
    arrival: int = 0
    process: str | None = None
    enforce: bool = True

    @property
    def order(self) -> Order:
        """What is to be carried out: a placement may come later than its generation."""
        return self.generation, self.arrival, self.placement


class NotStored(Exception):
    """A change could not be kept, and is not made; the message names the file and why."""


class Store:
    """The pins of this host, by instance uuid; every change is on disk when it returns.

    Whatever changes something raises `NotStored` if it cannot be kept.
    """

    def __init__(self, directory: str, host: str) -> None:
        self._path = pathlib.Path(directory) / f"placements-{host}.json"
        self._lock = threading.Lock()
        self._pins: dict[str, Held] = {}
        self._load()

    def get(self, uuid: str) -> Held | None:
        """Return what is held for an instance."""
        return self._pins.get(uuid)

    def all(self) -> list[Held]:
        """Return everything that is held."""
        return list(self._pins.values())

    def replace(self, pins: Iterable[objects.Pin], keep: Collection[str] = ()) -> list[str]:
        """Take over what the conductor says; return the uuids whose pin is new or changed.

        Of the instances in ``keep`` it said nothing of use: what is held for them stays.

        What this agent itself carried out is known better here than there, unless the instance
        has left this host and come again: then others may have done more.
        """
        with self._lock:
            # readers take no lock: they find the pins as they were, or as they are
            after = {uuid: held for uuid, held in self._pins.items() if uuid in keep}
            for pin in pins:
                before = self._pins.get(pin.instance_uuid)
                in_force, given, back, back_of = pin.in_force, None, None, None
                if before is not None:
                    if before.arrival == pin.arrival:
                        in_force, given = before.in_force, before.given
                        back, back_of = before.before, before.before_of
                    else:
                        # with what was done here since it came, before that was heard of
                        in_force = _either(in_force, before.in_force)
                held = Held(
                    instance_uuid=pin.instance_uuid,
                    generation=pin.generation,
                    placement=pin.placement,
                    in_force=in_force,
                    given=given,
                    before=back,
                    before_of=back_of,
                    cancelled=bool(pin.cancelled),
                    arrival=pin.arrival,
                    enforce=pin.wish.enforce,
                )
                same = before is not None and before.arrival == held.arrival
                if before is not None and same and before.order == held.order:
                    held = dataclasses.replace(held, process=before.process)
                after[pin.instance_uuid] = held
            changed = [uuid for uuid, held in after.items() if self._pins.get(uuid) != held]
            if changed or len(after) != len(self._pins):
                self._keep(after)
            return changed

    def put(self, held: Held) -> None:
        """Hold one more pin, or another in place of the one that is held.

        What was carried out meanwhile stays known.
        """
        with self._lock:
            now = self._pins.get(held.instance_uuid)
            if now is not None:
                held = dataclasses.replace(
                    held,
                    in_force=now.in_force,
                    given=now.given,
                    before=now.before,
                    before_of=now.before_of,
                )
            self._keep(self._pins | {held.instance_uuid: held})

    def remove(self, uuid: str) -> None:
        """Hold the pin of an instance no more."""
        with self._lock:
            if uuid in self._pins:
                self._keep({key: held for key, held in self._pins.items() if key != uuid})

    def carried_out(
        self,
        uuid: str,
        arrival: int,
        in_force: Placement | None,
        given: Placement | None,
        before: Snapshot | None = None,
    ) -> None:
        """Note what is in force for an instance since an arrival, as far as its agent knows.

        :param before: where it is to return to if what has begun fails
        """
        with self._lock:
            held = self._pins.get(uuid)
            if held is None:
                return
            if held.arrival != arrival:
                in_force, given = _either(held.in_force, in_force), held.given
                before = held.before
            now = dataclasses.replace(
                held,
                in_force=in_force,
                given=given,
                before=before,
                before_of=None if before is None else held.before_of,
            )
            if now != held:
                self._keep(self._pins | {uuid: now})

    def remember(self, held: Held, process: str, before: Snapshot) -> None:
        """Note where an instance is to return to if what has begun, for this pin, fails."""
        with self._lock:
            now = self._pins.get(held.instance_uuid)
            if now is not None and now.order == held.order:
                begun = dataclasses.replace(now, before=before, before_of=process)
                self._keep(self._pins | {held.instance_uuid: begun})

    def confirm(self, held: Held, process: str) -> None:
        """Note that all of a pin, if it is still the same, was seen in place in a process."""
        with self._lock:
            now = self._pins.get(held.instance_uuid)
            if now is not None and now.order == held.order and now.process != process:
                confirmed = dataclasses.replace(now, process=process)
                self._keep(self._pins | {held.instance_uuid: confirmed})

    def _keep(self, pins: dict[str, Held]) -> None:
        data = [
            {
                "instance_uuid": held.instance_uuid,
                "generation": held.generation,
                "placement": _dump(held.placement),
                "in_force": _dump(held.in_force),
                "given": _dump(held.given),
                "before": _dump_all(held.before),
                "before_of": held.before_of,
                "cancelled": held.cancelled,
                "decided": None if held.decided is None else held.decided.to_dict(),
                "wanted": None if held.wanted is None else held.wanted.to_dict(),
                "arrival": held.arrival,
                "process": held.process,
                "enforce": held.enforce,
            }
            for held in pins.values()
        ]
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w") as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            reason = f"its placements cannot be kept in {self._path}: {error.strerror}"
            raise NotStored(reason) from error
        self._pins = pins

    def _load(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # what its capabilities let it do counts, too
        if not os.access(self._path.parent, os.W_OK | os.X_OK, effective_ids=True):
            denied = errno.EACCES
            raise PermissionError(denied, os.strerror(denied), str(self._path.parent))
        try:
            data = json.loads(self._path.read_text())
            self._pins = {
                entry["instance_uuid"]: Held(
                    instance_uuid=entry["instance_uuid"],
                    generation=entry["generation"],
                    placement=_read(entry["placement"]),
                    in_force=_read(entry["in_force"]),
                    given=_read(entry["given"]),
                    before=_read_all(entry.get("before")),
                    before_of=entry.get("before_of"),
                    cancelled=entry.get("cancelled", False),
                    decided=_read_decided(entry.get("decided")),
                    wanted=_read_wish(entry.get("wanted")),
                    arrival=entry.get("arrival", 0),
                    process=entry.get("process"),
                    enforce=entry.get("enforce", True),
                )
                for entry in data
            }
        except FileNotFoundError:
            LOG.info("No placements are stored in %s yet", self._path)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # a conductor knows them too, if there is one; it must not keep the agent down
            broken = self._path.replace(self._path.with_suffix(".broken"))
            LOG.error("%s was unreadable, and is %s now: %r", self._path, broken, error)


def _either(one: Placement | None, other: Placement | None) -> Placement | None:
    return (one or Placement()).joined(other) or None


def _dump(placement: Placement | None) -> dict[str, Any] | None:
    return None if placement is None else placement.to_dict()


def _read(data: dict[str, Any] | None) -> Placement | None:
    return None if data is None else Placement.from_dict(data)


def _dump_all(snapshot: Snapshot | None) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    return {scope.value: placement.to_dict() for scope, placement in snapshot.items()}


def _read_all(data: dict[str, Any] | None) -> Snapshot | None:
    if data is None:
        return None
    return {Scope(scope): Placement.from_dict(placement) for scope, placement in data.items()}


def _read_decided(data: dict[str, Any] | None) -> Decided | None:
    return None if data is None else Decided.from_dict(data)


def _read_wish(data: dict[str, Any] | None) -> Wish | None:
    return None if data is None else Wish.from_dict(data)
