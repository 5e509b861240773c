# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts: what they show, refuse, do and tell."""

import dataclasses
import functools
import itertools
import pathlib
import queue
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import fixtures
import testtools
import yaml
from oslo_config import cfg

from kongming.conf import default as default_conf
from kongming.conf import simulated as simulated_conf
from kongming.hypervisor import fleet
from kongming.hypervisor.driver import Event, HypervisorError, InstanceGone, Scope
from kongming.hypervisor.simulated import Fleet, SimulatedDriver
from kongming.topology import cpuset
from kongming.topology.host import Core, Pages
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

FREE, NOVA, OFF = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
UNKNOWN = "00000000-0000-4000-8000-00000000000f"
#: Of each NUMA node 10240 MiB are in small pages; NOVA has 1024 of them on node 1.
HOST = {
    "nodes": 2,
    "cores_per_node": 4,
    "threads_per_core": 2,
    "memory_mib_per_node": 12288,
    "huge_pages": {2048: 1024},
}
FLEET = {
    "hosts": [
        {
            **HOST,
            "name": "big",
            "offline": "15",
            "instances": [
                {"uuid": FREE, "name": "free", "project_id": "p", "user_id": "u", "vcpus": 2}
                | {"memory_mib": 8192, "iothreads": 2},
                {"uuid": NOVA, "name": "nova", "vcpus": 2, "memory_mib": 1024, "state": "paused"}
                | {"dedicated": True, "vcpu_pins": {0: 4, 1: 12}, "memory_nodes": 1},
                {"uuid": OFF, "name": "off", "vcpus": 1, "memory_mib": 512, "state": "shutoff"},
            ],
        },
        {**HOST, "name": "twin"},
        {"name": "small", "nodes": 1, "cores_per_node": 2, "memory_mib_per_node": 9000},
    ]
}
ALL = 0x7FFF
VCPU_0, VCPU_1, IOTHREAD_1, IOTHREAD_2 = (
    Part("vcpu", 0),
    Part("vcpu", 1),
    Part("iothread", 1),
    Part("iothread", 2),
)
UNPINNED = {VCPU_0: ALL, VCPU_1: ALL, IOTHREAD_1: ALL, IOTHREAD_2: ALL, EMULATOR: ALL, MEMORY: 3}
GIVEN = {VCPU_0: 1 << 4, VCPU_1: 1 << 12, EMULATOR: 1 << 4 | 1 << 12, MEMORY: 2}
#: An instance, and what happened to it.
Heard = tuple[str, Event]


class FleetTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fleet = Fleet(fleet.parse(FLEET))
        self.numbers = itertools.count()
        self.big, self.twin, self.small = (self.driver(name) for name in ("big", "twin", "small"))

    def driver(self, host: str) -> SimulatedDriver:
        driver = SimulatedDriver(self.fleet, host)
        self.addCleanup(driver.close)
        return driver

    def free_mib(self, driver: SimulatedDriver) -> list[int]:
        return [node.pages[0].free * 4 // 1024 for node in driver.host().nodes]

    def listen(self, driver: SimulatedDriver, host: str) -> Callable[[], list[Heard]]:
        """Return a function that tells of what the driver has spoken since."""
        events: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        driver.listen(lambda uuid, what: events.put((uuid, what)))

        def heard() -> list[Heard]:
            # Events come in order: once that of this instance is there, all others are.
            last = self.fleet.create(
                host,
                {
                    "name": f"last-{next(self.numbers)}",
                    "vcpus": 1,
                    "memory_mib": 1,
                    "state": "shutoff",
                },
            )
            return list(iter(lambda: events.get(timeout=10), (last, Event.CHANGED)))

        return heard


class HostTest(FleetTestCase):
    def test_nodes(self) -> None:
        host = self.big.host()
        self.assertEqual(1 << 15, host.offline)
        first, second = host.nodes
        self.assertEqual(
            (0, cpuset.parse("0-3,8-11"), 12288, {0: 10, 1: 20}),
            (first.id, first.cpus, first.memory_mib, first.distances),
        )
        self.assertEqual(
            (1, cpuset.parse("4-7,12-14"), 12288, {0: 20, 1: 10}),
            (second.id, second.cpus, second.memory_mib, second.distances),
        )

    def test_cores(self) -> None:
        first, second = self.big.host().nodes
        self.assertEqual(
            tuple(Core(0, 0, n, cpuset.parse(f"{n},{n + 8}")) for n in range(4)), first.cores
        )
        self.assertEqual(Core(1, 0, 2, cpuset.parse("6,14")), second.cores[2])
        self.assertEqual(Core(1, 0, 3, 1 << 7), second.cores[3])

    def test_core_without_online_pcpu_is_not_there(self) -> None:
        self.fleet.set_offline("big", cpuset.parse("7,15"))
        self.assertEqual([0, 1, 2], [core.core for core in self.big.host().nodes[1].cores])

    def test_pages(self) -> None:
        # 8192 MiB of one instance on node 0, 1024 MiB of another on node 1.
        self.assertEqual(
            [
                (Pages(4, 10240 * 256, 2048 * 256), Pages(2048, 1024, 1024)),
                (Pages(4, 10240 * 256, 9216 * 256), Pages(2048, 1024, 1024)),
            ],
            [node.pages for node in self.big.host().nodes],
        )

    def test_topology_travels(self) -> None:
        host = self.big.host()
        self.assertEqual(host, type(host).from_dict(host.to_dict()))

    def test_offline(self) -> None:
        self.fleet.set_offline("big", cpuset.parse("0,5"))
        host = self.big.host()
        self.assertEqual(cpuset.parse("0,5"), host.offline)
        self.assertEqual(cpuset.parse("1-4,6-15"), host.online)
        self.assertRaises(HypervisorError, self.fleet.set_offline, "big", 0xFFFF)
        self.assertEqual(host, self.big.host())

    def test_threads_leave_a_pcpu_that_goes_offline(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b11}))
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_1: 0b01}))
        self.fleet.set_offline("big", 0b01)
        observed = self.big.read(FREE, Scope.LIVE)
        self.assertEqual(0b10, observed[VCPU_0])
        self.assertEqual(0xFFFE, observed[VCPU_1])  # as the kernel does when none is left
        self.assertEqual(0xFFFE, self.big.unpinned(FREE)[EMULATOR])

    def test_isolated_pcpus_are_shown_and_nobody_is_there_unasked(self) -> None:
        fleet = self.fleet.host("big")
        fleet.spec = dataclasses.replace(fleet.spec, isolated=0b10)
        self.assertEqual(0b10, self.big.host().isolated)
        self.assertEqual(0x7FFD, self.big.unpinned(FREE)[VCPU_0])
        self.assertEqual(0x7FFD, self.big.read(FREE, Scope.LIVE)[VCPU_0])
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b10}))
        self.assertEqual(0b10, self.big.read(FREE, Scope.LIVE)[VCPU_0])

    def test_host_unknown(self) -> None:
        self.assertRaises(HypervisorError, SimulatedDriver, self.fleet, "nowhere")

    def test_names(self) -> None:
        self.assertEqual(["big", "twin", "small"], self.fleet.host_names)


