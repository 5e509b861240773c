# SPDX-License-Identifier: Apache-2.0
"""Pins have what their calendars say of the present time."""

import datetime
import threading
from collections.abc import Callable, Hashable

from oslo_db import exception as db_exception
from oslo_log import log as logging

from kongming.conductor import windows
from kongming.context import RequestContext, service_context
from kongming.db import engine
from kongming.timetable.rule import RuleError

LOG = logging.getLogger(__name__)

#: Seconds between looks. Every conductor looks; whoever locks the pin first acts.
_INTERVAL = 5.0
#: How long what did not fit is left alone while nothing changes on its host.
_PATIENCE = datetime.timedelta(seconds=60)


class Timekeeper:
    """A thread that looks what holds now. It does not matter what it missed.

    :param tell: is called with a context and the name of a host whose agent must hear of it
    :param now: returns the present time, in UTC
    """

    def __init__(
        self,
        tell: Callable[[RequestContext, str | None], None],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._tell = tell
        self._now = now
        # what could not be brought to what it should be, in what state all was then, and when
        self._in_vain: dict[str, tuple[Hashable, datetime.datetime]] = {}
        self._stopping = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the transaction under way."""
        self._stopping = True
        self.wake()
        self._thread.join()

    def wake(self) -> None:
        """Look at once: a calendar or a pin changed."""
        self._woken.set()

    def look(self) -> None:
        """Bring every pin to what its calendars say of now."""
        instant = self._now()
        with engine.reader() as session:
            due = windows.due(session, instant)
        self._in_vain = {
            uuid: (state, at)
            for uuid, (state, at) in self._in_vain.items()
            if due.get(uuid) == state and at <= instant < at + _PATIENCE
        }
        for uuid in due.keys() - self._in_vain.keys():
            if self._stopping:
                return
            host = self._turn(uuid)
            if host is None:
                self._in_vain[uuid] = (due[uuid], instant)
            self._tell(service_context(), host)

    def _turn(self, uuid: str) -> str | None:
        try:
            # many pins take their time, in which windows end and others see to it
            return windows.turn(service_context(), uuid, self._now())
        except (db_exception.DBConnectionError, RuleError):
            raise
        except Exception:
            # that one pin must not keep all others from what their calendars say
            LOG.exception("Pin of instance %s could not be brought to its calendars", uuid)
            return None

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except (db_exception.DBError, RuleError) as error:
                LOG.warning("Calendars could not be followed, tried again: %s", error)
            except Exception:
                LOG.exception("Calendars could not be followed, tried again")
            self._woken.wait(_INTERVAL)
            self._woken.clear()
