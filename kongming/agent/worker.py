# SPDX-License-Identifier: Apache-2.0
"""The threads of an agent that bring instances to their placements; they wait for nobody."""

import collections
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable

from oslo_log import log as logging

from kongming import objects
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.reconciler import Done, Reconciler
from kongming.agent.store import Store
from kongming.hypervisor.driver import Driver, Event, InstanceGone, NotNow

LOG = logging.getLogger(__name__)

#: How many instances are worked on at once. libvirtd takes five requests of a connection at a
#: time: one is left for the reports even if the QEMUs of so many instances answer nothing.
MOST_AT_ONCE = 4
#: Of how many instances the memory moves at once. They do not count among the others: a move may
#: take minutes, and asks libvirt but when the threads cross, and at its end.
MOST_MOVES = 4
_WORD_SECONDS = 5.0
_STOP_GRACE = 5.0
_LIFE = {Event.STARTED, Event.ARRIVED, Event.STOPPED}


@dataclasses.dataclass
class _Due:
    """What is to be done for an instance: also retry what failed? What happened to it?"""

    retry: bool = False
    events: set[Event] = dataclasses.field(default_factory=set)


class Worker:
    """Brings instances to their placements, each in one thread at a time.

    What is asked for while an instance is worked on, or waits for its turn, is done once.

    :param tell: is called in one of the threads with what became of one instance, if anything did
    :param moves: is called in one of the threads with the progress of memory that moves
    """

    def __init__(
        self,
        host: str,
        driver: Driver,
        store: Store,
        limits: Limits,
        tell: Callable[[list[objects.Outcome]], None],
        moves: Callable[[objects.Moving], None],
        rules: Rules,
    ) -> None:
        self._host = host
        self._store = store
        self._reconciler = Reconciler(driver, store, limits, rules, moves, self._await_turn)
        self._tell = tell
        self._tell_moves = moves
        # guards all below
        lock = threading.RLock()
        # notified when there is something to do, and when a move has ended
        self._news, self._turn = threading.Condition(lock), threading.Condition(lock)
        self._stopping = False
        self._due: collections.OrderedDict[str, _Due] = collections.OrderedDict()
        self._later: dict[str, float] = {}
        self._busy: set[str] = set()
        # those of them whose memory moves, or waits for its turn, in order
        self._moving: dict[str, None] = {}
        self._threads: list[threading.Thread] = []
        self._idle = 0

    def start(self) -> None:
        """Begin with what the file holds."""
        self.sweep()

    def stop(self) -> None:
        """Finish the steps under way, but do not wait for a driver that does not answer."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
            self._turn.notify_all()
        end = time.monotonic() + _STOP_GRACE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def bring(self, uuids: Iterable[str]) -> None:
        """Bring some instances to their placements, unless their present pin failed."""
        with self._news:
            for uuid in uuids:
                self._ask(uuid)
            # what waits for its turn may be wanted no more
            self._turn.notify_all()

    def sweep(self) -> None:
        """Bring all instances to their placements, also those that failed."""
        with self._news:
            for held in self._store.all():
                self._ask(held.instance_uuid).retry = True

    def event(self, uuid: str, what: Event) -> None:
        """Take an event of a driver; see `Driver.listen`."""
        if what is Event.MISSED:
            self.sweep()
            return
        with self._news:
            self._ask(uuid).events.add(what)
            # one that was started anew has other threads to be placed, and perhaps nothing to move
            self._turn.notify_all()
            # one that just started runs anywhere, and comes before those that a sweep looks at
            self._due.move_to_end(uuid, last=False)

    def _ask(self, uuid: str) -> _Due:
        due = self._due.setdefault(uuid, _Due())
        # the pins of one that is busy raise an event each, and would wake others in vain
        if uuid not in self._busy:
            self._wake()
        return due

    def _wake(self) -> None:
        """Have a thread look for something to do; make another one if that is too few."""
        working = len(self._threads) - len(self._moving)
        enough = len(self._due) <= self._idle or working >= MOST_AT_ONCE
        if not (enough or self._stopping):
            name = f"worker-{self._host}-{len(self._threads)}"
            # a driver that does not answer is not waited for; the thread is a daemon
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # whoever has one already takes it, or the next sweep asks again
                LOG.error("Host %s: some instances have to wait: %s", self._host, error)
            else:
                self._threads.append(thread)
        self._news.notify()

    def _await_turn(self, moving: objects.Moving) -> bool:
        """Let others have the place of one whose memory moves, and return when it may begin.

        :returns: whether it had to wait
        :raises NotNow: the agent ends before it is its turn
        :raises InstanceGone: the instance does, or starts anew
        """
        uuid = moving.instance_uuid
        with self._news:
            self._moving[uuid] = None
            self._wake()

            def is_its_turn() -> bool:
                return (
                    self._stopping
                    or uuid in itertools.islice(self._moving, MOST_MOVES)
                    or self._is_another(uuid)
                    or not self._is_wanted(moving)
                )

            waits = not is_its_turn()
            while not is_its_turn():
                # who has not heard of it cannot call it off, and a report may be lost
                self._tell_moves(moving)
                self._turn.wait_for(is_its_turn, _WORD_SECONDS)
            if self._stopping:
                raise NotNow("the agent ends")
            if self._is_another(uuid):
                raise InstanceGone(f"instance {uuid} ended before it was its turn")
            return waits

    def _is_another(self, uuid: str) -> bool:
        """Whether the process that waits for its turn has ended, perhaps for another one."""
        due = self._due.get(uuid)
        return due is not None and not due.events.isdisjoint(_LIFE)

    def _is_wanted(self, moving: objects.Moving) -> bool:
        """Whether nobody has called a move off, or changed the wish; else it is told so itself."""
        held = self._store.get(moving.instance_uuid)
        return (
            held is not None
            and (held.generation, held.arrival) == (moving.generation, moving.arrival)
            and not held.cancelled
        )

    def _take(self) -> tuple[str, _Due] | None:
        now = time.monotonic()
        for uuid in [uuid for uuid, when in self._later.items() if when <= now]:
            del self._later[uuid]
            self._due.setdefault(uuid, _Due())
        if len(self._busy) - len(self._moving) >= MOST_AT_ONCE:
            return None
        for uuid in self._due:
            if uuid not in self._busy:
                self._busy.add(uuid)
                return uuid, self._due.pop(uuid)
        return None

    def _work(self) -> None:
        while True:
            with self._news:
                while True:
                    if self._stopping:
                        return
                    if taken := self._take():
                        uuid, due = taken
                        break
                    next_time = min(self._later.values(), default=None)
                    self._idle += 1
                    self._news.wait(next_time and max(0.0, next_time - time.monotonic()))
                    self._idle -= 1
            done = self._bring(uuid, due)
            try:
                self._tell(done.outcomes)
            except Exception:
                LOG.exception("Instance %s: nobody took note of what became of its pin", uuid)
            with self._news:
                self._busy.remove(uuid)
                self._moving.pop(uuid, None)
                self._turn.notify_all()
                self._later.pop(uuid, None)
                if done.again is not None:
                    self._later[uuid] = time.monotonic() + done.again
                # this thread may take something else now
                self._news.notify()

    def _bring(self, uuid: str, due: _Due) -> Done:
        try:
            return self._reconciler.bring(uuid, due.retry, due.events)
        except Exception as error:
            # the other instances must not pay for a mistake with this one
            LOG.exception("Instance %s: reconciling failed; tried again with the next sweep", uuid)
            return Done(self._reconciler.failed(uuid, f"the agent failed: {error!r}"[:1000]))
