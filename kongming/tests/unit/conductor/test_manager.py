# SPDX-License-Identifier: Apache-2.0
"""The conductor's RPC endpoint: who is answered what, and which agent is set to work."""

import queue
from typing import Any

import fixtures
import oslo_messaging

from kongming import exception, objects, rpc
from kongming.agent import rpcapi
from kongming.conductor.manager import ConductorManager
from kongming.context import RequestContext
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B
from kongming.topology.wish import Wish


class Agent:
    """Notes that it was called."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[str] = queue.SimpleQueue()

    @oslo_messaging.expose
    def placements_changed(self, context: RequestContext) -> None:
        self.calls.put(str(context.request_id))


class ManagerTestCase(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configuration.set("transport_url", "fake://")
        self.manager = ConductorManager(self.conf)

    def pin(self, uuid: str, cpus: str) -> objects.Pin:
        wish = Wish.from_dict({"cpu_policy": "dedicated", "vcpus": {"*": cpus}})
        return objects.Pin(instance_uuid=uuid, project_id="telco", user_id="mano", wish=wish)

    def told(self, *uuids: str, host: str = "one", full: bool = True) -> objects.Report:
        """Return what an agent tells."""
        self.sequences[host] += 1
        return objects.Report(
            host=host,
            sequence=self.sequences[host],
            interval=60,
            full=full,
            topology=base.TOPOLOGY if full else None,
            instances=[self.instance(uuid) for uuid in uuids],
            gone=[],
            outcomes=[],
        )


class AnswersTest(ManagerTestCase):
    def test_report(self) -> None:
        for number, report, expected in (
            (1, self.told(A), {"sequence": 1, "full_needed": False}),
            (2, self.told(host="two", full=False), {"sequence": 1, "full_needed": True}),
            (3, self.told(A), {"sequence": 2, "full_needed": False}),
        ):
            answer = self.manager.report(self.context, report)
            self.assertEqual(expected, answer, f"report {number}")

    def test_placements(self) -> None:
        self.run_instances(A, B)
        self.create(A, "4")
        self.create(B, "5")
        self.delete(B)
        found = {pin.instance_uuid: pin for pin in self.manager.placements(self.context, "one")}
        self.assertEqual(base.placement(vcpus={"0": "4", "1": "4"}), found[A].placement)
        self.assertEqual((None, 2), (found[B].placement, found[B].generation))
        self.assertEqual(base.placement(vcpus={"0": "5", "1": "5"}), found[B].in_force)
        self.assertEqual([], self.manager.placements(self.context, "two"))

    def test_refusals_are_answers(self) -> None:
        # any other exception would be logged as the conductor's own failure
        self.run_instances(A, B)
        self.create(A, "4")
        for method, arguments, expected in (
            ("create_pin", {"pin": self.pin("c" + A[1:], "1"), "wait": False}, "InstanceNotFound"),
            ("create_pin", {"pin": self.pin(A, "1"), "wait": False}, "PinExists"),
            ("create_pin", {"pin": self.pin(B, "4"), "wait": False}, "CpuAlreadyClaimed"),
            ("create_pin", {"pin": self.pin(B, "99"), "wait": False}, "BadRequest"),
            ("update_pin", {"instance_uuid": B, "wish": {}, "generation": None}, "PinNotFound"),
            ("update_pin", {"instance_uuid": A, "wish": {}, "generation": 9}, "StaleGeneration"),
            ("delete_pin", {"instance_uuid": B}, "PinNotFound"),
        ):
            error = self.assertRaises(
                oslo_messaging.ExpectedException,
                getattr(self.manager, method),
                self.context,
                **arguments,
            )
            self.assertIs(getattr(exception, expected), error.exc_info[0])

    def test_broker_that_is_away_is_no_failure(self) -> None:
        """Where the connection is yet to be made, its library has words of its own."""
        self.configuration.set("transport_url", "rabbit://127.0.0.1:1/")
        transport = rpc.transport(self.conf)
        self.addCleanup(rpc.disconnect, transport)
        self.manager._agents = rpcapi.AgentAPI(transport)
        self.run_instances(A)
        stored = self.manager.create_pin(self.context, self.pin(A, "4"), wait=False)
        self.assertEqual("pending", stored.status)
        self.assertIn("Could not tell the agent of host one", self.log.output)

    def test_agent_that_cannot_be_told_is_no_failure(self) -> None:
        def fail(*_: Any) -> None:
            raise oslo_messaging.MessageDeliveryFailure("the broker is away")

        self.run_instances(A)
        self.useFixture(
            fixtures.MonkeyPatch(f"{rpcapi.__name__}.AgentAPI.placements_changed", fail)
        )
        stored = self.manager.create_pin(self.context, self.pin(A, "4"), wait=False)
        self.assertEqual("pending", stored.status)
        self.assertEqual("pending", self.row(A).status)
        self.assertIn("Could not tell the agent of host one", self.log.output)


class TellTest(ManagerTestCase):
    def test_agent_is_set_to_work(self) -> None:
        self.agent = Agent()
        server = rpc.server(rpc.transport(self.conf), rpc.AGENT_TOPIC, "one", self.agent)
        server.start()
        self.addCleanup(server.stop)
        manager, context = self.manager, self.context

        manager.report(context, self.told(A))
        for work in (
            lambda: manager.create_pin(context, self.pin(A, "4"), wait=False),
            lambda: manager.update_pin(context, A, {"emulator": "1"}, 1),
            lambda: manager.delete_pin(context, A),
            lambda: manager.create_pin(context, self.pin(A, "4"), wait=False),
            # nothing for this host: a pin that waits, and a report without news
            lambda: manager.create_pin(context, self.pin(B, "5"), wait=True),
            lambda: manager.report(context, self.told(A)),
            # its instance is there
            lambda: manager.report(context, self.told(A, B)),
        ):
            work()
        last = RequestContext(request_id="req-last")
        rpcapi.AgentAPI(rpc.transport(self.conf)).placements_changed(last, "one")
        told = list(iter(lambda: self.agent.calls.get(timeout=10), "req-last"))
        self.assertEqual([context.request_id] * 5, told)
