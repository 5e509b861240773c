# SPDX-License-Identifier: Apache-2.0
"""Make the running instances match the placements that this agent holds."""

from oslo_log import log as logging

from kongming import objects
from kongming.agent import transaction
from kongming.agent.limits import Limits
from kongming.agent.store import Held, Order, Store
from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone, Scope
from kongming.objects.report import RELEASED
from kongming.topology.placement import Placement

LOG = logging.getLogger(__name__)


class Reconciler:
    """Compares and repairs; used by one thread."""

    def __init__(self, driver: Driver, store: Store, limits: Limits) -> None:
        self._driver = driver
        self._limits = limits
        self._store = store
        # what was last seen in place, and what last failed
        self._in_place: dict[str, Order] = {}
        self._failed: dict[str, tuple[Order, str]] = {}

    def bring(self, uuid: str, retry: bool) -> list[objects.Outcome]:
        """Bring one instance to its placement and tell what happened, in order.

        :param retry: also try what failed before; without, an instance whose present pin
            failed is left alone, for its own undoing raises events
        """
        held = self._store.get(uuid)
        if held is None:
            self._forget(uuid)
            return []
        order, reason = self._failed.get(uuid, (None, ""))
        try:
            if order == held.order and not retry:
                self._driver.scopes(uuid)  # gone? then its next start is a new chance
                return [self._outcome(held, "failed", reason)]
            return self._bring(held)
        except InstanceGone:
            self._forget(uuid)
            return []
        except (HypervisorError, transaction.NotApplied) as error:
            LOG.error("Pin of instance %s is not applied: %s", uuid, error)
            self._failed[uuid] = (held.order, str(error))
            self._in_place.pop(uuid, None)
            return [self._outcome(held, "failed", str(error))]

    def _bring(self, held: Held) -> list[objects.Outcome]:
        uuid = held.instance_uuid
        target, given = self._target(held)
        observed = self._driver.read(uuid, Scope.LIVE)
        differences = ", ".join(target.differences(observed))
        known_in_place = self._in_place.get(uuid) == held.order
        outcomes = []
        if differences and known_in_place:
            LOG.warning("Instance %s drifted: %s", uuid, differences)
            outcomes.append(self._outcome(held, "drifted", differences))
        # what is in place already may stay there, and what is released goes where it may
        astray = Placement(
            (part, mask)
            for part, mask in (held.placement or {}).items()
            if observed.get(part) != mask
        )
        if refusals := self._limits.refusals(astray):
            raise transaction.NotApplied(", ".join(refusals))
        if differences or not known_in_place:
            self._carry_out(held, target, given)
        self._failed.pop(uuid, None)
        self._in_place[uuid] = held.order
        # a placement without parts is one too: the wish may ask for nothing
        result = RELEASED if held.placement is None else "applied"
        outcomes.append(self._outcome(held, result, None))
        return outcomes

    def _carry_out(self, held: Held, target: Placement, given: Placement) -> None:
        uuid = held.instance_uuid
        # written ahead: after a crash in between, all that may be in force is still known
        on_the_way = (held.in_force or Placement()).joined(held.placement)
        self._store.carried_out(uuid, held.arrival, on_the_way, given)
        try:
            transaction.carry_out(self._driver, uuid, target)
        except (HypervisorError, transaction.NotApplied) as error:
            if not isinstance(error, transaction.NotRestored | InstanceGone):
                self._store.carried_out(uuid, held.arrival, held.in_force, given)
            raise
        released = held.placement is None
        given_now = None if released else given
        self._store.carried_out(uuid, held.arrival, held.placement, given_now)

    def _target(self, held: Held) -> tuple[Placement, Placement]:
        """Return where all parts that were ever touched belong, and what they were given."""
        in_force = held.in_force or Placement()
        given = held.given
        if given is None:
            given = Placement()
            if Scope.PERSISTENT in self._driver.scopes(held.instance_uuid):
                definition = self._driver.read(held.instance_uuid, Scope.PERSISTENT)
                # KongMing's own entries came with a migration, or before the file was lost
                own = in_force.joined(held.placement)
                given.update(
                    (part, mask) for part, mask in definition.items() if mask & ~own.get(part, 0)
                )
        target = Placement(held.placement or {})
        left = [part for part in in_force if part not in target]
        if left:
            unpinned = self._driver.unpinned(held.instance_uuid)
            for part in left:
                if part in unpinned:
                    target[part] = given.get(part, unpinned[part])
        return target, given

    def _outcome(self, held: Held, result: str, reason: str | None) -> objects.Outcome:
        now = self._store.get(held.instance_uuid)
        return objects.Outcome(
            instance_uuid=held.instance_uuid,
            generation=held.generation,
            arrival=held.arrival,
            result=result,
            reason=reason,
            in_force=now.in_force if now else None,
        )

    def _forget(self, uuid: str) -> None:
        self._in_place.pop(uuid, None)
        self._failed.pop(uuid, None)
