# SPDX-License-Identifier: Apache-2.0
"""What a caller hears when no conductor can be reached."""

from typing import Any

import fixtures
import kombu.exceptions

from kongming import exception, rpc
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import service_context
from kongming.tests import base


class BrokerTest(base.TestCase):
    def test_another_connection_that_cannot_be_made(self) -> None:
        """A thread that finds all others in use."""
        self.configuration.set("transport_url", "fake://")
        api = ConductorAPI(rpc.transport(self.conf))
        api._reachable.set()

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise kombu.exceptions.OperationalError("Connection refused")

        with fixtures.MonkeyPatch("oslo_messaging.transport.Transport._send", refuse):
            context = service_context()
            error = exception.ControlPlaneUnavailable
            self.assertRaises(error, api.placements, context, "one")
            self.assertRaises(error, api.ping, context, 1)
