# SPDX-License-Identifier: Apache-2.0
"""Servers come to their broker sooner or later."""

import itertools
import threading
from typing import Any

import fixtures
from amqp.exceptions import AccessRefused
from kombu.exceptions import OperationalError
from oslo_messaging import MessageDeliveryFailure

from kongming import rpc
from kongming.tests import base


class Listening:
    """Stands in for a server of oslo.messaging, which can be started but once."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self.calls.append("stop")

    def wait(self) -> None:
        self.calls.append("wait")


class ServerTest(base.BareTestCase):
    def server(self, *errors: Exception | None) -> rpc.Server:
        """Return a server that is refused so before it is let in."""
        self.made: list[Any] = []
        left = iter(errors)

        def make() -> Any:
            self.made.append(Listening(next(left)))
            return self.made[-1]

        return rpc.Server(make)

    def test_refused_until_the_operator_lets_it_in(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.rpc.pauses", lambda: itertools.repeat(0)))
        server = self.server(
            AccessRefused("ACCESS_REFUSED"),
            OperationalError("Connection refused"),
            MessageDeliveryFailure("no queue"),
            None,
        )
        self.assertTrue(server.start())
        self.assertEqual([["start"]] * 4, [each.calls for each in self.made])
        for reason in ("ACCESS_REFUSED", "Connection refused", "no queue"):
            self.assertIn(f"The message broker cannot be reached: {reason}", self.log.output)
        server.stop()
        self.assertEqual(["start", "stop", "wait"], self.made[-1].calls)

    def test_stopped_before_it_was_let_in(self) -> None:
        server = self.server(*[AccessRefused("ACCESS_REFUSED")] * 2)
        began: list[bool] = []
        thread = threading.Thread(target=lambda: began.append(server.start()))
        with fixtures.MonkeyPatch("kongming.rpc.pauses", lambda: itertools.repeat(1000)):
            thread.start()
            self.eventually(lambda: "ACCESS_REFUSED" in self.log.output)
            server.stop()
            thread.join(30)
        self.assertEqual([False], began)
        self.assertEqual([["start"]], [each.calls for each in self.made])

    def test_stopped_before_it_starts(self) -> None:
        server = self.server(None)
        server.stop()
        self.assertFalse(server.start())
        self.assertEqual([], self.made)

    def test_stopped_while_oslo_messaging_waits_for_the_broker(self) -> None:
        server = self.server(None)
        start = Listening.start

        def start_late(listening: Listening) -> None:
            server.stop()
            start(listening)

        with fixtures.MonkeyPatch(f"{__name__}.Listening.start", start_late):
            self.assertFalse(server.start())
        self.assertEqual([["start", "stop", "wait"]], [each.calls for each in self.made])

    def test_mistakes_are_not_taken_for_the_broker(self) -> None:
        self.assertRaises(ZeroDivisionError, self.server(ZeroDivisionError()).start)
