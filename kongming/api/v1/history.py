# SPDX-License-Identifier: Apache-2.0
"""``/v1/pins/{instance_uuid}/history``: what happened to a pin, and who or what asked."""

from typing import Any, ClassVar

import pecan
from wsme import types as wtypes

from kongming import exception, objects, policy
from kongming.api import described, links
from kongming.api.loaded import canonical
from kongming.api.routes import Document
from kongming.api.v1.moves import MOVES, Receipt
from kongming.api.v1.wishes import CALENDARS, CAUSES, TEMPLATES, WishBody
from kongming.db import engine, pin_events
from kongming.policies import pins as rules


class By(wtypes.Base):
    """Who or what asked: ``kind`` is user, metadata, hint, rollout, calendar or heal.

    A heal has the ``cause`` of the drift, a rollout its ``id``, a calendar its id and name with
    the window from ``start`` to ``end``, and whether what it asked for has ``ended``. Where a
    template is followed, its name, version and, if it has roles, role are there.
    """

    kind = wtypes.wsattr(wtypes.text, mandatory=True)
    user_id = wtypes.text
    cause = wtypes.text
    id = wtypes.text
    template = wtypes.text
    role = wtypes.text
    version = int
    name = wtypes.text
    start = wtypes.text
    end = wtypes.text
    ended = bool


#: What of that came with calendars.
_OF_CALENDARS = ("name", "start", "end", "ended")


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
    by = By


class History(wtypes.Base):
    """The life of a pin."""

    history = wtypes.wsattr(wtypes.ArrayType(Event), mandatory=True)


#: Lines in an answer: each may have a wish as large as a body, so that a page would be too much.
_MOST = 200


class HistoryController(Document):
    """``/v1/pins/{instance_uuid}/history``"""

    @pecan.expose("json")
    @described.operation(History, refuses=(exception.PinNotFound,))
    def show(self, instance_uuid: str) -> dict[str, Any]:
        """Return the life of a pin, oldest event first: the newest 200 events; it outlives it."""
        missing = exception.PinNotFound(instance_uuid=instance_uuid[:64])
        uuid = canonical(instance_uuid, missing)
        context = pecan.request.context
        with engine.reader() as session:
            # a pin may have been another project's before, whose lines must not crowd out others
            visible = [
                project_id
                for project_id in pin_events.owners(session, uuid)
                if policy.allows(
                    context, rules.GET, objects.PinEvent(project_id=project_id, user_id=None)
                )
            ]
            if not visible:
                raise missing
            rows = pin_events.of_pin(session, uuid, visible, _MOST)
            return {"history": [_event(objects.PinEvent.from_row(row)) for row in rows]}


def _by(event: objects.PinEvent) -> dict[str, Any] | None:
    """Return who or what asked; lines from before that was stored tell a user or a cause."""
    if event.asked_by:
        later = () if pecan.request.version >= CALENDARS else _OF_CALENDARS
        return {name: value for name, value in event.asked_by.items() if name not in later}
    if event.user_id is not None:
        return {"kind": "user", "user_id": event.user_id}
    return None if event.cause is None else {"kind": "heal", "cause": event.cause}


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
    if pecan.request.version >= MOVES:
        shown["receipt"] = event.receipt and event.receipt.to_dict()
    if pecan.request.version >= TEMPLATES:
        shown["by"] = _by(event)
    return shown
