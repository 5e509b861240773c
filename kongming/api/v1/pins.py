# SPDX-License-Identifier: Apache-2.0
"""``/v1/pins``: the wishes, one per instance, and their history."""

from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import body, described, granted, links, query
from kongming.api.loaded import canonical, create_pin, future_owner, load_pin, visible
from kongming.api.microversion import Version, Versioned
from kongming.api.routes import Collection, Document
from kongming.api.v1.moves import Move, MoveController, Receipt, shown
from kongming.api.v1.placement import Memory, Placement, Raw
from kongming.api.v1.reservations import ReservationController
from kongming.api.v1.size import Size
from kongming.db import engine, models, pin_events
from kongming.policies import pins as rules
from kongming.topology import grammar
from kongming.topology.wish import (
    CPU_POLICIES,
    EMULATOR_POLICIES,
    THREAD_POLICIES,
    Wish,
    WishError,
)

FILTERS = ("host", "project_id", "status", "user_id")
#: The version that brought causes, and wishes that leave drifts as they are.
CAUSES = Version(1, 7)
#: The version that brought a field of the wish.
_SINCE = {
    "pci_device": Version(1, 3),
    "override": Version(1, 4),
    "enforce": CAUSES,
    "qos": Version(1, 8),
}
#: The version that brought moves of memory.
_MOVES = Version(1, 9)
SORT_KEYS = ("created_at", "generation", "instance_uuid", "status")


def _word(emulator: str) -> Any:
    return emulator if emulator in EMULATOR_POLICIES else wtypes.Unset


def _without_host_nodes(numa_nodes: Any) -> Any:
    if not isinstance(numa_nodes, list):
        return numa_nodes
    return [{k: v for k, v in node.items() if k != "host_node"} for node in numa_nodes]


def _pages(memory: Any) -> Any:
    return {k: v for k, v in memory.items() if k == "page_size_kib"} or wtypes.Unset


class WishBody(wtypes.Base):
    """What a caller may ask for."""

    _grammar = grammar.WISH
    _since = _SINCE
    _places: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(("vcpus", "iothreads", "pci_device"), wtypes.Unset),
        "emulator": _word,
        "numa_nodes": _without_host_nodes,
        "memory": _pages,
    }
    _instances = ("near", "avoid")

    cpu_policy = wtypes.Enum(str, *CPU_POLICIES)
    thread_policy = wtypes.Enum(str, *THREAD_POLICIES)
    numa_nodes = Raw()
    near = wtypes.text
    avoid = Raw()
    vcpus = wtypes.DictType(wtypes.text, wtypes.text)
    emulator = wtypes.text
    iothreads = wtypes.DictType(wtypes.text, wtypes.text)
    memory = Memory
    pci_device = wtypes.text
    override = bool
    enforce = bool
    qos = Raw()

    def wish(self, prefix: str = "") -> Wish:
        """Return the wish.

        :raises BadRequest: naming the field that is malformed, after ``prefix``
        """
        _require_version(self, prefix)
        if body.has(self, "memory"):
            _require_version(self.memory, f"{prefix}memory.")
        data = wsme_json.tojson(type(self), self)
        try:
            return Wish.from_dict(data)
        except WishError as error:
            raise exception.BadRequest.field(prefix + error.field, error.reason) from error


class NewPin(WishBody):
    """Body of a POST."""

    _grammar = grammar.WISH | {"instance_uuid": grammar.UUID}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)


class PlannedPin(NewPin):
    """Body of a POST for an instance that may be yet to come."""

    project_id = body.Identifier()
    user_id = body.Identifier()
    host = body.Identifier()
    size = Size


class ChangedPin(WishBody):
    """Body of a PUT: replaces the whole wish."""

    generation = int


