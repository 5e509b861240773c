# SPDX-License-Identifier: Apache-2.0
"""KongMing's own notifications, as whoever listens gets them: those that the guide shows."""

import json
import pathlib
from typing import Any

import oslo_messaging

import kongming
from kongming.tests.embedded import base
from kongming.tests.embedded.base import VNF
from kongming.topology.placement import Part

SAMPLES = pathlib.Path(kongming.__file__).parents[1] / "doc" / "notification_samples"


class Ear:
    """Takes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def info(self, ctxt: Any, publisher_id: str, event: str, payload: Any, _: Any) -> None:
        """Hear of something."""
        self._hear("INFO", publisher_id, event, payload)

    def error(self, ctxt: Any, publisher_id: str, event: str, payload: Any, _: Any) -> None:
        """Hear of a failure."""
        self._hear("ERROR", publisher_id, event, payload)

    def _hear(self, priority: str, publisher_id: str, event: str, payload: Any) -> None:
        message = {"priority": priority, "publisher_id": publisher_id, "event_type": event}
        self.heard.append(message | {"payload": payload})


class NoticesTest(base.EmbeddedTestCase):
    def options(self) -> dict[str, dict[str, Any]]:
        return {"oslo_messaging_notifications": {"driver": ["messagingv2"]}}

    def setUp(self) -> None:
        super().setUp()
        self.ear = Ear()
        listener = oslo_messaging.get_notification_listener(
            oslo_messaging.get_notification_transport(self.conf),
            [oslo_messaging.Target(topic="notifications")],
            [self.ear],
        )
        listener.start()
        self.addCleanup(listener.wait)
        self.addCleanup(listener.stop)

    def test_samples_are_what_is_sent(self) -> None:
        samples = {path.stem: json.loads(path.read_text()) for path in SAMPLES.iterdir()}
        self.assertEqual({"created", "drifted"}, set(samples))
        body = dict(samples["created"]["payload"]["kongming_object.data"]["wish"])
        self.pin(VNF, **body)
        self.hear("created", "applied")
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        self.hear("created", "applied", "drifted", "applied")
        for sample in samples.values():
            (heard,) = (
                each for each in self.ear.heard if each["event_type"] == sample["event_type"]
            )
            self.assertEqual(self._lasting(sample), self._lasting(heard))

    def hear(self, *events: str) -> None:
        """Wait until just these events of a pin were heard, in whatever order."""
        names = sorted(f"resource_pin.pin.{event}" for event in events)
        self.eventually(lambda: sorted(each["event_type"] for each in self.ear.heard) == names)

    def _lasting(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message without what differs each time."""
        data = dict(message["payload"]["kongming_object.data"])
        for name in ("at", "request_id"):
            self.assertIsInstance(data.pop(name), str)
        host = {"publisher_id": message["publisher_id"].partition(":")[0]}
        return message | host | {"payload": message["payload"] | {"kongming_object.data": data}}