class InstancesTest(FleetTestCase):
    def test_facts(self) -> None:
        found = {instance.uuid: instance for instance in self.big.instances()}
        self.assertEqual({FREE, NOVA, OFF}, set(found))
        free = found[FREE]
        self.assertEqual(
            ("big", "free", "p", "u", 2, 8192, [1, 2], "running"),
            (free.host, free.name, free.project_id, free.user_id, free.vcpus)
            + (free.memory_mib, free.iothreads, free.state),
        )
        self.assertNotIn("updated_at", free)
        self.assertEqual(["paused", "shutoff"], [found[NOVA].state, found[OFF].state])
        self.assertEqual([], self.twin.instances())

    def test_observed(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_1: 0b1000}))
        found = {instance.uuid: instance.observed for instance in self.big.instances()}
        self.assertEqual({FREE: {**UNPINNED, VCPU_1: 0b1000}, NOVA: GIVEN, OFF: None}, found)


class PlacementTest(FleetTestCase):
    def test_without_pins(self) -> None:
        self.assertEqual(UNPINNED, self.big.unpinned(FREE))
        self.assertEqual(UNPINNED, self.big.read(FREE, Scope.LIVE))
        self.assertEqual({}, self.big.read(FREE, Scope.PERSISTENT))

    def test_what_nova_gave(self) -> None:
        self.assertEqual(GIVEN, self.big.unpinned(NOVA))
        self.assertEqual(GIVEN, self.big.read(NOVA, Scope.LIVE))
        self.assertEqual(GIVEN, self.big.read(NOVA, Scope.PERSISTENT))

    def test_scopes(self) -> None:
        self.assertEqual([Scope.LIVE, Scope.PERSISTENT], self.big.scopes(FREE))

    def test_write(self) -> None:
        for part in (VCPU_0, VCPU_1, IOTHREAD_2, EMULATOR, MEMORY):
            before = {scope: self.big.read(FREE, scope) for scope in Scope}
            self.big.write(FREE, Scope.LIVE, Placement({part: 0b10}))
            self.assertEqual(before[Scope.LIVE] | {part: 0b10}, self.big.read(FREE, Scope.LIVE))
            self.assertEqual(before[Scope.PERSISTENT], self.big.read(FREE, Scope.PERSISTENT))
            self.big.write(FREE, Scope.PERSISTENT, Placement({part: 0b01}))
            self.assertEqual(before[Scope.LIVE] | {part: 0b10}, self.big.read(FREE, Scope.LIVE))
            self.assertEqual(
                before[Scope.PERSISTENT] | {part: 0b01}, self.big.read(FREE, Scope.PERSISTENT)
            )
        self.assertEqual(UNPINNED, self.big.unpinned(FREE))

    def test_what_was_read_is_the_readers_own(self) -> None:
        for scope in Scope:
            self.big.write(FREE, scope, Placement({VCPU_0: 0b1}))
            placement = self.big.read(FREE, scope)
            self.assertIsInstance(placement, Placement)
            placement[VCPU_0] = 0b10
            self.assertEqual(0b1, self.big.read(FREE, scope)[VCPU_0])
        self.big.unpinned(NOVA)[VCPU_0] = 0b10
        self.assertEqual(GIVEN, self.big.unpinned(NOVA))

    def test_paused_instance_can_be_placed(self) -> None:
        self.big.write(NOVA, Scope.LIVE, Placement({VCPU_0: 0b1}))
        self.assertEqual(0b1, self.big.read(NOVA, Scope.LIVE)[VCPU_0])

    def test_refusals(self) -> None:
        cases: list[tuple[Part, int, str]] = [
            (VCPU_0, 0, "invalid argument: Empty cpu list for pinning"),
            (VCPU_0, -1, "invalid argument: Empty cpu list for pinning"),
            (MEMORY, 0, "invalid argument: Empty node list for pinning"),
            (Part("vcpu", 2), 1, "invalid argument: vcpu 2 is out of range of live cpu count 2"),
            (Part("vcpu", -1), 1, "invalid argument: vcpu -1 is out of range of live cpu count 2"),
            (Part("iothread", 0), 1, "invalid argument: iothread 0 not found"),
            (Part("iothread", 3), 1, "invalid argument: iothread 3 not found"),
            (
                EMULATOR,
                1 << 16 | 1,
                "Unable to write '0,16' to cpuset.cpus of emulator: "
                "Numerical result out of range (no pCPU 16)",
            ),
            (MEMORY, 0b101, "unsupported configuration: NUMA node 2 is unavailable"),
        ]
        live_only: list[tuple[Part, int, str]] = [
            (
                VCPU_0,
                1 << 15 | 1,
                "Unable to write '0,15' to cpuset.cpus of vCPU 0: "
                "Invalid argument (offline pCPU 15)",
            ),
        ]
        for scope, rows in ((Scope.LIVE, cases + live_only), (Scope.PERSISTENT, cases)):
            for part, mask, message in rows:
                before = self.big.read(FREE, scope)
                error = self.assertRaises(
                    HypervisorError, self.big.write, FREE, scope, Placement({part: mask})
                )
                self.assertEqual(f"{part}: {message}", str(error))
                self.assertEqual(before, self.big.read(FREE, scope))

    def test_definition_may_name_an_offline_pcpu_but_not_start_with_it(self) -> None:
        self.big.write(FREE, Scope.PERSISTENT, Placement({VCPU_0: 1 << 15}))
        self.fleet.stop(FREE)
        self.assertRaises(HypervisorError, self.fleet.start, FREE)
        self.assertRaises(InstanceGone, self.big.read, FREE, Scope.LIVE)
        self.fleet.set_offline("big", 0)
        self.fleet.start(FREE)
        self.assertEqual(1 << 15, self.big.read(FREE, Scope.LIVE)[VCPU_0])

    def test_gone(self) -> None:
        for uuid, driver, message in (
            (UNKNOWN, self.big, f"Domain not found: no domain with matching uuid '{UNKNOWN}'"),
            (FREE, self.twin, f"Domain not found: no domain with matching uuid '{FREE}'"),
            (OFF, self.big, "Requested operation is not valid: domain is not running"),
        ):
            calls: list[Callable[[], Any]] = [
                functools.partial(driver.scopes, uuid),
                functools.partial(driver.unpinned, uuid),
                functools.partial(driver.read, uuid, Scope.LIVE),
                functools.partial(driver.read, uuid, Scope.PERSISTENT),
                functools.partial(driver.write, uuid, Scope.LIVE, Placement({VCPU_0: 1})),
                functools.partial(driver.write, uuid, Scope.PERSISTENT, Placement({VCPU_0: 1})),
            ]
            for call in calls:
                self.assertEqual(message, str(self.assertRaises(InstanceGone, call)))


