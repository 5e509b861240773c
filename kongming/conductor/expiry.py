# SPDX-License-Identifier: Apache-2.0
"""Reservations whose instance did not come end in time."""

import threading
from collections.abc import Callable

from oslo_db import exception as db_exception
from oslo_log import log as logging
from oslo_utils import timeutils

from kongming.conductor import reservations
from kongming.context import RequestContext, service_context
from kongming.db import engine
from kongming.db import reservations as db_reservations

LOG = logging.getLogger(__name__)

#: Seconds between looks. Every conductor looks; whoever locks the host first acts.
_INTERVAL = 5.0


class Expiry:
    """A thread that ends reservations.

    :param tell: is called with a context and the name of a host whose agent must hear of it
    """

    def __init__(self, tell: Callable[[RequestContext, str | None], None]) -> None:
        self._tell = tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expiry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the transaction under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            try:
                self._look()
            except db_exception.DBError as error:
                LOG.warning("Expired reservations could not be ended, tried again: %s", error)

    def _look(self) -> None:
        context, now = service_context(), timeutils.utcnow()
        with engine.reader() as session:
            uuids = db_reservations.expired(session, now)
        for uuid in uuids:
            if self._stopping.is_set():
                return
            host = reservations.expire(context, uuid, now)
            if host is not None:
                LOG.info("The reservation of instance %s on host %s expired", uuid, host)
                self._tell(context, host)
