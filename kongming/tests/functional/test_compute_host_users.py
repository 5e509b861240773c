# SPDX-License-Identifier: Apache-2.0
"""The user of a compute host in the security guide: an agent's work, and nobody else's."""

import re
import shlex
import threading
from typing import Any

import oslo_messaging
from oslo_config import cfg

from kongming import rpc
from kongming.context import RequestContext
from kongming.tests import base, guide
from kongming.tests.functional.fixtures import server
from kongming.tests.functional.fixtures.rabbitmq import RabbitMQ

HOST = "compute1"


class _Endpoint:
    """Tells who answers, and remembers that it was asked."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = threading.Event()

    @oslo_messaging.expose
    def ping(self, context: Any) -> str:
        """Answer."""
        self.asked.set()
        return self.name


class ComputeHostUserTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.broker = self.useFixture(RabbitMQ())
        self.broker.control("add_vhost", "kongming")
        self.broker.control("set_permissions", "-p", "kongming", "guest", ".*", ".*", ".*")
        for command in self.commands():
            self.broker.control(*command)

    def commands(self) -> list[list[str]]:
        """Return what the guide says, without the name of the program."""
        text = (guide.DOCUMENTS / "admin/security.rst").read_text().replace("\\\n", " ")
        found = [shlex.split(line)[1:] for line in re.findall(r"^ +rabbitmqctl .*$", text, re.M)]
        self.assertEqual(3, len(found))
        return found

    def connect(self, user: str) -> Any:
        """Return a connection of its own."""
        url = f"rabbit://{user}@{server.LOOPBACK}:{self.broker.port}/kongming"
        connection = oslo_messaging.get_rpc_transport(cfg.CONF, url=url)
        self.addCleanup(rpc.disconnect, connection)
        return connection

    def serve(self, connection: Any, topic: str, name: str) -> _Endpoint:
        """Begin to listen, and go on once that was allowed or refused."""
        endpoint = _Endpoint(name)
        listening = rpc.server(connection, topic, name, endpoint)
        self.addCleanup(listening.stop)

        thread = threading.Thread(target=listening.start, daemon=True)
        thread.start()
        # who is refused tries again
        self.eventually(lambda: not thread.is_alive() or self.refusals(), 60)
        return endpoint

    def refusals(self) -> list[str]:
        """Return what the log tells of brokers that refuse."""
        return re.findall("The message broker cannot be reached: (.*)", self.log.output)

    def test_agent(self) -> None:
        conductors, agent = self.connect("guest:guest"), self.connect("kongming-compute1:PASSWORD")
        self.serve(conductors, rpc.CONDUCTOR_TOPIC, "controller")
        own = self.serve(agent, rpc.AGENT_TOPIC, HOST)
        other = self.serve(conductors, rpc.AGENT_TOPIC, "compute2")
        self.assertEqual([], self.refusals())
        context = RequestContext()
        call = rpc.client(agent, rpc.CONDUCTOR_TOPIC, "1.0")
        self.assertEqual("controller", call.call(context, "ping"))
        tell = rpc.client(conductors, rpc.AGENT_TOPIC, "1.0")
        tell.prepare(server=HOST).cast(context, "ping")
        self.assertTrue(own.asked.wait(30))
        # to another agent
        intruder = rpc.client(self.connect("kongming-compute1:PASSWORD"), rpc.AGENT_TOPIC, "1.0")
        error = self.assertRaises(
            oslo_messaging.MessageDeliveryFailure,
            intruder.prepare(server="compute2").cast,
            context,
            "ping",
        )
        self.assertIn("ACCESS_REFUSED", str(error))
        self.assertFalse(other.asked.is_set())
        # in place of a conductor
        self.serve(self.connect("kongming-compute1:PASSWORD"), rpc.CONDUCTOR_TOPIC, "intruder")
        refused = "ACCESS_REFUSED - access to queue 'kongming-conductor'"
        self.assertIn(refused, self.refusals()[0])
        self.assertEqual({"controller"}, {call.call(context, "ping") for _ in range(4)})
