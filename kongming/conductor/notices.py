# SPDX-License-Identifier: Apache-2.0
"""KongMing's own notifications: each line of a pin's history, once it is stored."""

import queue
import threading
import types
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from sqlalchemy import event, orm

from kongming import objects, rpc
from kongming.context import RequestContext
from kongming.objects.pin import DRIFTED, FAILED
from kongming.objects.report import USUAL_CAUSES

LOG = logging.getLogger(__name__)

#: Notifications that wait for the broker at most; more are dropped.
_MOST = 10_000
_STOP_GRACE = 3.0

_Notice = tuple[RequestContext, dict[str, Any]]


class _Sender:
    """A thread that sends what is put; a broker that is away holds nobody else up."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._transport = rpc.notification_transport(conf)
        self._notifier = rpc.notifier(self._transport, f"kongming-conductor:{conf.host}")
        self._waiting: queue.Queue[_Notice | None] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def put(self, context: RequestContext, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            try:
                self._waiting.put_nowait((context, row))
            except queue.Full:
                LOG.warning("Pin of instance %(instance_uuid)s: notice of %(event)s dropped", row)

    def stop(self) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            LOG.warning("%s notices were not sent", _MOST)
        self._thread.join(_STOP_GRACE)
        rpc.disconnect(self._transport)

    def _run(self) -> None:
        while (notice := self._waiting.get()) is not None:
            context, row = notice
            failed = row["event"] == FAILED or (
                # what a restart or a migration undid is put back each time, and no error
                row["event"] == DRIFTED and row["cause"] not in USUAL_CAUSES
            )
            send = self._notifier.error if failed else self._notifier.info
            try:
                send(context, f"resource_pin.pin.{row['event']}", _payload(row))
            except Exception:
                LOG.exception("A notice could not be sent")


_sender: _Sender | None = None


def start(conf: cfg.ConfigOpts) -> None:
    """Send from now on, if ``[oslo_messaging_notifications] driver`` is set."""
    global _sender
    if any(conf.oslo_messaging_notifications.driver):
        _sender = _Sender(conf)


def stop() -> None:
    """Send what waits, but not for long, and leave the broker."""
    global _sender
    if _sender is not None:
        _sender.stop()
        _sender = None


def send_after_commit(
    session: orm.Session, context: RequestContext, rows: Sequence[dict[str, Any]]
) -> None:
    """Send rows of the history if and when the transaction of ``session`` is committed."""
    sender = _sender
    if sender is not None and rows:
        event.listen(session, "after_commit", lambda _: sender.put(context, rows), once=True)


def _payload(row: dict[str, Any]) -> dict[str, Any]:
    told = objects.PinEvent.from_row(types.SimpleNamespace(**row))
    told.obj_reset_changes()
    payload: dict[str, Any] = told.obj_to_primitive()
    return payload
