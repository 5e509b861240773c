# SPDX-License-Identifier: Apache-2.0
"""Lines of a pin's history: stored with the transaction they tell of, and sent after it."""

from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils
from sqlalchemy import orm

from kongming.conductor import notices
from kongming.context import RequestContext
from kongming.db import models, pin_events, templates
from kongming.topology import answer
from kongming.topology.relocation import Receipt
from kongming.topology.wish import Wish

LOG = logging.getLogger(__name__)

#: Characters of a reason: a column takes so many bytes, and refuses the whole report with it.
_MOST_CHARACTERS = 10_000


def short(reason: str | None) -> str | None:
    """Return as much of a reason as is stored; what names many pCPUs or instances is cut."""
    return None if reason is None else answer.shortened(reason, _MOST_CHARACTERS)


def line(
    context: RequestContext,
    pin: models.Pin,
    event: str,
    cause: str | None = None,
    receipt: Receipt | None = None,
    asked_by: dict[str, Any] | None = None,
    former: Wish | None = None,
) -> dict[str, Any]:
    """Return the row that says what just happened to a pin, and log it.

    What is told of it, but not stored: ``former`` and who it was that asked.

    :param cause: why parts were elsewhere, see `kongming.objects.report.Cause`
    :param receipt: what memory was moved
    :param asked_by: who or what asked, see `asked_by`, where that is more than a user
    :param former: the wish before it was changed or deleted
    """
    LOG.info(
        "Pin of instance %s %s by user %s of project %s: generation %s, status %s, host %s,"
        " reason: %s, cause: %s",
        pin.instance_uuid,
        event,
        context.user_id,
        context.project_id,
        pin.generation,
        pin.status,
        pin.host,
        pin.reason,
        cause,
    )
    return {
        "instance_uuid": pin.instance_uuid,
        "project_id": pin.project_id,
        "at": timeutils.utcnow(),
        "event": event,
        "generation": pin.generation,
        "host": pin.host,
        "reason": pin.reason,
        "user_id": context.user_id,
        "request_id": context.request_id,
        "wish": pin.wish if event in ("created", "changed") else None,
        "cause": cause,
        "receipt": receipt,
        "asked_by": asked_by or _usual(context, cause),
        "former": former,
        "initiator_project_id": context.project_id,
        "initiator_roles": sorted(context.roles),
    }


def asked_by(
    session: orm.Session, context: RequestContext, pin: models.Pin, origin: str | None
) -> dict[str, Any]:
    """Return who or what asked for the present wish of a pin, and the template that it follows."""
    told = {"kind": origin} if origin else _usual(context, None)
    if pin.template_id is not None:
        told |= {
            "template": templates.names(session, [pin.template_id])[pin.template_id],
            "role": pin.template_role,
            "version": pin.template_version,
        }
    return told


def _usual(context: RequestContext, cause: str | None) -> dict[str, Any]:
    """Return who asked, if it was a user or a drift; nothing for what just happened."""
    if context.user_id is not None:
        return {"kind": "user", "user_id": context.user_id}
    return {} if cause is None else {"kind": "heal", "cause": cause}


def add(session: orm.Session, context: RequestContext, rows: list[dict[str, Any]]) -> None:
    """Store lines, and notify of them when the transaction is committed."""
    pin_events.add(session, rows)
    notices.send_after_commit(session, context, rows)