class MemoryTest(FleetTestCase):
    def test_move_takes_what_is_elsewhere(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({MEMORY: 0b10}))
        self.assertEqual([10240, 1024], self.free_mib(self.big))
        self.big.write(FREE, Scope.LIVE, Placement({MEMORY: 0b11}))  # widening moves nothing
        self.assertEqual([10240, 1024], self.free_mib(self.big))
        self.big.write(FREE, Scope.LIVE, Placement({MEMORY: 0b01}))
        self.assertEqual([2048, 9216], self.free_mib(self.big))

    def test_move_to_a_full_node(self) -> None:
        self.fleet.create("big", {"name": "x", "vcpus": 1, "memory_mib": 1025, "memory_nodes": 1})
        before = self.free_mib(self.big), self.big.read(FREE, Scope.LIVE)
        error = self.assertRaises(
            HypervisorError, self.big.write, FREE, Scope.LIVE, Placement({MEMORY: 0b10})
        )
        self.assertEqual(
            "memory: Unable to get 8192 MiB on NUMA node 1 with 8191 MiB free: "
            "Cannot allocate memory",
            str(error),
        )
        self.assertEqual(before, (self.free_mib(self.big), self.big.read(FREE, Scope.LIVE)))

    def test_only_what_is_not_yet_there_needs_room(self) -> None:
        uuid = self.fleet.create("big", {"name": "x", "vcpus": 1, "memory_mib": 3000})
        self.assertEqual([0, 8264], self.free_mib(self.big))
        self.fleet.create("big", {"name": "y", "vcpus": 1, "memory_mib": 8264})
        # All 3000 MiB would not fit, but 2048 are on node 0 already and 952 on node 1.
        self.big.write(uuid, Scope.LIVE, Placement({MEMORY: 0b11}))
        self.assertRaises(
            HypervisorError, self.big.write, uuid, Scope.LIVE, Placement({MEMORY: 0b10})
        )
        self.assertEqual([0, 0], self.free_mib(self.big))
        self.fleet.stop(FREE)
        self.big.write(uuid, Scope.LIVE, Placement({MEMORY: 0b01}))
        self.assertEqual([10240 - 3000, 952], self.free_mib(self.big))

    def test_libvirt_does_not_move_strict_memory(self) -> None:
        for nodes in (0b01, 0b11):
            error = self.assertRaises(HypervisorError, self.fleet.tamper, NOVA, MEMORY, nodes)
            self.assertEqual(
                "Requested operation is not valid: "
                "change of nodeset for running domain requires restrictive numa mode",
                str(error),
            )
        self.assertEqual(GIVEN, self.big.read(NOVA, Scope.LIVE))

    def test_strict_memory_moves_all_the_same(self) -> None:
        self.big.write(NOVA, Scope.LIVE, Placement({MEMORY: 0b01}))
        self.assertEqual(0b01, self.big.read(NOVA, Scope.LIVE)[MEMORY])
        self.assertEqual({4: {0: 1024}}, self.big.memory(NOVA))
        self.assertEqual(0b10, self.big.unpinned(NOVA)[MEMORY])

    def test_strict_memory_can_move_in_the_definition(self) -> None:
        self.big.write(NOVA, Scope.PERSISTENT, Placement({MEMORY: 0b01}))
        self.fleet.stop(NOVA)
        self.fleet.start(NOVA)
        self.assertEqual(0b01, self.big.read(NOVA, Scope.LIVE)[MEMORY])
        self.assertEqual([1024, 10240], self.free_mib(self.big))

    def test_move_in_steps(self) -> None:
        move = self.big.move(FREE, 0b10)
        self.assertEqual({4: {0: 8192}}, self.big.memory(FREE))
        steps = [next(move), next(move)]
        self.assertEqual([(1024, 8192), (2048, 8192)], [(s.moved_mib, s.total_mib) for s in steps])
        self.assertEqual({4: {0: 6144, 1: 2048}}, self.big.memory(FREE))
        self.assertEqual(6, len(list(move)))
        self.assertEqual(8192, self.big.memory(FREE)[4][1])
        self.assertEqual(0b11, self.big.read(FREE, Scope.LIVE)[MEMORY])
        move.undo()
        self.assertEqual(8192, self.big.memory(FREE)[4][0])
        self.assertEqual([2048, 9216], self.free_mib(self.big))

    def test_move_with_too_little_room(self) -> None:
        other = {"name": "x", "vcpus": 1, "memory_mib": 1025, "memory_nodes": 1}
        move = self.big.move(FREE, 0b10)
        next(move)
        self.fleet.create("big", other)
        self.assertRaises(HypervisorError, list, move)
        self.assertEqual({4: {0: 1024, 1: 7168}}, self.big.memory(FREE))
        self.assertRaises(HypervisorError, self.big.move, FREE, 0b10)
        move.undo()
        self.assertEqual(8192, self.big.memory(FREE)[4][0])

    def test_move_of_what_stops(self) -> None:
        move = self.big.move(FREE, 0b10)
        next(move)
        self.fleet.stop(FREE)
        self.fleet.start(FREE)
        for call in (functools.partial(next, move), move.undo):
            self.assertRaises(InstanceGone, call)
        self.assertEqual([2048, 9216], self.free_mib(self.big))

    def test_off_needs_no_memory(self) -> None:
        self.fleet.stop(FREE)
        self.assertEqual([10240, 9216], self.free_mib(self.big))
        self.fleet.create("big", {"name": "x", "vcpus": 1, "memory_mib": 19000})
        self.assertRaises(HypervisorError, self.fleet.start, FREE)
        self.assertEqual([0, 456], self.free_mib(self.big))


