# SPDX-License-Identifier: Apache-2.0
"""KongMing's own notifications, as whoever listens gets them: those that the guide shows."""

import json
import pathlib
from typing import Any

import kongming
from kongming.tests import ear
from kongming.tests.embedded import base
from kongming.tests.embedded.base import VNF
from kongming.topology.placement import Part

SAMPLES = pathlib.Path(kongming.__file__).parents[1] / "doc" / "notification_samples"


class NoticesTest(base.EmbeddedTestCase):
    def options(self) -> dict[str, dict[str, Any]]:
        return {"oslo_messaging_notifications": {"driver": ["messagingv2"]}}

    def setUp(self) -> None:
        super().setUp()
        self.ear = self.useFixture(ear.Ear(self.conf))

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
