# SPDX-License-Identifier: Apache-2.0
"""Make the running instances match the placements that this agent holds."""

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable

from oslo_log import log as logging

from kongming import objects
from kongming.agent import causes, transaction
from kongming.agent.fights import Fight, Rules
from kongming.agent.limits import Limits, nonsense
from kongming.agent.store import Held, NotStored, Order, Store
from kongming.hypervisor.driver import Driver, Event, HypervisorError, InstanceGone, NotNow, Scope
from kongming.objects.report import CALLED_OFF, RELEASED, USUAL_CAUSES, Cause
from kongming.topology import cpuset, residency
from kongming.topology.placement import MEMORY, Part, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress, Residency

LOG = logging.getLogger(__name__)

#: Seconds between two words of how far memory has moved.
WORD_SECONDS = 1.0
#: Seconds between two attempts at an instance that is busy, and for how many of them that is
#: nothing to speak of.
FIRST_RETRY, LAST_RETRY, PATIENCE = 0.25, 5.0, 30.0


@dataclasses.dataclass(frozen=True)
class Done:
    """What happened, in order, and in how many seconds to look again, None: at the next event."""

    outcomes: list[objects.Outcome] = dataclasses.field(default_factory=list)
    again: float | None = None


@dataclasses.dataclass
class _Memory:
    """What is remembered of one order for an instance that runs.

    ``failed`` is why, if it did; ``drift`` is what was said of the one that is left alone;
    ``unfinished`` tells that some part may be on its way;
    ``parts`` are those that there were when all was last in place; ``astray``: pages are known to
    be elsewhere.
    """

    order: Order
    fight: Fight
    failed: str | None = None
    drift: str = ""
    unfinished: bool = False
    astray: bool = False
    parts: frozenset[Part] = frozenset()
    busy_since: float | None = None
    retry: float = FIRST_RETRY