class LifeTest(FleetTestCase):
    def test_start_is_made_from_the_definition(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b1}))
        self.big.write(FREE, Scope.PERSISTENT, Placement({VCPU_1: 0b10}))
        self.fleet.tamper(FREE, EMULATOR, 0b100, event=False)
        self.fleet.stop(FREE)
        self.fleet.start(FREE)
        self.assertEqual({**UNPINNED, VCPU_1: 0b10}, self.big.read(FREE, Scope.LIVE))
        self.assertEqual({VCPU_1: 0b10}, self.big.read(FREE, Scope.PERSISTENT))

    def test_hard_reboot_forgets_all_but_what_nova_gave(self) -> None:
        for uuid, pins in ((FREE, UNPINNED), (NOVA, GIVEN)):
            for scope in Scope:
                self.big.write(uuid, scope, Placement({VCPU_0: 0b1}))
            self.fleet.tamper(uuid, VCPU_1, 0b1, event=False)
            given = self.big.unpinned(uuid) if uuid == NOVA else {}
            self.fleet.hard_reboot(uuid)
            self.assertEqual(pins, self.big.read(uuid, Scope.LIVE))
            self.assertEqual(given, self.big.read(uuid, Scope.PERSISTENT))

    def test_hard_reboot_starts_what_is_off(self) -> None:
        self.fleet.hard_reboot(OFF)
        self.assertEqual({VCPU_0: ALL, EMULATOR: ALL, MEMORY: 3}, self.big.unpinned(OFF))

    def test_start_and_stop_of_the_wrong_state(self) -> None:
        self.assertRaises(HypervisorError, self.fleet.start, FREE)
        self.assertRaises(HypervisorError, self.fleet.start, NOVA)
        self.assertRaises(InstanceGone, self.fleet.stop, OFF)

    def test_create(self) -> None:
        fields = {"name": "new", "vcpus": 1, "memory_mib": 1, "vcpu_pins": {0: "4-7"}}
        uuid = self.fleet.create("twin", fields)
        [instance] = self.twin.instances()
        self.assertEqual((uuid, "twin", "running"), (instance.uuid, instance.host, instance.state))
        self.assertEqual({VCPU_0: 0xF0}, self.twin.read(uuid, Scope.PERSISTENT))
        self.assertRaises(HypervisorError, self.fleet.create, "twin", fields)
        self.assertRaises(HypervisorError, self.fleet.create, "nowhere", fields)

    def test_create_refused(self) -> None:
        error = self.assertRaises(
            fleet.FleetError, self.fleet.create, "twin", {"name": "new", "vcpus": 1}
        )
        self.assertEqual("instance.memory_mib: a value is required", str(error))
        self.assertRaises(
            HypervisorError,
            self.fleet.create,
            "small",
            {"name": "new", "vcpus": 1, "memory_mib": 9001},
        )
        self.assertEqual([], self.twin.instances() + self.small.instances())

    def test_delete(self) -> None:
        for uuid in (FREE, OFF):
            self.fleet.delete(uuid)
            self.assertRaises(InstanceGone, self.fleet.delete, uuid)
        self.assertEqual([NOVA], [instance.uuid for instance in self.big.instances()])
        self.assertEqual([10240, 9216], self.free_mib(self.big))

    def test_unknown(self) -> None:
        for act in (
            self.fleet.delete,
            self.fleet.start,
            self.fleet.stop,
            self.fleet.hard_reboot,
            functools.partial(self.fleet.migrate, target="twin"),
            functools.partial(self.fleet.tamper, part=VCPU_0, mask=1),
            functools.partial(self.fleet.fail_next, nth_write=1, reason="no"),
        ):
            self.assertRaises(InstanceGone, act, UNKNOWN)