class Pin(WishBody):
    """A pin as it is shown."""

    _places = WishBody._places | {"host": None, "placement": None}
    _words: ClassVar[dict[str, str]] = {"reason": "status"}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.text
    user_id = wtypes.text
    host = wtypes.text
    generation = wtypes.wsattr(int, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    reason = wtypes.text
    placement = Placement
    move = Move
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Pins(wtypes.Base):
    """A page of pins."""

    pins = wtypes.wsattr(wtypes.ArrayType(Pin), mandatory=True)
    next = wtypes.text


class Event(wtypes.Base):
    """What happened to a pin, or what somebody asked of it."""

    _places: ClassVar[dict[str, Any]] = {"host": None, "receipt": None}
    _words: ClassVar[dict[str, str]] = {"reason": "event"}

    at = wtypes.wsattr(wtypes.text, mandatory=True)
    event = wtypes.wsattr(wtypes.text, mandatory=True)
    generation = wtypes.wsattr(int, mandatory=True)
    host = wtypes.text
    reason = wtypes.text
    user_id = wtypes.text
    request_id = wtypes.text
    wish = WishBody
    cause = wtypes.text
    receipt = Receipt


class History(wtypes.Base):
    """The life of a pin."""

    history = wtypes.wsattr(wtypes.ArrayType(Event), mandatory=True)


#: What a wish may be refused with.
_NOT_GRANTED = (*exception.NOT_GRANTED, exception.Forbidden, exception.ControlPlaneUnavailable)


class HistoryController(Document):
    """``/v1/pins/{instance_uuid}/history``"""

    @pecan.expose("json")
    @described.operation(History, refuses=(exception.PinNotFound,))
    def show(self, instance_uuid: str) -> dict[str, Any]:
        """Return the life of a pin, oldest event first; it outlives the pin."""
        missing = exception.PinNotFound(instance_uuid=instance_uuid[:64])
        uuid = canonical(instance_uuid, missing)
        with engine.reader() as session:
            events = [objects.PinEvent.from_row(row) for row in pin_events.of_pin(session, uuid)]
        # a pin may have been another project's before
        visible = {
            event.project_id: policy.allows(pecan.request.context, rules.GET, event)
            for event in {event.project_id: event for event in events}.values()
        }
        shown = [_event(event) for event in events if visible[event.project_id]]
        if not shown:
            raise missing
        return {"history": shown}


class PinsController(Collection):
    """``/v1/pins``"""

    children = {
        "history": HistoryController(),
        "move": Versioned(MoveController()),
        "reservation": Versioned(ReservationController()),
    }

    @pecan.expose("json")
    @described.operation(Pins, refuses=(exception.Forbidden,), filters=FILTERS, sort_keys=SORT_KEYS)
    def get_all(self) -> dict[str, Any]:
        """List the pins that the caller may see."""
        request = pecan.request
        page = query.page(request, FILTERS, SORT_KEYS)
        where = visible(request.context, rules.GET, rules.ALL_PROJECTS, models.Pin.project_id)
        where &= models.Pin.deleted.is_(False)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Pin.instance_uuid, page, where)
            pins = [objects.Pin.from_row(row) for row in rows]
        answer: dict[str, Any] = {"pins": [show(pin) for pin in pins]}
        if more:
            answer["next"] = query.next_link(request, page, pins[-1].instance_uuid)
        return answer

    @pecan.expose("json")
    @described.operation(Pin, refuses=(exception.PinNotFound,))
    def get_one(self, instance_uuid: str) -> Any:
        """Show a pin."""
        return show(load_pin(pecan.request.context, rules.GET, instance_uuid))

    @pecan.expose("json")
    @described.operation(
        Pin,
        takes={"1.0": NewPin, "1.2": PlannedPin},
        status=201,
        refuses=(
            *(exception.InstanceNotFound, exception.PinExists, exception.NovaUnavailable),
            *_NOT_GRANTED,
        ),
    )
    def post(self) -> Any:
        """Pin an instance."""
        request = pecan.request
        planned = request.version >= Version(1, 2)
        asked = body.read(request, PlannedPin if planned else NewPin)
        wish = asked.wish()
        not_one = exception.BadRequest.field("instance_uuid", "must be a UUID")
        uuid = canonical(asked.instance_uuid, otherwise=not_one)
        granted.check(request.context, wish)
        wait = body.has(asked, "project_id") or (planned and _plans_own(request))
        owner = future_owner(request.context, asked, uuid, wait, request.nova)
        pin = objects.Pin(instance_uuid=uuid, wish=wish, **owner)
        stored = create_pin(request, pin, wait, **_target(asked))
        pecan.response.status = 201
        pecan.response.location = links.to(request, "pins", uuid)[0].href
        return show(stored)

    @pecan.expose("json")
    @described.operation(
        Pin,
        takes={"1.0": ChangedPin},
        refuses=(exception.PinNotFound, exception.StaleGeneration, *_NOT_GRANTED),
    )
    def put(self, instance_uuid: str) -> Any:
        """Replace the wish of a pin."""
        request = pecan.request
        pin = load_pin(request.context, rules.UPDATE, instance_uuid)
        asked = body.read(request, ChangedPin)
        generation = None if asked.generation is wtypes.Unset else asked.generation
        wish = asked.wish()
        granted.check(request.context, wish)
        return show(
            request.conductor.update_pin(
                request.context, pin.instance_uuid, pin.project_id, wish, generation
            )
        )

    @pecan.expose("json")
    @described.operation(
        status=204,
        refuses=(exception.PinNotFound, exception.Forbidden, exception.ControlPlaneUnavailable),
    )
    def delete(self, instance_uuid: str) -> None:
        """Delete a pin and give its instance back the CPUs it may use without."""
        request = pecan.request
        pin = load_pin(request.context, rules.DELETE, instance_uuid)
        request.conductor.delete_pin(request.context, pin.instance_uuid, pin.project_id)
        pecan.response.status = 204