class Reconciler:
    """Compares and repairs; used by many threads, but for one instance by one at a time.

    :param moves: is called with the progress of memory that moves
    :param turn: is called before memory moves, and returns when it may: whether others were first,
        perhaps for minutes
    :param clock: counts seconds
    """

    def __init__(
        self,
        driver: Driver,
        store: Store,
        limits: Limits,
        rules: Rules,
        moves: Callable[[objects.Moving], None],
        turn: Callable[[objects.Moving], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._store = store
        self._limits = limits
        self._rules = rules
        self._moves = moves
        self._turn = turn
        self._clock = clock
        self._memories: dict[str, _Memory] = {}
        # those that a migration brought, until they are in place
        self._arrived: set[str] = set()

    def bring(self, uuid: str, retry: bool, events: Collection[Event] = ()) -> Done:
        """Bring one instance to its placement and tell what happened.

        :param retry: also try what failed before; without, an instance whose present pin
            failed is left alone, for its own undoing raises events
        :param events: what happened to it since it was brought last
        """
        if Event.STOPPED in events:
            self._arrived.discard(uuid)
        if Event.ARRIVED in events:
            self._arrived.add(uuid)
        held = self._store.get(uuid)
        if held is None:
            self._memories.pop(uuid, None)
            return Done()
        memory = self._memories.get(uuid)
        if memory is None or memory.order != held.order:
            memory = self._memories[uuid] = _Memory(held.order, Fight(self._rules))
        outcomes: list[objects.Outcome] = []
        try:
            if memory.failed is not None and not retry:
                self._driver.scopes(uuid)  # gone? then its next start is a new chance
                return Done([self._outcome(held, "failed", memory.failed)])
            if retry:
                # to find no process for one that is off the kernel has to be asked about all
                self._driver.scopes(uuid)
            again = self._bring(held, memory, retry, outcomes)
            memory.busy_since, memory.retry = None, FIRST_RETRY
            return Done(outcomes, again)
        except InstanceGone:
            self._memories.pop(uuid, None)
            return Done()
        except NotNow as error:
            return Done(outcomes + self._postpone(held, memory, error), memory.retry)
        except (HypervisorError, transaction.NotApplied, NotStored) as error:
            LOG.error("Pin of instance %s is not applied: %s", uuid, error)
            memory.failed = str(error)
            return Done([*outcomes, self._outcome(held, "failed", str(error))])

    def failed(self, uuid: str, reason: str) -> list[objects.Outcome]:
        """Return the outcome for an instance that could not even be looked at."""
        held = self._store.get(uuid)
        return [] if held is None else [self._outcome(held, "failed", reason)]

    def _bring(
        self, held: Held, memory: _Memory, retry: bool, outcomes: list[objects.Outcome]
    ) -> float | None:
        """Add what happened to ``outcomes``; return in how many seconds to look again."""
        uuid = held.instance_uuid
        process = self._driver.process(uuid)
        if held.before is not None and held.before_of != process:
            # that process is gone, and with it what was to be brought back
            self._store.carried_out(uuid, held.arrival, held.in_force, held.given)
            held = dataclasses.replace(held, before=None, before_of=None)
        if held.placement and (mistakes := nonsense(held.placement)):
            raise transaction.NotApplied("; ".join(mistakes))
        target, given = self._target(held)
        live = self._driver.read(uuid, Scope.LIVE)
        different = target.live.differences(live)
        was_in_place = held.process is not None and not memory.unfinished and memory.failed is None
        # the definition is looked at with a sweep: nobody tells when it changes; nor of pages
        known = was_in_place and memory.parts and not memory.astray
        thorough = bool(different or not known or retry)
        resident = self._driver.memory(uuid) if thorough and MEMORY in target else None
        if resident is not None and not (different or transaction.is_at(resident, target)):
            different = [_strays(resident, target[MEMORY])]
        differences = ", ".join(different)
        moved_here = None
        if differences and was_in_place:
            cause = self._cause(held, target.live, live, memory)
            reason: str = differences
            pause: float | None = 0  # None: until it is asked for again
            if cause not in USUAL_CAUSES:
                memory.astray = not target.differences(live)
                pause = memory.fight.left_alone(self._clock(), reason) if held.enforce else None
                reason = memory.fight.reason if pause else reason
            if reason != memory.drift:
                LOG.warning("Instance %s drifted (%s): %s", uuid, cause, reason)
            outcomes.append(self._outcome(held, "drifted", reason, cause))
            if pause != 0:
                memory.drift = reason
                return pause
        elif differences and uuid in self._arrived:
            moved_here = Cause.MIGRATION
        # what is in place already may stay there, and what is released goes where it may
        wanted = (held.placement or Placement()).live
        astray = Placement((part, mask) for part, mask in wanted.items() if live.get(part) != mask)
        if refusals := self._limits.refusals(astray):
            raise transaction.NotApplied(", ".join(refusals))
        if held.cancelled and differences:
            self._return(held, target)
            raise transaction.NotApplied(CALLED_OFF)
        receipt = None
        if thorough:
            memory.unfinished = True
            receipt = self._carry_out(held, process, target, given, live, resident)
        memory.unfinished, memory.astray, memory.failed, memory.drift = False, False, None, ""
        memory.parts = frozenset(live.places)
        self._arrived.discard(uuid)
        self._store.confirm(held, process)
        # a placement without parts is one too: the wish may ask for nothing
        result = RELEASED if held.placement is None else "applied"
        outcomes.append(self._outcome(held, result, cause=moved_here, receipt=receipt))
        return None

    def _cause(self, held: Held, target: Placement, live: Placement, memory: _Memory) -> Cause:
        uuid = held.instance_uuid
        # asked again: it may have been restarted before its threads were looked at
        if held.process != self._driver.process(uuid):
            return causes.of_new_process(uuid in self._arrived)
        circumstances = self._driver.circumstances(uuid)
        return causes.of_same_process(target, live, memory.parts, circumstances)

    def _postpone(self, held: Held, memory: _Memory, error: NotNow) -> list[objects.Outcome]:
        """Prepare the next attempt; tell of the failure if it lasts."""
        now = self._clock()
        if memory.busy_since is None:
            memory.busy_since = now
            LOG.info("Instance %s cannot be looked after now: %s", held.instance_uuid, error)
        memory.retry = min(2 * memory.retry, LAST_RETRY)
        if now - memory.busy_since < PATIENCE:
            return []
        return [self._outcome(held, "failed", str(error))]

    def _carry_out(
        self,
        held: Held,
        process: str,
        target: Placement,
        given: Placement,
        live: Placement,
        resident: Residency | None,
    ) -> Receipt | None:
        uuid = held.instance_uuid
        if resident is not None and not transaction.is_at(resident, target):
            outside = residency.outside(resident, target[MEMORY])
            if self._turn(_moving(held, Progress(0, outside, 0.0))):
                # much may have happened since it was looked at
                live, resident = self._driver.read(uuid, Scope.LIVE), self._driver.memory(uuid)
        if target:
            # written ahead: after a crash in between, all that may be in force is still known
            on_the_way = (held.in_force or Placement()).joined(held.placement)
            self._store.carried_out(uuid, held.arrival, on_the_way, given, held.before)
        watch = self._watch(held, process, live)
        try:
            receipt = transaction.carry_out(
                self._driver, uuid, target, live, resident, held.before, watch
            )
        except (HypervisorError, transaction.NotApplied) as error:
            if not isinstance(error, transaction.NotRestored | InstanceGone | NotNow):
                self._store.carried_out(uuid, held.arrival, held.in_force, given)
            raise
        released = held.placement is None
        given_now = None if released else given
        self._store.carried_out(uuid, held.arrival, held.placement, given_now)
        return receipt

    def _watch(self, held: Held, process: str, live: Placement) -> Callable[[Progress], None]:
        """Return what tells how far memory is, and ends that when nobody wants it any more."""
        uuid, next_word = held.instance_uuid, 0.0

        def watch(progress: Progress) -> None:
            nonlocal next_word
            if not progress.moved_mib and held.before is None:
                # an agent that dies while pages move has to know to where they belong
                places = transaction.snapshot(self._driver, uuid, live)
                self._store.remember(held, process, places)
            present = self._store.get(uuid)
            if present is None or present.order != held.order:
                raise transaction.Interrupted("the wish changed while memory moved")
            if present.cancelled:
                raise transaction.Interrupted(CALLED_OFF)
            if self._clock() >= next_word:
                next_word = self._clock() + WORD_SECONDS
                self._moves(_moving(held, progress))

        return watch

    def _return(self, held: Held, target: Placement) -> None:
        """Bring back what an agent that died on the way had moved, if one had."""
        if held.before is None:
            return
        transaction.take_back(self._driver, held.instance_uuid, target, held.before)
        self._store.carried_out(held.instance_uuid, held.arrival, held.in_force, held.given)

    def _target(self, held: Held) -> tuple[Placement, Placement]:
        """Return where all parts that were ever touched belong, and what they were given."""
        in_force = held.in_force or Placement()
        given = held.given
        if given is None:
            given = Placement()
            if Scope.PERSISTENT in self._driver.scopes(held.instance_uuid):
                definition = self._driver.read(held.instance_uuid, Scope.PERSISTENT)
                # KongMing's own entries came with a migration, or before the file was lost
                own = (in_force, in_force.defined, (held.placement or Placement()).defined)
                given.update(
                    (part, mask) for part, mask in definition.items() if _is_others(part, mask, own)
                )
        target = Placement(held.placement or {})
        # the start from which memory was to be elsewhere may have been, or is still to come
        wanted = target | target.defined
        left = [part for part in in_force | in_force.defined if part not in wanted]
        if left:
            unpinned = self._driver.unpinned(held.instance_uuid)
            for part in left:
                if part in unpinned or part.is_number:
                    target[part] = given.get(part, unpinned.value(part))
        return target, given

    def _outcome(
        self,
        held: Held,
        result: str,
        reason: str | None = None,
        cause: Cause | None = None,
        receipt: Receipt | None = None,
    ) -> objects.Outcome:
        now = self._store.get(held.instance_uuid)
        return objects.Outcome(
            instance_uuid=held.instance_uuid,
            generation=held.generation,
            arrival=held.arrival,
            result=result,
            reason=reason,
            in_force=now.in_force if now else None,
            cause=cause,
            receipt=receipt,
        )


def _moving(held: Held, progress: Progress) -> objects.Moving:
    return objects.Moving(
        instance_uuid=held.instance_uuid,
        generation=held.generation,
        arrival=held.arrival,
        progress=progress,
    )


def _strays(resident: Residency, nodes: int) -> str:
    share = 100 - residency.share(resident, nodes)
    return f"{share:.0f} % of the memory is not on NUMA node {cpuset.to_text(nodes)}"


def _is_others(part: Part, value: int, own: Iterable[Placement]) -> bool:
    """Whether the entry of a definition has something that no placement of KongMing has."""
    if part.is_number:
        return all(placement.get(part) != value for placement in own)
    for placement in own:
        value &= ~placement.get(part, 0)
    return value != 0
