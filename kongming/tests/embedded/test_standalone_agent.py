# SPDX-License-Identifier: Apache-2.0
"""Agents that stand alone: a simulated host each, and Nova's notifications over one broker."""

import time
from typing import Any

from oslo_messaging._drivers import impl_fake

from kongming.agent.standalone import StandaloneAgent
from kongming.hypervisor import fleet, simulated
from kongming.hypervisor.driver import Scope
from kongming.tests import base, nova, scrape
from kongming.tests.embedded.base import Haste
from kongming.tests.functional.fixtures import server
from kongming.topology.placement import Part

KEY = "kongming-vcpu-pinning"
A, B, GIVEN = (f"{digit}" * 8 + "-1111-4111-8111-111111111111" for digit in "abc")
OFF, ELSEWHERE = (f"{digit}" * 8 + "-1111-4111-8111-111111111111" for digit in "de")
HOST = {"nodes": 2, "cores_per_node": 4, "threads_per_core": 2, "memory_mib_per_node": 8192}
EVERYWHERE = 0xFFFF


def instance(uuid: str, **more: Any) -> dict[str, Any]:
    """Return a server of two vCPUs for a fleet."""
    return {"uuid": uuid, "name": uuid[:4], "vcpus": 2, "memory_mib": 512} | more


FLEET = {
    "hosts": [
        HOST
        | {
            "name": "one",
            "instances": [
                instance(A),
                instance(B),
                instance(GIVEN, dedicated=True, vcpu_pins={0: 6, 1: 7}),
                instance(OFF, state="shutoff"),
            ],
        },
        HOST | {"name": "two", "instances": [instance(ELSEWHERE)]},
    ]
}


class StandaloneTestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(Haste())
        self.addCleanup(impl_fake.FakeExchangeManager.cleanup)
        self.configuration.set("transport_url", "fake://")
        self.configuration.set("state_dir", str(self.directory), "agent")
        # neither is looked for
        self.configuration.set("connection", "nonsense://", "database")
        self.fleet = simulated.Fleet(fleet.parse(FLEET))
        self.nova = self.useFixture(nova.Publisher("fake://"))

    def start(self, host: str = "one") -> StandaloneAgent:
        """Start the agent of a host."""
        before = self.log.output.count("Listening to Nova")
        agent = StandaloneAgent(self.conf, host, simulated.SimulatedDriver(self.fleet, host))
        agent.start()
        self.addCleanup(agent.stop)
        self.eventually(lambda: self.log.output.count("Listening to Nova") > before)
        return agent

    def tell(self, uuid: str, value: str | None, event: str = "instance.create.end") -> None:
        """Let Nova tell of a server, with a host that is wrong."""
        metadata = {} if value is None else {KEY: value}
        self.nova.send(event, nova.payload(event, uuid, metadata, host="dead", state="active"))

    def cpus(self, uuid: str) -> list[int]:
        """Return on which pCPUs the vCPUs of an instance are."""
        host = "two" if uuid == ELSEWHERE else "one"
        live = simulated.SimulatedDriver(self.fleet, host).read(uuid, Scope.LIVE)
        return [live[Part("vcpu", number)] for number in range(2)]


