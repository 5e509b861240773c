# SPDX-License-Identifier: Apache-2.0
"""``/v1/pins``: the wishes, one per instance."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import body, described, granted, links, query
from kongming.api.loaded import canonical, create_pin, future_owner, load_pin, visible
from kongming.api.microversion import Version, Versioned
from kongming.api.routes import Collection
from kongming.api.v1.history import HistoryController
from kongming.api.v1.moves import MOVES, Move, MoveController, shown
from kongming.api.v1.placement import Placement, Raw
from kongming.api.v1.reservations import ReservationController
from kongming.api.v1.schedules import Of, ScheduleController, Window
from kongming.api.v1.size import Size
from kongming.api.v1.wishes import (
    CALENDARS,
    TEMPLATES,
    FollowingBody,
    WishBody,
    with_memory,
)
from kongming.db import engine, models, templates
from kongming.policies import pins as rules
from kongming.topology import grammar

FILTERS = ("host", "project_id", "status", "user_id")
SORT_KEYS = ("created_at", "generation", "instance_uuid", "status")


class NewPin(FollowingBody):
    """Body of a POST."""

    _grammar = FollowingBody._grammar | {"instance_uuid": grammar.UUID}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)


class PlannedPin(NewPin):
    """Body of a POST for an instance that may be yet to come."""

    project_id = body.Identifier()
    user_id = body.Identifier()
    host = body.Identifier()
    size = Size


class ChangedPin(FollowingBody):
    """Body of a PUT: replaces the whole wish."""

    generation = int


class Followed(wtypes.Base):
    """The template that a pin follows, and the version of it that is in force for the pin."""

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.wsattr(wtypes.text, mandatory=True)
    role = wtypes.text
    version = wtypes.wsattr(int, mandatory=True)


class InForce(Of):
    """The calendar that has its way with a pin at present, and the window of it."""

    window = wtypes.wsattr(Window, mandatory=True)


class Pin(WishBody):
    """A pin as it is shown, with the wish that is in force.

    ``overrides`` are the fields that take the place of those of the template; without one, what
    is asked for while a calendar has its way.
    """

    _places = WishBody._places | {"host": None, "placement": None}
    _words: ClassVar[dict[str, str]] = {"reason": "status"}
    _read_as: ClassVar[dict[str, Any]] = {"overrides": WishBody}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.text
    user_id = wtypes.text
    host = wtypes.text
    generation = wtypes.wsattr(int, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    reason = wtypes.text
    placement = Placement
    move = Move
    template = Followed
    overrides = Raw()
    calendar = InForce
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Pins(wtypes.Base):
    """A page of pins."""

    pins = wtypes.wsattr(wtypes.ArrayType(Pin), mandatory=True)
    next = wtypes.text


#: What a wish may be refused with.
_NOT_GRANTED = (*exception.NOT_GRANTED, exception.Forbidden, exception.ControlPlaneUnavailable)


class PinsController(Collection):
    """``/v1/pins``"""

    children = {
        "history": HistoryController(),
        "move": Versioned(MoveController()),
        "reservation": Versioned(ReservationController()),
        "schedule": Versioned(ScheduleController()),
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
        answer: dict[str, Any] = {"pins": show(pins)}
        if more:
            answer["next"] = query.next_link(request, page, pins[-1].instance_uuid)
        return answer

    @pecan.expose("json")
    @described.operation(Pin, refuses=(exception.PinNotFound,))
    def get_one(self, instance_uuid: str) -> Any:
        """Show a pin."""
        return show([load_pin(pecan.request.context, rules.GET, instance_uuid)])[0]

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
        not_one = exception.BadRequest.field("instance_uuid", "must be a UUID")
        uuid = canonical(asked.instance_uuid, otherwise=not_one)
        wait = body.has(asked, "project_id") or (planned and _plans_own(request))
        # what is asked for in the body alone may be refused before anything is looked at
        granted.check(request.context, asked.own())
        owner = future_owner(request.context, asked, uuid, wait, request.nova)
        wanted, _ = asked.asked(owner["project_id"])
        pin = objects.Pin(
            instance_uuid=uuid,
            **owner,
            asked=wanted.fields,
            template_id=wanted.template_id,
            template_role=wanted.role,
        )
        stored = create_pin(request, pin, wait, **_target(asked))
        pecan.response.status = 201
        pecan.response.location = links.to(request, "pins", uuid)[0].href
        return show([stored])[0]

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
        wanted, _ = asked.asked(pin.project_id)
        granted.check(request.context, asked.own())
        stored = request.conductor.update_pin(
            request.context, pin.instance_uuid, pin.project_id, wanted, generation
        )
        return show([stored])[0]

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


def show(pins: Sequence[objects.Pin]) -> list[Any]:
    """Return pins as JSON's types."""
    followed = {pin.template_id for pin in pins if pin.template_id is not None}
    names: dict[str, str] = {}
    if followed and pecan.request.version >= TEMPLATES:
        with engine.reader() as session:
            names = templates.names(session, followed)
    return [_show(pin, names) for pin in pins]


def _show(pin: objects.Pin, names: Mapping[str, str]) -> Any:
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
            **_template(pin, names),
            **_calendar(pin),
            created_at=links.instant(pin.created_at),
            updated_at=links.instant(pin.updated_at),
            links=links.to(pecan.request, "pins", pin.instance_uuid),
            **with_memory(pin.wish.to_dict()),
        ),
    )


def placement(placed: Any) -> Placement | None:
    """Return a topology.placement.Placement (or None) as it is shown."""
    return None if placed is None else Placement(**with_memory(placed.to_dict()))


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
    return {"move": shown(pin.progress)} if pecan.request.version >= MOVES else {}


def _template(pin: objects.Pin, names: Mapping[str, str]) -> dict[str, Any]:
    if pecan.request.version < TEMPLATES:
        return {}
    if pin.template_id not in names:
        laid_over = pin.overlay is not None and pecan.request.version >= CALENDARS
        return {"template": None, "overrides": pin.asked if laid_over else None}
    followed = Followed(
        id=pin.template_id,
        name=names[pin.template_id],
        role=pin.template_role,
        version=pin.template_version,
    )
    return {"template": followed, "overrides": pin.asked}


def _calendar(pin: objects.Pin) -> dict[str, Any]:
    if pecan.request.version < CALENDARS:
        return {}
    overlay = pin.overlay
    if overlay is None:
        return {"calendar": None}
    window = Window.of(overlay.window)
    return {"calendar": InForce(id=overlay.calendar_id, name=overlay.name, window=window)}
