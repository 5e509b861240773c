# SPDX-License-Identifier: Apache-2.0
"""The host as its agent tells of it: what the driver sees, and what the agent knows of it."""

from kongming import objects
from kongming.agent.limits import Limits
from kongming.agent.store import Store
from kongming.hypervisor.driver import Driver
from kongming.topology import cpuset
from kongming.topology.host import Host
from kongming.topology.placement import Placement


class View:
    """Adds the operator's limits, and tells KongMing's own pins from those of others."""

    def __init__(self, driver: Driver, store: Store, limits: Limits) -> None:
        self._driver = driver
        self._store = store
        self._limits = limits

    def host(self) -> Host:
        """Return the host with what is withheld from instances."""
        return self._limits.applied_to(self._driver.host())

    def instances(self) -> list[objects.Instance]:
        """Return the instances; ``holds`` is what somebody else gave them."""
        found = self._driver.instances()
        for instance in found:
            held = self._store.get(instance.uuid)
            if held is not None and held.in_force:
                # its definition tells what KongMing gave it
                instance.holds = cpuset.to_text((held.given or Placement()).exclusive)
        return found
