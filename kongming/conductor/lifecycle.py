# SPDX-License-Identifier: Apache-2.0
"""What a report means for the pins of its host: waiting, pending, applied, drifted, failed."""

from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils
from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor import history
from kongming.conductor.claims import OTHER_PROJECT, Ledger, is_others, size_of
from kongming.conductor.quotas import Accounts
from kongming.context import RequestContext
from kongming.db import bulk, hosts, models, pins, reservations
from kongming.db import claims as db_claims
from kongming.db import quotas as db_quotas
from kongming.objects.instance import ACTIVE_STATES
from kongming.objects.pin import APPLIED, DRIFTED, FAILED, PENDING, WAITING
from kongming.objects.report import RELEASED, USUAL_CAUSES
from kongming.topology import fit
from kongming.topology.answer import Size
from kongming.topology.books import Holding
from kongming.topology.placement import Placement
from kongming.topology.relocation import Receipt


class Lifecycle:
    """The pins that one report touches, between lock and commit of its transaction."""

    def __init__(
        self,
        context: RequestContext,
        session: orm.Session,
        host: models.Host,
        instances: Mapping[str, models.Instance],
        sizes: Mapping[str, Size],
        accounts: Accounts,
    ) -> None:
        """Begin; ``instances`` are those found on the host, ``sizes`` of all of them and more."""
        self._context = context
        self._session = session
        self._host = host
        self._instances = instances
        self._sizes = sizes
        self._accounts = accounts
        rows = pins.lock_on_host(session, host.name, list(instances))
        self._pins = {row.instance_uuid: row for row in rows}
        self._ledger = Ledger(session, host, rows)
        self._reserved = reservations.of_instances(session, instances)
        self._events: list[dict[str, Any]] = []
        self._removed: set[str] = set()
        self._moved: dict[str, str] = {}
        self._used_up: dict[str, str] = {}
        self.placements_changed = False

    def left(self, uuid: str) -> None:
        """An instance is no longer on the host."""
        pin = self._pins.get(uuid)
        if pin is None or pin.host != self._host.name:
            return
        counted = db_quotas.counts(pin)
        self._ledger.forget(uuid)
        self._take_along(pin)
        pin.host = None
        if pin.deleted:
            self._removed.add(uuid)
            return
        try:
            if not counted:
                # from now on it waits as any other does
                self._accounts.take(pin.project_id, uuid, None)
        except exception.QuotaExceeded as error:
            self._change(pin, FAILED, error.message)
        else:
            self._change(pin, WAITING, f"the instance left host {self._host.name}")

    def seen(self, uuid: str, resized: bool) -> None:
        """An instance is on the host."""
        pin, instance = self._pins.get(uuid), self._instances[uuid]
        if pin is None:
            return
        if pin.host != self._host.name:
            if pin.host is not None:
                self._moved[uuid] = pin.host
            self._take_along(pin)
            pin.host = self._host.name
            pin.arrival += 1
            self._use_up(pin, instance)
            self.placements_changed = True
        if pin.deleted:
            return
        if resized or not self._is_placed(pin):
            self._place(pin, instance)
        elif pin.placement and pin.placement.cpus & self._host.topology.offline:
            self._move_off_offline(pin, instance)
        if pin.placement is None:
            return
        if instance.state not in ACTIVE_STATES or pin.status == WAITING:
            self._await_agent(pin, instance)

    def moves(self, moving: objects.Moving) -> None:
        """The agent is moving memory for a pin."""
        pin = self._pins.get(moving.instance_uuid)
        if pin is not None and self._speaks_of(pin, moving):
            pin.progress = moving.progress

    def concluded(self, outcome: objects.Outcome) -> None:
        """The agent carried out a pin, or could not."""
        pin = self._pins.get(outcome.instance_uuid)
        if pin is None or not self._speaks_of(pin, outcome):
            return
        pin.progress = None
        if pin.deleted:
            if outcome.result == RELEASED:
                self._ledger.forget(pin.instance_uuid)
                self._removed.add(pin.instance_uuid)
                self._events.append(history.line(self._context, pin, "released"))
            return
        if pin.placement is None:
            if outcome.result == RELEASED and pin.in_force is not None:
                # it found no place here, and runs on without those that it brought along
                pin.in_force = None
                self._ledger.settle(pin)
            return
        if outcome.result == RELEASED:
            return
        pin.in_force = outcome.in_force
        self._ledger.settle(pin)
        if outcome.result == APPLIED:
            pin.cancelled = None
        if pin.status == FAILED and not self._is_placed(pin):
            # what is carried out is not what it needs since it was resized
            return
        if pin.status == WAITING:  # this was before the instance stopped
            return
        # agents of a version before tell none
        cause = outcome.cause if outcome.obj_attr_is_set("cause") else None
        if pin.status == PENDING and outcome.result == DRIFTED and cause in USUAL_CAUSES:
            # that it was started or came here is known, and being seen to
            return
        self._change(pin, outcome.result, outcome.reason, cause, outcome.receipt)

    def save(self) -> bool:
        """Write everything; return whether placements or claims on the host changed."""
        elsewhere = self._moved | self._used_up
        if elsewhere:
            db_claims.drop_elsewhere(self._session, self._host.name, set(elsewhere))
            others = {*self._moved.values(), *self._used_up.values()}
            hosts.raise_generation(self._session, others)
        if self._used_up:
            reservations.drop(self._session, set(self._used_up))
        bulk.save(self._session, models.Pin.instance_uuid, self._pins.values(), self._removed)
        history.add(self._session, self._context, self._events)
        return self._ledger.save() or self.placements_changed

    def _is_placed(self, pin: models.Pin) -> bool:
        """Whether a pin has a placement, and this is for an instance of the present size."""
        size = self._sizes.get(pin.instance_uuid)
        return pin.placement is not None and (
            size is None or fit.covers(pin.wish, size, pin.placement)
        )

    def _speaks_of(self, pin: models.Pin, word: objects.Outcome | objects.Moving) -> bool:
        """Whether this host speaks of the present wish, and of the present stay here."""
        now = (self._host.name, pin.generation, pin.arrival)
        return (pin.host, word.generation, word.arrival) == now

    def _take_along(self, pin: models.Pin) -> None:
        """Note what a migrated instance may have in its definition: its next host must know.

        That is what is in force, and what its host may have carried out without saying so yet.
        """
        pin.in_force = (pin.in_force or Placement()).joined(pin.placement) or None
        pin.placement = pin.holding = pin.progress = pin.cancelled = None

    def _use_up(self, pin: models.Pin, instance: models.Instance) -> None:
        """End what is reserved for an instance, now that it is here; keep the placement."""
        reserved = self._reserved.get(pin.instance_uuid)
        if reserved is None:
            return
        self._used_up[pin.instance_uuid] = reserved.host
        if reserved.host != self._host.name:
            return
        intact = self._ledger.holds(pin.instance_uuid, reserved.holding.cpus)
        self._ledger.forget(pin.instance_uuid)
        as_expected = (instance.vcpus, instance.memory_mib) == (reserved.vcpus, reserved.memory_mib)
        # a scheduler does not know the numbers of the I/O threads, nor what Nova has given
        unknown = pin.wish.iothreads or (instance.holds and not pin.placed)
        if intact and as_expected and not unknown and not is_others(pin, instance):
            self._take(pin, instance, reserved.placement, reserved.holding)

    def _place(self, pin: models.Pin, instance: models.Instance) -> None:
        if is_others(pin, instance):
            self._change(pin, FAILED, OTHER_PROJECT)
            return
        try:
            placement, holding = self._ledger.place(
                pin.wish, instance.uuid, size_of(instance), ours=bool(pin.placed)
            )
            self._accounts.take(instance.project_id or pin.project_id, instance.uuid, holding)
        except exception.KongMingError as error:
            self._change(pin, FAILED, error.message)
            return
        self._take(pin, instance, placement, holding)

    def _move_off_offline(self, pin: models.Pin, instance: models.Instance) -> None:
        """Choose pCPUs anew, now that some are offline, if the wish leaves that to be chosen.

        Else the pin stays as it is: its host says what it cannot carry out, and does so once
        the pCPUs are back. Memory is not moved for that, as they may be back soon.
        """
        try:
            placement, holding = self._ledger.place(
                pin.wish, instance.uuid, size_of(instance), ours=True
            )
        except exception.KongMingError:
            return
        if pin.placement is not None and _memory(placement) == _memory(pin.placement):
            self._take(pin, instance, placement, holding)

    def _take(
        self,
        pin: models.Pin,
        instance: models.Instance,
        placement: Placement,
        holding: Holding,
    ) -> None:
        pin.project_id = instance.project_id or pin.project_id
        pin.user_id = instance.user_id or pin.user_id
        pin.in_force = (pin.in_force or Placement()).joined(pin.placement) or None
        if pin.placement not in (None, placement):
            # word of the former placement must not be taken for word of this one
            pin.generation += 1
        pin.placement, pin.holding, pin.placed = placement, holding, True
        self._ledger.settle(pin)
        self._await_agent(pin, instance)
        self.placements_changed = True

    def _await_agent(self, pin: models.Pin, instance: models.Instance) -> None:
        """Note that the agent has yet to act, which it can while the instance runs."""
        if instance.state in ACTIVE_STATES:
            self._change(pin, PENDING, None)
        else:
            pin.progress = None
            self._change(pin, WAITING, f"the instance is {instance.state}")

    def _change(
        self,
        pin: models.Pin,
        status: str,
        reason: str | None,
        cause: str | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        reason = history.short(reason)
        if (pin.status, pin.reason) == (status, reason) and receipt is None:
            return
        pin.status, pin.reason, pin.updated_at = status, reason, timeutils.utcnow()
        self._events.append(history.line(self._context, pin, status, cause, receipt))


def _memory(placement: Placement) -> Placement:
    return Placement((part, nodes) for part, nodes in placement.items() if part.is_memory)