class MigrationTest(FleetTestCase):
    def test_live_pins_travel(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b1}))
        self.big.write(FREE, Scope.PERSISTENT, Placement({VCPU_1: 0b10}))
        self.fleet.tamper(FREE, EMULATOR, 0b100, event=False)
        self.fleet.migrate(FREE, "twin")
        self.assertRaises(InstanceGone, self.big.read, FREE, Scope.LIVE)
        self.assertEqual({VCPU_0: 0b1}, self.twin.read(FREE, Scope.PERSISTENT))
        # All of this host's pCPUs are online.
        free = {part: 3 if part == MEMORY else 0xFFFF for part in UNPINNED}
        self.assertEqual({**free, VCPU_0: 0b1}, self.twin.read(FREE, Scope.LIVE))
        self.assertEqual(["twin"], [instance.host for instance in self.twin.instances()])
        self.assertEqual([10240, 9216], self.free_mib(self.big))
        self.assertEqual([2048, 10240], self.free_mib(self.twin))

    def test_definition_does_not_follow_the_live_pins(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b1}))
        self.fleet.migrate(FREE, "twin")
        self.twin.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b10}))
        self.assertEqual({VCPU_0: 0b1}, self.twin.read(FREE, Scope.PERSISTENT))

    def test_what_nova_gave_is_there_no_longer(self) -> None:
        for part in (VCPU_0, VCPU_1, EMULATOR):
            self.big.write(NOVA, Scope.LIVE, Placement({part: 0b1}))
        self.fleet.set_offline("twin", 1 << 4)
        self.fleet.migrate(NOVA, "twin")
        self.assertEqual(
            {VCPU_0: 0xFFEF, VCPU_1: 1 << 12, EMULATOR: 1 << 12, MEMORY: 2},
            self.twin.unpinned(NOVA),
        )

    def test_nodes_that_nova_gave_may_be_there_no_longer(self) -> None:
        for part in GIVEN:
            self.big.write(NOVA, Scope.PERSISTENT, Placement({part: 0b1}))
        self.fleet.stop(NOVA)
        self.fleet.start(NOVA)
        self.fleet.migrate(NOVA, "small")
        self.assertEqual(
            {VCPU_0: 0b11, VCPU_1: 0b11, EMULATOR: 0b11, MEMORY: 0b1},
            self.small.unpinned(NOVA),
        )

    def test_refusals(self) -> None:
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b100}))
        filler = {"name": "filler", "vcpus": 1, "memory_mib": 12289}
        self.fleet.create("twin", filler)
        for uuid, target, kind, message in (
            (FREE, "big", HypervisorError, "internal error: Attempt to migrate guest to itself"),
            (FREE, "nowhere", HypervisorError, "the fleet has no host nowhere"),
            (
                FREE,
                "small",
                HypervisorError,
                "Unable to write '2' to cpuset.cpus of vCPU 0: "
                "Numerical result out of range (no pCPU 2)",
            ),
            (
                FREE,
                "twin",
                HypervisorError,
                "Unable to get 8192 MiB on NUMA node 0-1 with 8191 MiB free: "
                "Cannot allocate memory",
            ),
            (OFF, "twin", InstanceGone, "Requested operation is not valid: domain is not running"),
        ):
            before = self.big.instances(), self.free_mib(self.big), self.free_mib(self.twin)
            error = self.assertRaises(kind, self.fleet.migrate, uuid, target)
            self.assertEqual(message, str(error))
            after = self.big.instances(), self.free_mib(self.big), self.free_mib(self.twin)
            self.assertEqual(str(before), str(after))

    def test_fewer_pcpus_hold_what_is_unpinned(self) -> None:
        self.fleet.migrate(FREE, "small")
        self.assertEqual(
            {part: 1 if part == MEMORY else 0b11 for part in UNPINNED},
            self.small.read(FREE, Scope.LIVE),
        )


