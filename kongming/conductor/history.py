# SPDX-License-Identifier: Apache-2.0
"""Lines of a pin's history: stored with the transaction they tell of, and sent after it."""

from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils
from sqlalchemy import orm

from kongming.conductor import notices
from kongming.context import RequestContext
from kongming.db import models, pin_events
from kongming.topology.relocation import Receipt
from kongming.topology.wish import Wish

LOG = logging.getLogger(__name__)


def line(
    context: RequestContext,
    pin: models.Pin,
    event: str,
    cause: str | None = None,
    receipt: Receipt | None = None,
    former: Wish | None = None,
) -> dict[str, Any]:
    """Return the row that says what just happened to a pin, and log it.

    What is told of it, but not stored: ``former`` and who it was that asked.

    :param cause: why parts were elsewhere, see `kongming.objects.report.Cause`
    :param receipt: what memory was moved
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
        "former": former,
        "initiator_project_id": context.project_id,
        "initiator_roles": sorted(context.roles),
    }


def add(session: orm.Session, context: RequestContext, rows: list[dict[str, Any]]) -> None:
    """Store lines, and notify of them when the transaction is committed."""
    pin_events.add(session, rows)
    notices.send_after_commit(session, context, rows)
