# SPDX-License-Identifier: Apache-2.0
from typing import Any

from oslo_messaging.notify import _impl_test

from kongming.conductor import history, notices
from kongming.conductor.retry import Moved, retried
from kongming.db import engine
from kongming.objects.report import Cause
from kongming.tests.unit.conductor.base import A, B, ConductorTestCase, outcome


class NoticesTest(ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configuration.set("transport_url", "fake://")
        self.configuration.set("host", "ctl")
        self.configuration.set("driver", ["test"], "oslo_messaging_notifications")
        _impl_test.reset()
        notices.start(self.conf)
        self.addCleanup(notices.stop)
        self.run_instances(A, B)

    def sent(self) -> list[tuple[str, str]]:
        """Return priority and event of all that was sent; nothing more follows."""
        notices.stop()
        return [(priority.lower(), message["event_type"]) for _, message, priority, _ in _sent()]

    def test_events_are_those_of_the_history(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        self.report(outcomes=[outcome(A, 1, "drifted", "vCPU 0 is on 9")])
        self.report(outcomes=[outcome(A, 1, "failed", "no")])
        self.update(A, "5")
        self.run_instances(B)
        self.delete(A)
        sent = self.sent()
        self.assertEqual(
            [f"resource_pin.pin.{event}" for event in self.events(A)],
            [event for _, event in sent],
        )
        errors = {event for priority, event in sent if priority == "error"}
        self.assertEqual({"resource_pin.pin.drifted", "resource_pin.pin.failed"}, errors)
        self.assertEqual({"error", "info"}, {priority for priority, _ in sent})
        for name in ("created", "applied", "changed", "waiting", "deleted"):
            self.assertIn(("info", f"resource_pin.pin.{name}"), sent)

    def test_what_belongs_to_the_life_of_an_instance_is_no_error(self) -> None:
        self.create(A, "4")
        self.confirm(A)
        for number, cause in enumerate(Cause):
            drift = outcome(A, 1, "drifted", f"vCPU 0 is on {number}", cause=cause)
            self.report(outcomes=[drift])
        notices.stop()
        priorities = {
            message["payload"]["kongming_object.data"]["cause"]: priority.lower()
            for _, message, priority, _ in _sent()
            if message["event_type"] == "resource_pin.pin.drifted"
        }
        self.assertEqual(set(Cause), set(priorities))
        usual = {cause for cause, priority in priorities.items() if priority == "info"}
        self.assertEqual({"hard_reboot", "migration"}, usual)

    def test_publisher_and_payload(self) -> None:
        self.create(A, "4")
        notices.stop()
        ((context, message, _, _),) = _sent()
        self.assertEqual("kongming-conductor:ctl", message["publisher_id"])
        self.assertEqual("req-1", context["request_id"])
        data = message["payload"].pop("kongming_object.data")
        self.assertEqual(
            {
                "kongming_object.name": "PinEvent",
                "kongming_object.namespace": "kongming",
                "kongming_object.version": "1.2",
            },
            message["payload"],
        )
        self.assertEqual(
            (A, "telco", "created", 1, "one", "mano", "4"),
            (
                data["instance_uuid"],
                data["project_id"],
                data["event"],
                data["generation"],
                data["host"],
                data["user_id"],
                data["wish"]["vcpus"]["*"],
            ),
        )

    def test_nothing_is_sent_before_the_commit(self) -> None:
        self.create(A, "4")
        with engine.writer() as session:
            pin = self.row(A)
            history.add(session, self.context, [history.line(self.context, pin, "expired")])
            self.eventually(lambda: len(_sent()) == 1)
        self.assertEqual(2, len(self.sent()))

    def test_what_is_rolled_back_is_not_sent(self) -> None:
        self.create(B, "4")

        def fail() -> None:
            with engine.writer() as session:
                pin = self.row(B)
                history.add(session, self.context, [history.line(self.context, pin, "expired")])
                raise ValueError

        self.assertRaises(ValueError, fail)
        self.assertEqual([("info", "resource_pin.pin.created")], self.sent())

    def test_what_is_done_again_is_sent_once(self) -> None:
        attempts: list[int] = []

        @retried
        def act() -> None:
            with engine.writer() as session:
                pin = self.row(A)
                history.add(session, self.context, [history.line(self.context, pin, "expired")])
                attempts.append(1)
                if len(attempts) < 3:
                    raise Moved

        self.create(A, "4")
        act()
        self.assertEqual((3, 2), (len(attempts), len(self.sent())))

    def test_without_a_driver_there_is_no_sender(self) -> None:
        notices.stop()
        self.configuration.set("driver", [], "oslo_messaging_notifications")
        self.configuration.set("transport_url", "nonsense://")
        notices.start(self.conf)
        self.create(A, "4")
        self.assertEqual([], self.sent())


def _sent() -> list[Any]:
    return list(_impl_test.NOTIFICATIONS)