class TamperTest(FleetTestCase):
    def test_tamper(self) -> None:
        for event in (True, False):
            for part in (VCPU_0, IOTHREAD_1, EMULATOR, MEMORY):
                before = self.big.read(FREE, Scope.LIVE)
                self.fleet.tamper(FREE, part, 0b10, event=event)
                self.assertEqual(before | {part: 0b10}, self.big.read(FREE, Scope.LIVE))
                self.assertEqual({}, self.big.read(FREE, Scope.PERSISTENT))
                self.big.write(FREE, Scope.LIVE, Placement({part: before[part]}))
                self.assertEqual(before, self.big.read(FREE, Scope.LIVE))

    def test_refused_as_a_write_is(self) -> None:
        for event in (True, False):
            for part, mask in ((VCPU_0, 1 << 15), (VCPU_0, 1 << 16), (MEMORY, 4), (MEMORY, 0)):
                error = HypervisorError
                self.assertRaises(error, self.fleet.tamper, FREE, part, mask, event=event)
            self.assertRaises(InstanceGone, self.fleet.tamper, OFF, VCPU_0, 1, event=event)
        self.assertEqual(UNPINNED, self.big.read(FREE, Scope.LIVE))

    def test_kernel_moves_strict_memory(self) -> None:
        self.assertRaises(HypervisorError, self.fleet.tamper, NOVA, MEMORY, 0b01)
        self.fleet.tamper(NOVA, MEMORY, 0b01, event=False)
        self.assertEqual(0b01, self.big.read(NOVA, Scope.LIVE)[MEMORY])
        self.assertEqual([1024, 10240], self.free_mib(self.big))
        self.big.write(NOVA, Scope.LIVE, Placement({MEMORY: 0b10}))
        self.assertEqual([2048, 9216], self.free_mib(self.big))

    def test_injected_failures(self) -> None:
        self.fleet.fail_next(FREE, 2, "second")
        self.fleet.fail_next(FREE, 3, "third")
        outcomes = []
        for mask, scope in enumerate([Scope.LIVE, Scope.PERSISTENT, Scope.LIVE, Scope.LIVE], 1):
            # another instance's writes do not count
            self.big.write(NOVA, scope, Placement({VCPU_0: 1}))
            self.fleet.tamper(FREE, VCPU_1, 1)  # nor do those of others
            try:
                self.big.write(FREE, scope, Placement({VCPU_0: mask}))
                outcomes.append("written")
            except HypervisorError as error:
                outcomes.append(str(error))
            if mask == 3:
                self.assertEqual(1, self.big.read(FREE, Scope.LIVE)[VCPU_0])
                self.assertEqual({}, self.big.read(FREE, Scope.PERSISTENT))
        self.assertEqual(["written", "vCPU 0: second", "vCPU 0: third", "written"], outcomes)
        self.fleet.fail_next(FREE, 1, "again")
        self.assertRaises(HypervisorError, self.big.write, FREE, Scope.LIVE, Placement({VCPU_0: 1}))