class MetadataTest(StandaloneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent = self.start()

    def test_life(self) -> None:
        self.tell(A, "4-5")
        self.eventually(lambda: self.cpus(A) == [48, 48])
        self.tell(A, '{"vcpus": {"0": "2"}}', "instance.update")
        self.eventually(lambda: self.cpus(A) == [4, EVERYWHERE])
        self.tell(A, None, "instance.update")
        self.eventually(lambda: self.cpus(A) == [EVERYWHERE, EVERYWHERE])
        self.eventually(lambda: self.agent._store.all() == [])

    def test_hard_reboot_is_healed(self) -> None:
        self.tell(A, "4-5")
        self.eventually(lambda: self.cpus(A) == [48, 48])
        self.fleet.hard_reboot(A)
        self.eventually(lambda: self.cpus(A) == [48, 48])

    def test_choice_leaves_out_what_others_have(self) -> None:
        self.tell(A, '{"cpu_policy": "dedicated"}')
        self.eventually(lambda: EVERYWHERE not in self.cpus(A))
        self.tell(B, '{"cpu_policy": "dedicated"}')
        self.eventually(lambda: EVERYWHERE not in self.cpus(B))
        self.assertEqual(4, len({*self.cpus(A), *self.cpus(B)}))
        self.assertFalse({64, 128} & {*self.cpus(A), *self.cpus(B)})

    def test_refusals_are_logged_with_their_reason(self) -> None:
        self.tell(A, '{"cpu_policy": "dedicated", "vcpus": {"0": "4", "1": "5"}}')
        self.eventually(lambda: self.cpus(A) == [16, 32])
        for value, words in (
            ("4", "pCPU 4 of host one is already held by the pin of instance aaaaaaaa"),
            ("6", "to which somebody else than KongMing gave it"),
            ("16", "16"),
            ("nonsense", "value"),
            ('{"cpu_policy": "dedicated", "numa_nodes": 3}', "numa_nodes"),
        ):
            before = len(self.log.output)
            self.tell(B, value)
            self.eventually(lambda begin=before: "is not placed" in self.log.output[begin:])  # type: ignore[misc]
            self.assertIn(words, self.log.output[before:])
        self.assertEqual([EVERYWHERE] * 2, self.cpus(B))

    def test_server_that_nova_placed_is_left_alone(self) -> None:
        self.tell(GIVEN, "6-7")
        self.eventually(lambda: "was given pCPU 6-7 of host one" in self.log.output)
        self.assertEqual([64, 128], self.cpus(GIVEN))

    def test_server_that_does_not_run_is_pinned_when_it_does(self) -> None:
        self.tell(OFF, "4")
        self.tell(A, "4")
        self.eventually(lambda: self.cpus(A) == [16, 16])
        self.assertIsNone(self.agent._store.get(OFF))
        self.fleet.start(OFF)
        self.tell(OFF, "4", "instance.power_on.end")
        self.eventually(lambda: self.cpus(OFF) == [16, 16])

    def test_deleted(self) -> None:
        for uuid in (A, B):
            self.tell(uuid, "4")
            self.eventually(lambda one=uuid: self.cpus(one) == [16, 16])  # type: ignore[misc]
        self.fleet.delete(A)
        self.tell(A, "4", "instance.delete.end")
        self.eventually(lambda: [held.instance_uuid for held in self.agent._store.all()] == [B])
        # deleted for Nova alone
        self.tell(B, "4", "instance.delete.end")
        self.eventually(lambda: self.cpus(B) == [EVERYWHERE, EVERYWHERE])


class SeveralTest(StandaloneTestCase):
    def test_each_acts_for_its_own_host(self) -> None:
        agents = [self.start("one"), self.start("two")]
        self.tell(A, "4")
        self.tell(ELSEWHERE, "5")
        self.eventually(lambda: self.cpus(A) == [16, 16])
        self.eventually(lambda: self.cpus(ELSEWHERE) == [32, 32])
        held = [[each.instance_uuid for each in agent._store.all()] for agent in agents]
        self.assertEqual([[A], [ELSEWHERE]], held)

    def test_restart(self) -> None:
        agent = self.start()
        self.tell(A, '{"cpu_policy": "dedicated", "vcpus": {"0": "4", "1": "5"}}')
        self.eventually(lambda: self.cpus(A) == [16, 32])
        agent.stop()
        self.fleet.hard_reboot(A)
        self.assertEqual([EVERYWHERE] * 2, self.cpus(A))
        self.start()
        self.eventually(lambda: self.cpus(A) == [16, 32])
        # and still has what it claimed
        self.tell(B, "4")
        self.eventually(lambda: "pCPU 4 of host one is already held" in self.log.output)
        self.assertEqual([EVERYWHERE] * 2, self.cpus(B))

    def test_instance_that_left(self) -> None:
        self.configuration.set("update_resources_interval", 1, "agent")
        agents = [self.start("one"), self.start("two")]
        self.tell(A, "4")
        self.eventually(lambda: self.cpus(A) == [16, 16])
        self.fleet.migrate(A, "two")
        self.tell(A, "4", "instance.live_migration_post_dest.end")
        self.eventually(lambda: agents[1]._store.get(A) is not None)
        self.eventually(lambda: agents[0]._store.get(A) is None)

    def test_full_disk(self) -> None:
        self.configuration.set("update_resources_interval", 1, "agent")
        self.configuration.set("state_dir", str(self.directory / "state"), "agent")
        agent = self.start()
        self.tell(A, "4")
        self.eventually(lambda: self.cpus(A) == [16, 16])
        (self.directory / "state").rename(self.directory / "elsewhere")
        # it cannot forget the one, nor take the other
        self.fleet.migrate(A, "two")
        self.tell(B, "4")
        words = "Host one: its placements cannot be kept in"
        self.eventually(lambda: words in self.log.output)
        (self.directory / "elsewhere").rename(self.directory / "state")
        self.eventually(lambda: agent._store.get(A) is None)
        self.tell(B, "4")
        self.eventually(lambda: self.cpus(B) == [16, 16])


class RoomTest(StandaloneTestCase):
    """A wish that finds no room is kept, and tried again with each sweep."""

    def setUp(self) -> None:
        super().setUp()
        self.configuration.set("update_resources_interval", 1, "agent")
        self.agent = self.start()
        self.tell(A, '{"cpu_policy": "dedicated", "vcpus": {"0": "4", "1": "5"}}')
        self.eventually(lambda: self.cpus(A) == [16, 32])

    def refused(self, value: str, uuid: str = B) -> None:
        """Tell a wish that finds no room."""
        before = len(self.log.output)
        self.tell(uuid, value)
        self.eventually(lambda: f"Instance {uuid} is not placed" in self.log.output[before:])

    def test_as_soon_as_there_is_room(self) -> None:
        self.refused("5")
        time.sleep(2.5)
        self.assertEqual([EVERYWHERE] * 2, self.cpus(B))
        self.assertEqual(1, self.log.output.count(f"Instance {B} is not placed"))
        self.tell(A, None, "instance.update")
        self.eventually(lambda: self.cpus(B) == [32, 32])

    def test_after_a_restart(self) -> None:
        self.refused("5")
        self.agent.stop()
        self.fleet.delete(A)
        self.start()
        self.eventually(lambda: self.cpus(B) == [32, 32])

    def test_what_it_has_stays_until_then(self) -> None:
        self.tell(B, "2")
        self.eventually(lambda: self.cpus(B) == [4, 4])
        self.refused("5")
        self.assertEqual([4, 4], self.cpus(B))
        self.fleet.delete(A)
        self.eventually(lambda: self.cpus(B) == [32, 32])

    def test_withdrawn(self) -> None:
        self.tell(B, "2")
        self.eventually(lambda: self.cpus(B) == [4, 4])
        self.refused("5")
        # as it was
        self.tell(B, "2", "instance.update")
        self.eventually(lambda: not [held for held in self.agent._store.all() if held.wanted])
        self.refused("5")
        # none at all
        self.tell(B, None, "instance.update")
        self.eventually(lambda: self.agent._store.get(B) is None)
        self.refused("4")
        self.tell(B, None, "instance.update")
        self.eventually(lambda: self.agent._store.get(B) is None)
        self.fleet.delete(A)
        time.sleep(2.5)
        self.assertEqual([EVERYWHERE] * 2, self.cpus(B))

    def test_deleted(self) -> None:
        self.refused("5")
        self.fleet.delete(B)
        self.eventually(lambda: self.agent._store.get(B) is None)


class MetricsTest(StandaloneTestCase):
    def test_numbers(self) -> None:
        port = server.free_port()
        self.configuration.set("update_resources_interval", 1, "agent")
        self.configuration.set("metrics_port", port, "agent")
        self.start()
        self.tell(A, "4-5")
        self.eventually(lambda: scrape.samples(port)["kongming_pin_state"] == {(A, "applied"): 1})
        # Nova's pins of GIVEN, disturbed by those that float
        self.eventually(
            lambda: scrape.samples(port)["kongming_host_conflicts"].get(("shared",)) == 2
        )
        found = self.eventually(
            lambda: (told := scrape.samples(port))["kongming_host_cpu_busy_ratio"] and told
        )
        self.assertEqual({}, found["kongming_report_age_seconds"])
        self.assertEqual({A, B, GIVEN}, {key[0] for key in found["kongming_instance_memory_bytes"]})

    def test_nobody_looks_if_nobody_asks(self) -> None:
        agent = self.start()
        agent._look()
        self.assertIsNone(agent._observer.last)


class LegacyTest(StandaloneTestCase):
    def test_nova_is_asked_about_servers_of_the_own_host_alone(self) -> None:
        api = self.useFixture(nova.NovaAPI())
        for name, value in api.options.items():
            self.configuration.set(name, value, "service_credentials")
        self.configuration.set("handlers", ["legacy"], "notifications")
        self.start()
        for uuid in (ELSEWHERE, A):
            api.add(uuid, metadata={KEY: "4"})
            content = nova.legacy_payload(uuid)
            self.nova.send("compute.instance.power_on.end", content, topic=nova.LEGACY)
        self.eventually(lambda: self.cpus(A) == [16, 16])
        asked = [path for path, _ in api.asked if "servers" in path]
        self.assertEqual([f"/v2.1/servers/{A}"], asked)
