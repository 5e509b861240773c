# SPDX-License-Identifier: Apache-2.0
"""Who holds which pCPU: decided here, inside a transaction that has locked the host."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import orm

from kongming import exception
from kongming.db import claims as db_claims
from kongming.db import instances as db_instances
from kongming.db import models
from kongming.topology import cpuset, fit
from kongming.topology.host import Host
from kongming.topology.placement import Placement
from kongming.topology.wish import Wish

#: Why a pin that waited for an instance does not get it.
OTHER_PROJECT = "the instance belongs to another project than the pin"


def is_others(pin: Any, instance: models.Instance) -> bool:
    """Whether an instance is of another project than a pin, which then must not touch it."""
    return bool(pin.project_id and instance.project_id and pin.project_id != instance.project_id)


class Ledger:
    """The claims on one host and the CPUs that its pins use, for one transaction."""

    def __init__(self, session: orm.Session, host: str, pins: Iterable[models.Pin]) -> None:
        self.host = host
        self._session = session
        self._before = db_claims.on_host(session, host)
        self._claims = dict(self._before)
        # what a pin uses: where it shall be, and where it may still be
        self._used = {
            pin.instance_uuid: (pin.placement or Placement()).cpus
            | (pin.in_force or Placement()).cpus
            for pin in pins
            if pin.host == host
        }
        # what others gave instances for themselves, above all Nova its dedicated ones
        self._foreign = db_instances.holding(session, [host]).get(host, {})

    def place(self, wish: Wish, instance: models.Instance, topology: Host) -> Placement:
        """Return the placement that an instance would get; claims nothing.

        No part may use a pCPU that another pin claims or another instance holds by other
        means; a dedicated pin may moreover claim none that another pin uses.

        :raises BadRequest: instance or host lacks what the wish names
        :raises CpuAlreadyClaimed: naming the pCPUs and the holder
        """
        uuid = instance.uuid
        size = fit.Size(instance.vcpus, instance.memory_mib, tuple(instance.iothreads))
        try:
            placement = fit.place(wish, size, topology)
        except fit.DoesNotFit as error:
            raise exception.BadRequest(
                problems=[
                    (f"resource_pin.{reason.code}", f"{reason.field}: {reason.detail}")
                    for reason in error.reasons
                ]
            ) from error
        for pcpu in cpuset.members(placement.cpus):
            holder = self._claims.get(pcpu, uuid)
            if holder != uuid:
                self._refuse(holder, placement.cpus & self._held(holder))
        for holder, mask in self._foreign.items():
            if holder != uuid and (common := mask & placement.cpus):
                raise exception.CpuHeldByOthers(
                    cpus=cpuset.to_text(common), host=self.host, holder=holder
                )
        if wish.cpu_policy == "dedicated":
            for other, used in self._used.items():
                if other != uuid and (common := used & placement.vcpu_cpus):
                    self._refuse(other, common)
        return placement

    def settle(self, pin: models.Pin) -> None:
        """Record what a pin holds from now on.

        A dedicated pin claims the pCPUs of its vCPUs. What it claimed before and may
        still run on (``in_force``) stays claimed until its host confirms that it left.
        """
        uuid, placement = pin.instance_uuid, pin.placement or Placement()
        in_force = pin.in_force or Placement()
        held = 0 if in_force == placement else self._held(uuid) & in_force.vcpu_cpus
        if pin.wish.cpu_policy == "dedicated":
            held |= placement.vcpu_cpus
        self._claims = {cpu: who for cpu, who in self._claims.items() if who != uuid}
        self._claims |= dict.fromkeys(cpuset.members(held), uuid)
        self._used[uuid] = placement.cpus | in_force.cpus

    def forget(self, uuid: str) -> None:
        """Record that an instance holds and uses nothing on this host any more."""
        self._claims = {cpu: who for cpu, who in self._claims.items() if who != uuid}
        self._used.pop(uuid, None)

    def save(self) -> bool:
        """Write the changes (at most two statements); return whether there were any."""
        dropped = [cpu for cpu, who in self._before.items() if self._claims.get(cpu) != who]
        added = {cpu: who for cpu, who in self._claims.items() if self._before.get(cpu) != who}
        db_claims.change(self._session, self.host, dropped, added)
        self._before = dict(self._claims)
        return bool(dropped or added)

    def _held(self, uuid: str) -> int:
        return cpuset.from_members(cpu for cpu, who in self._claims.items() if who == uuid)

    def _refuse(self, holder: str, cpus: int) -> None:
        raise exception.CpuAlreadyClaimed(cpus=cpuset.to_text(cpus), host=self.host, holder=holder)
