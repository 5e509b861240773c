# SPDX-License-Identifier: Apache-2.0
"""Nova's notifications lead to pins, with the in-process transport as broker."""

from typing import Any

from kongming.compute import notifications
from kongming.hypervisor.driver import Scope
from kongming.tests import base as tests
from kongming.tests import nova
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, UNKNOWN, VNF, rows
from kongming.topology.placement import Part

KEY = "kongming-vcpu-pinning"


class NotificationsTestCase(base.EmbeddedTestCase):
    handlers = ("versioned",)

    def options(self) -> dict[str, dict[str, Any]]:
        return {
            "notifications": {"handlers": list(self.handlers), "exact_projects": ["telco", "shop"]}
        }

    def setUp(self) -> None:
        super().setUp()
        self.nova = self.useFixture(nova.Publisher("fake://"))
        self.eventually(lambda: "Listening to Nova" in self.kongming.log.output)

    def tell(self, event: str, uuid: str = VNF, value: str | None = None, **changes: Any) -> None:
        """Let Nova tell of an event of a server whose metadata has a value for a wish."""
        metadata = {} if value is None else {KEY: value}
        self.nova.send(event, nova.payload(event, uuid, metadata, **changes))

    def is_on(self, *masks: int) -> bool:
        """Whether the vCPUs of VNF are on just these pCPUs."""
        live = self.kongming.driver("one").read(VNF, Scope.LIVE)
        return [live[Part("vcpu", number)] for number in range(len(masks))] == list(masks)


class VersionedTest(NotificationsTestCase):
    def test_life_of_a_server(self) -> None:
        self.tell("instance.create.end", value="4-5")
        self.eventually(lambda: self.is_on(48, 48, 48, 48))
        self.tell("instance.update", value='{"vcpus": {"0": "6"}}', state="active")
        self.eventually(lambda: self.is_on(64, 0x7FFF, 0x7FFF, 0x7FFF))
        self.tell("instance.power_on.end")
        self.eventually(lambda: rows("pins") == [])
        self.assertTrue(self.is_on(0x7FFF))

    def test_who_did_it_is_in_the_history(self) -> None:
        self.tell("instance.update", value="4-5", state="active")
        self.eventually(lambda: rows("pins"))
        history = self.get(f"/v1/pins/{VNF}/history").json()["history"]
        sent = nova.recorded("instance.create.end")["ctxt"]
        self.assertEqual(
            ("created", sent["user_id"], sent["request_id"]),
            tuple(history[0][name] for name in ("event", "user_id", "request_id")),
        )

    def test_end_of_a_server_that_never_came(self) -> None:
        size = {"vcpus": 4, "memory_mib": 512}
        self.pin(UNKNOWN, cpu_policy="dedicated", project_id="telco", host="two", size=size)
        self.assertEqual(4, len(rows("claims")))
        self.tell("compute_task.build_instances.error", UNKNOWN)
        self.eventually(lambda: rows("claims") == [])
        self.assertEqual("waiting", self.get(f"/v1/pins/{UNKNOWN}").json()["status"])
        self.tell("instance.delete.end", UNKNOWN, host=None, state="deleted")
        self.eventually(lambda: rows("pins") == [])

    def test_an_event_that_fails_does_not_stop_the_next(self) -> None:
        self.nova.send("instance.create.end", {"nova_object.data": {}})
        self.nova.send("instance.create.end", {})
        self.tell("instance.create.end", OFF, value="1")
        self.eventually(lambda: rows("pins"))
        # each event has a thread of its own
        self.eventually(lambda: self.kongming.log.output.count("could not be handled") == 2)

    def test_what_is_no_uuid_gets_no_pin(self) -> None:
        self.tell("instance.create.end", "nobody", value="1")
        self.tell("instance.create.end", OFF, value="1")
        self.eventually(lambda: rows("pins"))
        self.assertEqual([OFF], [pin["instance_uuid"] for pin in rows("pins")])
        self.assertIn("'nobody' is no UUID", self.kongming.log.output)


class LegacyTest(NotificationsTestCase):
    handlers = ("legacy",)

    def setUp(self) -> None:
        self.api = self.useFixture(nova.NovaAPI())
        super().setUp()

    def options(self) -> dict[str, dict[str, Any]]:
        return super().options() | {"service_credentials": self.api.options}

    def test_metadata_comes_from_nova(self) -> None:
        self.api.add(VNF, metadata={KEY: "4"})
        self.nova.send("compute.instance.power_on.end", nova.legacy_payload(VNF), topic=nova.LEGACY)
        self.eventually(lambda: self.is_on(16, 16, 16, 16))

    def test_nova_is_away(self) -> None:
        self.api.status = "503 Service Unavailable"
        content = nova.legacy_payload(VNF)
        self.nova.send("compute.instance.power_on.end", content, topic=nova.LEGACY)
        self.eventually(lambda: "could not be handled" in self.kongming.log.output)
        self.api.status = None
        self.api.add(VNF, metadata={KEY: "4"})
        self.nova.send("compute.instance.update", content, topic=nova.LEGACY)
        self.eventually(lambda: self.is_on(16, 16, 16, 16))


class ConfigurationTest(tests.TestCase):
    def test_none_is_the_default(self) -> None:
        self.assertEqual({}, notifications.handlers(self.conf))

    def test_what_cannot_be_followed(self) -> None:
        for names, words in ((["colour"], "colour"), (["legacy"], "service_credentials")):
            self.configuration.set("handlers", names, "notifications")
            error = self.assertRaises(
                notifications.ConfigurationError, notifications.handlers, self.conf
            )
            self.assertIn(words, str(error))

    def test_broker_that_cannot_be(self) -> None:
        self.configuration.set("transport_url", "fake://")
        notifications.check(self.conf)
        self.configuration.set("transport_url", "carrier-pigeon://x", "notifications")
        error = self.assertRaises(notifications.ConfigurationError, notifications.check, self.conf)
        self.assertIn("[notifications] transport_url", str(error))

    def test_both_at_once(self) -> None:
        api = self.useFixture(nova.NovaAPI())
        for name, value in api.options.items():
            self.configuration.set(name, value, "service_credentials")
        self.configuration.set("handlers", ["legacy", "versioned"], "notifications")
        found = notifications.handlers(self.conf)
        self.assertEqual(
            ["notifications", "versioned_notifications"],
            [handler.topic for handler in found.values()],
        )
