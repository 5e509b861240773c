# SPDX-License-Identifier: Apache-2.0
"""Nova's notifications over a real broker: to conductors, and to agents that stand alone."""

import json
import re
import uuid
from typing import Any, ClassVar

from kongming.tests import base, nova
from kongming.tests.functional.fixtures import libvirtd, rabbitmq, services
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_control_plane import ONLINE, SECOND, ControlPlaneCase

OTHER = "22222222-2222-4222-8222-222222222222"
KEY = "kongming-vcpu-pinning"


class ConductorsTest(ControlPlaneCase):
    settings: ClassVar[dict[str, dict[str, Any]]] = {
        "notifications": {"handlers": "versioned", "exact_projects": "*"}
    }
    conductors: ClassVar[list[services.Program]]
    nova: ClassVar[nova.Publisher]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        other = cls.have(services.Program("kongming-conductor", cls.kongming.conf))
        cls.conductors = [cls.kongming.conductor, other]
        cls.nova = cls.have(nova.Publisher(cls.broker.transport_url))

    def setUp(self) -> None:
        super().setUp()
        listening = "Listening to Nova"
        self.eventually(lambda: all(listening in each.log.read_text() for each in self.conductors))

    def tell(self, event: str, instance: str, value: str | None, **changes: Any) -> None:
        """Let Nova tell of a server."""
        metadata = {} if value is None else {KEY: value}
        changes = {"tenant_id": self.domain.project_id, "state": "active"} | changes
        self.nova.send(event, nova.payload(event, instance, metadata, **changes))

    def test_metadata_reaches_the_kernel_and_leaves_it(self) -> None:
        self.tell("instance.create.end", self.domain.uuid, str(SECOND))
        self.eventually(
            lambda: [self.domain.allowed()[f"vcpu{n}"] for n in range(4)] == [str(SECOND)] * 4
        )
        self.wait_for("applied")
        self.tell("instance.update", self.domain.uuid, None)
        self.eventually(lambda: set(self.domain.allowed().values()) == {ONLINE})

    def test_each_event_is_handled_once(self) -> None:
        servers = [str(uuid.uuid4()) for _ in range(40)]
        for server in servers:
            self.tell("instance.create.end", server, "nonsense")

        def said() -> list[list[str]]:
            logs = [conductor.log.read_text() for conductor in self.conductors]
            return [re.findall(rf"Instance (\S+): {KEY}: value", log) for log in logs]

        self.eventually(lambda: len(sum(said(), [])) >= len(servers))
        # handled again, it would follow at once
        self.tell("instance.create.end", self.domain.uuid, str(SECOND))
        self.eventually(lambda: self.domain.allowed()["vcpu0"] == str(SECOND))
        first, second = said()
        self.assertEqual(sorted(servers), sorted(first + second))
        self.assertTrue(first and second)


class StandaloneAgentsTest(base.TestCase):
    """No API, no conductor, no database; two agents on one broker, one of them on libvirt."""

    def test_all_hear_of_everything_and_act_on_their_own(self) -> None:
        broker = self.useFixture(rabbitmq.RabbitMQ())
        host = self.useFixture(libvirtd.Libvirtd())
        domain = self.useFixture(Domain(host, vcpus=2))
        fleet = self.directory / "fleet.yaml"
        fleet.write_text(
            "hosts:\n- {name: two, nodes: 1, cores_per_node: 4, threads_per_core: 1,"
            " memory_mib_per_node: 4096, instances: [{uuid: " + OTHER + ", name: vnf, vcpus: 1,"
            " memory_mib: 64}]}\n"
        )
        agents = []
        for name, settings in (
            ("one", f"hypervisor = libvirt\n[libvirt]\nuri = {host.uri}\n"),
            ("two", f"hypervisor = simulated\n[simulated]\nfleet = {fleet}\n"),
        ):
            conf = self.directory / f"{name}.conf"
            conf.write_text(
                f"[DEFAULT]\nhost = {name}\ntransport_url = {broker.transport_url}\n"
                f"[agent]\nstandalone = true\nstate_dir = {self.directory}\n{settings}"
            )
            environment = host.agent_env if name == "one" else {}
            agents.append(self.useFixture(services.Program("kongming-agent", conf, environment)))
        listening = "Listening to Nova"
        self.eventually(lambda: all(listening in each.log.read_text() for each in agents))
        sender = self.useFixture(nova.Publisher(broker.transport_url))
        for server in (OTHER, domain.uuid):
            event = "instance.create.end"
            sender.send(event, nova.payload(event, server, {KEY: str(SECOND)}))

        def held(name: str) -> dict[str, Any]:
            file = self.directory / f"placements-{name}.json"
            pins = json.loads(file.read_text()) if file.exists() else []
            return {pin["instance_uuid"]: pin["in_force"] for pin in pins}

        self.eventually(lambda: domain.allowed()["vcpu1"] == str(SECOND), 20)
        for name, server, vcpus in (("one", domain.uuid, "01"), ("two", OTHER, "0")):
            expected = {server: {"vcpus": dict.fromkeys(vcpus, str(SECOND))}}
            self.eventually(lambda args=(name, expected): held(args[0]) == args[1])  # type: ignore[misc]