class EventsTest(FleetTestCase):
    def test_what_raises_events(self) -> None:
        heard = self.listen(self.big, "big")
        started, stopped, tuned = ((FREE, e) for e in (Event.STARTED, Event.STOPPED, Event.TUNED))
        cases: list[tuple[Callable[[], Any], list[Heard]]] = [
            (lambda: self.fleet.stop(FREE), [stopped]),
            (lambda: self.fleet.start(FREE), [started]),
            (lambda: self.fleet.hard_reboot(FREE), [stopped, started]),
            (lambda: self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 1})), [tuned]),
            (lambda: self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 1})), [tuned]),
            (lambda: self.big.write(FREE, Scope.LIVE, Placement({MEMORY: 1})), []),
            (lambda: self.big.write(FREE, Scope.PERSISTENT, Placement({VCPU_0: 1})), []),
            (lambda: self.fleet.tamper(NOVA, VCPU_0, 1), [(NOVA, Event.TUNED)]),
            (lambda: self.fleet.tamper(NOVA, VCPU_0, 2, event=False), []),
            (lambda: self.fleet.tamper(FREE, MEMORY, 2), []),
            (lambda: self.fleet.migrate(FREE, "twin"), [stopped]),
            (lambda: self.twin.write(FREE, Scope.LIVE, Placement({VCPU_0: 1})), []),
            (lambda: self.fleet.migrate(FREE, "big"), [(FREE, Event.ARRIVED)]),
            (lambda: self.fleet.delete(FREE), [stopped]),
            (lambda: self.fleet.delete(OFF), [(OFF, Event.STOPPED)]),
            (lambda: self.big.read(NOVA, Scope.LIVE), []),
        ]
        for number, (act, expected) in enumerate(cases):
            act()
            self.assertEqual((number, expected), (number, heard()))

    def test_refusals_raise_none(self) -> None:
        heard = self.listen(self.big, "big")
        for act in (
            lambda: self.fleet.start(FREE),
            lambda: self.fleet.stop(OFF),
            lambda: self.fleet.migrate(FREE, "nowhere"),
            lambda: self.fleet.tamper(FREE, VCPU_0, 0),
            lambda: self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0})),
        ):
            self.assertRaises(HypervisorError, act)
        self.assertEqual([], heard())

    def test_change_is_there_when_its_event_is(self) -> None:
        seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.big.listen(lambda uuid, _: seen.put(self.big.read(uuid, Scope.LIVE)[VCPU_0]))
        self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 0b100}))
        self.assertEqual(0b100, seen.get(timeout=10))

    def test_listeners_of_two_hosts_and_of_one(self) -> None:
        again = self.driver("big")
        all_heard = [
            self.listen(self.big, "big"),
            self.listen(again, "big"),
            self.listen(self.twin, "twin"),
        ]
        self.fleet.migrate(FREE, "twin")
        self.fleet.stop(FREE)
        self.fleet.stop(NOVA)
        heard = [[uuid for uuid, _ in heard() if uuid in (FREE, NOVA)] for heard in all_heard]
        self.assertEqual([[FREE, NOVA], [FREE, NOVA], [FREE, FREE]], heard)

    def test_callbacks_run_in_one_other_thread_without_the_lock(self) -> None:
        seen: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

        def callback(uuid: str, what: Event) -> None:
            # Somebody else must be able to use the fleet meanwhile.
            other = threading.Thread(target=self.big.instances, daemon=True)
            other.start()
            other.join(5)
            seen.put((threading.current_thread().name, other.is_alive()))

        self.big.listen(callback)
        self.twin.listen(callback)
        self.fleet.migrate(FREE, "twin")
        names = {seen.get(timeout=20) for _ in range(2)}
        self.assertEqual({("fleet-events", False)}, names)

    def test_failing_callback_does_not_end_the_events(self) -> None:
        def fail(uuid: str, what: Event) -> None:
            raise ValueError("on purpose")

        logger = self.useFixture(fixtures.FakeLogger())
        self.big.listen(fail)
        heard = self.listen(self.driver("big"), "big")
        self.fleet.stop(FREE)
        self.fleet.stop(NOVA)
        self.assertEqual([FREE, NOVA], [uuid for uuid, _ in heard()])
        self.assertIn("on purpose", logger.output)

    def test_none_after_close(self) -> None:
        events: list[str] = []
        self.big.listen(lambda uuid, _: events.append(uuid))
        heard = self.listen(self.driver("big"), "big")
        self.fleet.stop(FREE)
        heard()
        self.big.close()
        self.fleet.stop(NOVA)
        heard()
        self.assertIn(FREE, events)
        self.assertNotIn(NOVA, events)

    def test_close_waits_for_the_callback(self) -> None:
        entered, leave, closed = threading.Event(), threading.Event(), threading.Event()

        def callback(uuid: str, what: Event) -> None:
            entered.set()
            leave.wait(10)

        def close() -> None:
            self.big.close()
            closed.set()

        self.big.listen(callback)
        self.fleet.stop(FREE)
        self.assertTrue(entered.wait(10))
        threading.Thread(target=close, daemon=True).start()
        self.assertFalse(closed.wait(0.1))
        leave.set()
        self.assertTrue(closed.wait(10))

    def test_callback_may_close(self) -> None:
        closed = threading.Event()
        again = self.driver("big")
        calls = []

        def callback(uuid: str, what: Event) -> None:
            calls.append(uuid)
            self.big.close()
            again.close()
            closed.set()

        logger = self.useFixture(fixtures.FakeLogger())
        self.big.listen(callback)
        again.listen(callback)
        heard = self.listen(self.driver("twin"), "twin")
        self.fleet.stop(FREE)
        self.assertTrue(closed.wait(10))
        heard()
        self.assertEqual([FREE], calls)
        self.assertEqual("", logger.output)

    def test_thread_ends_with_the_last_listener_and_begins_anew(self) -> None:
        self.check_thread()
        self.check_thread()

    def check_thread(self) -> None:
        before = set(threading.enumerate())
        threads: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
        self.big.listen(lambda uuid, _: threads.put(threading.current_thread()))
        self.twin.listen(lambda uuid, _: None)
        self.assertEqual(1, len(set(threading.enumerate()) - before))
        self.fleet.tamper(FREE, VCPU_0, 1)
        thread = threads.get(timeout=10)
        self.twin.close()
        self.fleet.tamper(FREE, VCPU_0, 1)
        self.assertIs(thread, threads.get(timeout=10))
        self.assertTrue(thread.daemon)
        self.big.close()
        thread.join(10)
        self.assertFalse(thread.is_alive())

    def test_close_without_listen(self) -> None:
        self.big.close()
        self.big.close()
        self.assertEqual(3, len(self.big.instances()))


