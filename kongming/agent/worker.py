# SPDX-License-Identifier: Apache-2.0
"""The thread of an agent that brings instances to their placements; it waits for nobody."""

import threading
from collections.abc import Callable, Iterable

from oslo_log import log as logging

from kongming import objects
from kongming.agent.limits import Limits
from kongming.agent.reconciler import Reconciler
from kongming.agent.store import Store
from kongming.hypervisor.driver import Driver, Event

LOG = logging.getLogger(__name__)

_STOP_GRACE = 5.0


class Worker:
    """Does what it is asked for in its thread, and begins with a sweep.

    :param tell: is called in that thread with what became of one instance
    """

    def __init__(
        self,
        host: str,
        driver: Driver,
        store: Store,
        limits: Limits,
        tell: Callable[[list[objects.Outcome]], None],
    ) -> None:
        self._store = store
        self._reconciler = Reconciler(driver, store, limits)
        self._tell = tell
        self._stopping = False
        # guards all above and below; notified when there is something to do
        self._news = threading.Condition()
        self._to_bring: set[str] = set()
        self._sweep_due = True
        # a driver that does not answer is not waited for; the thread is a daemon
        self._thread = threading.Thread(target=self._work, name=f"worker-{host}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step under way."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self._thread.join(_STOP_GRACE)

    def bring(self, uuids: Iterable[str]) -> None:
        """Bring some instances to their placements, unless their present pin failed."""
        with self._news:
            self._to_bring.update(uuids)
            self._news.notify_all()

    def sweep(self) -> None:
        """Bring all instances to their placements, also those that failed."""
        with self._news:
            self._sweep_due = True
            self._news.notify_all()

    def event(self, uuid: str, what: Event) -> None:
        """Take an event of a driver; see `Driver.listen`."""
        if uuid:
            self.bring([uuid])
        else:
            self.sweep()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stopping or self._to_bring or self._sweep_due)
                if self._stopping:
                    return
                sweep, self._sweep_due = self._sweep_due, False
                uuids, self._to_bring = self._to_bring, set()
            if sweep:
                uuids |= {held.instance_uuid for held in self._store.all()}
            for uuid in uuids:
                outcomes = self._bring(uuid, retry=sweep)
                if outcomes:
                    self._tell(outcomes)

    def _bring(self, uuid: str, retry: bool) -> list[objects.Outcome]:
        try:
            return self._reconciler.bring(uuid, retry)
        except Exception:
            # the other instances must not pay for a mistake with this one
            LOG.exception("Instance %s: reconciling failed; tried again with the next sweep", uuid)
            return []
