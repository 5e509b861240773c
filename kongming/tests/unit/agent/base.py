# SPDX-License-Identifier: Apache-2.0
"""An agent's parts on a simulated host."""

import datetime
from collections.abc import Callable
from typing import Any

from kongming import objects
from kongming.agent import transaction
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.reconciler import Reconciler
from kongming.agent.store import Store
from kongming.hypervisor import fleet, simulated
from kongming.hypervisor.driver import Driver, Scope
from kongming.tests import base
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.wish import Wish

VNF = "11111111-1111-4111-8111-111111111111"
NOVA = "22222222-2222-4222-8222-222222222222"
OFF = "33333333-3333-4333-8333-333333333333"
HOST = {
    "nodes": 2,
    "cores_per_node": 4,
    "threads_per_core": 2,
    "memory_mib_per_node": 8192,
    "offline": "15",
}
#: VNF is free, NOVA has the pins of a dedicated flavor.
FLEET = {
    "hosts": [
        {
            **HOST,
            "name": "one",
            "instances": [
                {"uuid": VNF, "name": "vnf", "vcpus": 2, "memory_mib": 2048, "iothreads": 1},
                {"uuid": NOVA, "name": "nova", "vcpus": 2, "memory_mib": 512}
                | {"dedicated": True, "vcpu_pins": {0: 6, 1: 7}},
                {"uuid": OFF, "name": "off", "vcpus": 1, "memory_mib": 512, "state": "shutoff"},
            ],
        },
        {**HOST, "name": "two"},
    ]
}
VCPU_0, VCPU_1, IOTHREAD_1 = Part("vcpu", 0), Part("vcpu", 1), Part("iothread", 1)
#: A place for each part of VNF.
FULL = Placement({VCPU_0: 1 << 4, VCPU_1: 1 << 5, IOTHREAD_1: 1 << 2, EMULATOR: 0b11, MEMORY: 0b10})


def placement(**data: Any) -> Placement:
    """Return a placement from JSON's form: ``placement(vcpus={"0": "4"})``."""
    return Placement.from_dict(data)


def pin(
    uuid: str = VNF,
    wanted: Placement | None = FULL,
    generation: int = 1,
    in_force: Placement | None = None,
    arrival: int = 0,
    cancelled: bool = False,
    enforce: bool = True,
) -> objects.Pin:
    """Return what a conductor says of an instance; without ``wanted``, to release it."""
    return objects.Pin(
        instance_uuid=uuid,
        project_id="telco",
        user_id="mano",
        host="one",
        wish=Wish(enforce=enforce),
        placement=wanted,
        in_force=in_force,
        generation=generation,
        arrival=arrival,
        cancelled=cancelled,
        status="pending",
        reason=None,
        created_at=datetime.datetime.now(datetime.UTC),
        updated_at=None,
    )


def carry_out(driver: Driver, uuid: str, target: Placement, **kw: Any) -> Receipt | None:
    """Bring an instance to a placement, from wherever it is."""
    memory = driver.memory(uuid) if MEMORY in target else None
    live = driver.read(uuid, Scope.LIVE)
    return transaction.carry_out(driver, uuid, target, live, memory, **kw)


def reconciler(
    driver: Driver,
    store: Store,
    managed: int | None = None,
    moves: Callable[[objects.Moving], None] = lambda moving: None,
    turn: Callable[[objects.Moving], bool] = lambda moving: False,
) -> Reconciler:
    """Return what repairs at once, again and again."""
    rules = Rules(threshold=100, longest=60)
    return Reconciler(driver, store, Limits(managed, {}), rules, moves, turn)


class AgentTestCase(base.TestCase):
    """Host "one" of a fleet, behind a driver that counts."""

    def setUp(self) -> None:
        super().setUp()
        self.fleet = simulated.Fleet(fleet.parse(FLEET))
        self.driver = CountingDriver(self.fleet, "one")
        self.addCleanup(self.driver.close)

    def live(self, uuid: str = VNF) -> Placement:
        """Return where the parts of an instance are."""
        return self.driver.read(uuid, Scope.LIVE)

    def both(self, uuid: str = VNF) -> tuple[Placement, Placement]:
        """Return where the parts of an instance are, and where its next start puts them."""
        effective = self.driver.unpinned(uuid) | self.driver.read(uuid, Scope.PERSISTENT)
        return self.live(uuid), Placement(effective)


class CountingDriver(simulated.SimulatedDriver):
    """Notes the parts that are written."""

    def __init__(self, world: simulated.Fleet, host: str) -> None:
        super().__init__(world, host)
        self.writes: list[tuple[Scope, Part, int]] = []

    def write(self, uuid: str, scope: Scope, changes: Placement) -> None:
        """Write part by part, and remember it."""
        for part, mask in changes.items():
            self.write_part(uuid, scope, part, mask)

    def write_part(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        """Write one part, and remember it."""
        self.writes.append((scope, part, mask))
        super().write(uuid, scope, Placement({part: mask}))