def show(pin: objects.Pin) -> Any:
    """Return a pin as JSON's types."""
    return wsme_json.tojson(
        Pin,
        Pin(
            instance_uuid=pin.instance_uuid,
            project_id=pin.project_id,
            user_id=pin.user_id,
            host=pin.host,
            generation=pin.generation,
            status=pin.status,
            reason=pin.reason,
            placement=placement(pin.placement),
            **_move(pin),
            created_at=links.instant(pin.created_at),
            updated_at=links.instant(pin.updated_at),
            links=links.to(pecan.request, "pins", pin.instance_uuid),
            **_wish(pin.wish),
        ),
    )


def placement(placed: Any) -> Placement | None:
    """Return a topology.placement.Placement (or None) as it is shown."""
    return None if placed is None else Placement(**_memory(placed.to_dict()))


def _require_version(asked: Any, prefix: str) -> None:
    for name, version in asked._since.items():
        if body.has(asked, name) and pecan.request.version < version:
            raise exception.BadRequest.field(prefix + name, f"is there from version {version} on")


def _plans_own(request: Any) -> bool:
    """Whether the caller may pin servers of its own that are yet to come: if Nova can be asked."""
    if request.nova is None:
        return False
    return not policy.allows(request.context, rules.CREATE_FOR_OTHERS)


def _target(asked: NewPin) -> dict[str, Any]:
    """Return the host on which to reserve, if one is named, and for what size."""
    given = [name for name in ("host", "size") if body.has(asked, name)]
    if not given:
        return {}
    policy.authorize(pecan.request.context, rules.RESERVE)
    for name in {"host", "size"}.difference(given):
        raise exception.BadRequest.field(name, f"belongs to {given[0]}, and is missing")
    return {"host": asked.host, "size": asked.size.checked()}


def _move(pin: objects.Pin) -> dict[str, Any]:
    return {"move": shown(pin.progress)} if pecan.request.version >= _MOVES else {}


def _wish(wish: Wish) -> dict[str, Any]:
    return _memory(wish.to_dict())


def _memory(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"memory": Memory(**data["memory"])} if "memory" in data else data


def _event(event: objects.PinEvent) -> dict[str, Any]:
    shown = {
        "at": links.instant(event.at),
        "event": event.event,
        "generation": event.generation,
        "host": event.host,
        "reason": event.reason,
        "user_id": event.user_id,
        "request_id": event.request_id,
        "wish": None if event.wish is None else event.wish.to_dict(),
    }
    if pecan.request.version >= CAUSES:
        shown["cause"] = event.cause
    if pecan.request.version >= _MOVES:
        shown["receipt"] = event.receipt and event.receipt.to_dict()
    return shown
