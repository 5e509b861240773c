# SPDX-License-Identifier: Apache-2.0
"""``/v1/pins/{instance_uuid}/reservation``: what is kept where an instance is expected."""

import datetime
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes

from kongming import exception, objects, policy
from kongming.api import body, described, links
from kongming.api.loaded import load_pin
from kongming.api.microversion import serves
from kongming.api.routes import Document
from kongming.api.v1.placement import Placement
from kongming.api.v1.size import Size
from kongming.db import engine, models, reservations
from kongming.policies import pins as rules


class Reservation(wtypes.Base):
    """Body of a PUT."""

    host = wtypes.wsattr(body.Identifier(), mandatory=True)
    size = wtypes.wsattr(Size, mandatory=True)


class Reserved(wtypes.Base):
    """What is kept; null for ``expires_at`` where the instance is already."""

    _places: ClassVar[dict[str, Any]] = {"host": "", "placement": None}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    host = wtypes.wsattr(wtypes.text, mandatory=True)
    placement = Placement
    expires_at = wtypes.text


@serves("1.2")
class ReservationController(Document):
    """``/v1/pins/{instance_uuid}/reservation``"""

    @pecan.expose("json")
    @described.operation(
        Reserved,
        refuses=(exception.Forbidden, exception.PinNotFound, exception.ReservationNotFound),
    )
    def show(self, instance_uuid: str) -> dict[str, Any]:
        """Show what is kept for an instance."""
        context = pecan.request.context
        pin = load_pin(context, rules.GET, instance_uuid)
        policy.authorize(context, rules.RESERVE)
        found = _shown(pin.instance_uuid)
        if found is None:
            raise exception.ReservationNotFound(instance_uuid=pin.instance_uuid)
        return found

    @pecan.expose("json")
    @described.operation(
        Reserved,
        takes={"1.2": Reservation},
        refuses=(
            *(exception.PinNotFound, exception.Forbidden, exception.ControlPlaneUnavailable),
            *exception.NOT_GRANTED,
        ),
    )
    def put(self, instance_uuid: str) -> dict[str, Any]:
        """Keep what a pin needs on the host where its instance is expected."""
        request = pecan.request
        pin = load_pin(request.context, rules.GET, instance_uuid)
        policy.authorize(request.context, rules.RESERVE)
        asked = body.read(request, Reservation)
        stored = request.conductor.reserve(
            request.context,
            pin.instance_uuid,
            pin.project_id,
            asked.host,
            asked.size.checked(),
        )
        # where it is already it has its place, which does not expire
        return _shown(pin.instance_uuid) or _answer(stored, None)


def _shown(uuid: str) -> dict[str, Any] | None:
    with engine.reader() as session:
        found = reservations.get(session, uuid)
        return None if found is None else _answer(found, found.expires_at)


def _answer(
    place: models.Reservation | objects.Pin, expires_at: datetime.datetime | None
) -> dict[str, Any]:
    return {
        "instance_uuid": place.instance_uuid,
        "host": place.host,
        "placement": place.placement and place.placement.to_dict(),
        "expires_at": links.instant(expires_at),
    }