class ThreadsTest(FleetTestCase):
    def test_everything_waits_for_the_lock(self) -> None:
        acts: list[Callable[[], Any]] = [
            self.big.host,
            self.big.instances,
            lambda: self.big.scopes(FREE),
            lambda: self.big.read(FREE, Scope.LIVE),
            lambda: self.big.unpinned(FREE),
            lambda: self.big.write(FREE, Scope.LIVE, Placement({VCPU_0: 1})),
            lambda: self.fleet.tamper(FREE, VCPU_0, 1),
            lambda: self.fleet.fail_next(FREE, 9, "no"),
            lambda: self.fleet.set_offline("big", 1),
            lambda: self.fleet.hard_reboot(FREE),
            lambda: self.fleet.create("big", {"name": "new", "vcpus": 1, "memory_mib": 1}),
            lambda: self.fleet.migrate(FREE, "twin"),
            lambda: self.fleet.stop(NOVA),
            lambda: self.fleet.start(OFF),
            lambda: self.fleet.delete(OFF),
        ]
        for number, act in enumerate(acts):
            thread = threading.Thread(target=act, daemon=True)
            with self.fleet.lock:
                thread.start()
                thread.join(0.02)
                self.assertEqual((number, True), (number, thread.is_alive()))
            thread.join(10)
            self.assertEqual((number, False), (number, thread.is_alive()))


class FromConfTest(testtools.TestCase):
    def conf(self, **overrides: Any) -> cfg.ConfigOpts:
        conf = cfg.ConfigOpts()
        default_conf.register_opts(conf)
        simulated_conf.register_opts(conf)
        conf([])
        conf.set_override("host", overrides["host"])
        conf.set_override("fleet", overrides.get("fleet"), group="simulated")
        return conf

    def test_fleet_file(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        file = pathlib.Path(directory.name) / "fleet.yaml"
        file.write_text(yaml.safe_dump(FLEET))
        driver = SimulatedDriver.from_conf(self.conf(host="big", fleet=str(file)))
        self.assertEqual({FREE, NOVA, OFF}, {instance.uuid for instance in driver.instances()})

    def test_default_fleet_can_run(self) -> None:
        hosts = fleet.load()
        for host in hosts:
            driver = SimulatedDriver.from_conf(self.conf(host=host.name))
            self.assertEqual(
                {instance.uuid for instance in host.instances},
                {instance.uuid for instance in driver.instances()},
            )

    def test_host_that_the_fleet_lacks(self) -> None:
        conf = self.conf(host="nowhere")
        self.assertRaises(HypervisorError, SimulatedDriver.from_conf, conf)
