# SPDX-License-Identifier: Apache-2.0
"""How a client of conductors gets to the broker, and what callers hear if it does not."""

import itertools
import threading
from typing import Any

import fixtures
import oslo_messaging
from amqp.exceptions import AccessRefused, NotAllowed
from kombu.exceptions import OperationalError

from kongming import exception, rpc
from kongming.conductor import rpcapi
from kongming.context import service_context
from kongming.tests import base


class BrokerTest(base.TestCase):
    def assert_unavailable(self, said: Exception) -> None:
        """Insist on what callers hear when the library below oslo.messaging says that."""
        self.configuration.set("transport_url", "fake://")
        api = rpcapi.ConductorAPI(rpc.transport(self.conf))
        api._reachable.set()

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise said

        with fixtures.MonkeyPatch("oslo_messaging.transport.Transport._send", refuse):
            context = service_context()
            error = exception.ControlPlaneUnavailable
            self.assertRaises(error, api.placements, context, "one")
            self.assertRaises(error, api.ping, context, 1)

    def test_another_connection_that_cannot_be_made(self) -> None:
        """A thread that finds all others in use."""
        self.assert_unavailable(OperationalError("Connection refused"))

    def test_user_who_is_refused_by_now(self) -> None:
        self.assert_unavailable(AccessRefused("ACCESS_REFUSED"))
        self.assert_unavailable(NotAllowed("NOT_ALLOWED - vhost x not found"))


class Client:
    """Stands in for that of oslo.messaging."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)

    def prepare(self, **_: object) -> "Client":
        return self

    def call(self, *_: object) -> None:
        if self.answers:
            raise self.answers.pop(0)


class ReachTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch("kongming.rpc.pauses", lambda: itertools.repeat(0)))

    def reach(self, *answers: Exception) -> None:
        """Insist that the broker counts as reached after these, and not before."""
        api = rpcapi.ConductorAPI.__new__(rpcapi.ConductorAPI)
        api._reachable = threading.Event()
        client = api._client = Client(*answers)
        api._reach()
        self.assertTrue(api._reachable.is_set())
        self.assertEqual([], client.answers)

    def test_user_who_is_refused_until_the_operator_lets_him_in(self) -> None:
        self.reach(AccessRefused("ACCESS_REFUSED"), NotAllowed("NOT_ALLOWED - vhost x not found"))
        self.assertIn("cannot be reached: ACCESS_REFUSED", self.log.output)
        self.assertIn("vhost x not found", self.log.output)

    def test_broker_that_is_away_at_first(self) -> None:
        self.reach(oslo_messaging.MessageDeliveryFailure("unreachable"))
        self.assertIn("cannot be reached: unreachable", self.log.output)

    def test_nobody_behind_the_broker(self) -> None:
        self.reach(oslo_messaging.MessagingTimeout())
        self.assertIn("no conductor is yet", self.log.output)
