# SPDX-License-Identifier: Apache-2.0
"""The life of a pin, from request to kernel and back."""

import sqlalchemy as sa

from kongming.db import engine
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, PLACED, VNF, WISH
from kongming.topology.placement import Part


class PinTest(base.EmbeddedTestCase):
    def test_life(self) -> None:
        before = self.observed()
        created = self.pin(**WISH)
        self.assertEqual((1, "pending"), (created["generation"], created["status"]))
        self.assertEqual(PLACED, self.wait_for("applied")["placement"])
        self.assertEqual(PLACED, self.observed())

        changed = {"vcpus": {"*": "8-9"}, "generation": 1}
        answer = self.request("PUT", f"/v1/pins/{VNF}", json=changed)
        self.assertEqual((200, 2), (answer.status_code, answer.json()["generation"]))
        self.wait_for("applied")
        # parts that the new wish does not name are as they were without a pin
        self.assertEqual(
            before | {"vcpus": dict.fromkeys("0123", "8-9")},
            self.observed(),
        )

        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        self.assertEqual(404, self.get(f"/v1/pins/{VNF}").status_code)
        self.eventually(lambda: self.observed() == before)
        events = [event["event"] for event in self.history()]
        self.assertEqual(["created", "applied", "changed", "applied", "deleted"], events[:5])
        self.eventually(lambda: self.history()[-1]["event"] == "released")

    def test_emulator_that_shares_where_nothing_is_shared(self) -> None:
        before = self.observed()
        self.assertEqual({}, self.pin(emulator="share")["placement"])
        self.wait_for("applied")
        self.assertEqual(before, self.observed())
        # the others on the host are served as before
        self.pin(OTHER, vcpus={"*": "4-5"})
        self.wait_for("applied", OTHER)

    def test_emulator_that_was_stored_in_no_place(self) -> None:
        self.pin(emulator="share")
        self.wait_for("applied")
        with engine.writer() as session:
            empty = {"placement": '{"emulator": ""}'}
            session.execute(sa.text("UPDATE pins SET placement = :placement"), empty)
        self.assertEqual({}, self.get(f"/v1/pins/{VNF}").json()["placement"])
        self.pin(OTHER, vcpus={"*": "4-5"})
        self.wait_for("applied", OTHER)
        changed = self.request("PUT", f"/v1/pins/{VNF}", json={"vcpus": {"*": "8-9"}})
        self.assertEqual(200, changed.status_code, changed.text)
        self.wait_for("applied")
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)

    def test_failure_leaves_everything_as_it_was(self) -> None:
        before = self.observed()
        self.fleet.fail_next(VNF, 3, "Invalid argument")
        self.pin(**WISH)
        self.assertIn("Invalid argument", self.wait_for("failed")["reason"])
        self.assertEqual(before, self.observed())

    def test_two_dedicated_pins_never_share(self) -> None:
        self.pin(**WISH)
        answer = self.pin(OTHER, expect=409, cpu_policy="dedicated", vcpus={"*": "7-8"})
        self.assertEqual("resource_pin.cpu_already_claimed", answer["errors"][0]["code"])
        self.assertIn("pCPU 7 ", answer["message"])
        self.assertIn(VNF, answer["message"])
        self.assertEqual(404, self.get(f"/v1/pins/{OTHER}").status_code)

    def test_tampering_is_repaired_and_told(self) -> None:
        self.pin(**WISH)
        self.wait_for("applied")
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        self.eventually(lambda: self.observed() == PLACED)
        self.eventually(lambda: [e["event"] for e in self.history()][-2:] == ["drifted", "applied"])
        self.assertEqual("libvirt_client", self.history()[-2]["cause"])
        old = self.get(
            f"/v1/pins/{VNF}/history", headers={"OpenStack-API-Version": "resource_pin 1.4"}
        )
        self.assertNotIn("cause", old.json()["history"][-2])

    def test_hard_reboot_is_told(self) -> None:
        self.pin(**WISH)
        self.wait_for("applied")
        self.fleet.hard_reboot(VNF)
        self.eventually(lambda: self.observed() == PLACED)
        self.eventually(lambda: [e["event"] for e in self.history()][-2:] == ["drifted", "applied"])
        self.assertEqual("hard_reboot", self.history()[-2]["cause"])

    def test_drift_that_is_left_alone(self) -> None:
        pin = self.pin(**WISH, enforce=False)
        self.assertIs(False, pin["enforce"])
        self.wait_for("applied")
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        self.assertEqual("vCPU 0 is on 9 instead of 4", self.wait_for("drifted")["reason"])
        self.eventually(lambda: (self.observed() or {})["vcpus"]["0"] == "9")
        self.request("PUT", f"/v1/pins/{VNF}", json=WISH | {"enforce": True})
        self.assertNotIn("enforce", self.wait_for("applied"))
        self.eventually(lambda: self.observed() == PLACED)

    def test_enforce_is_of_its_version(self) -> None:
        old = {"OpenStack-API-Version": "resource_pin 1.4"}
        body = {"instance_uuid": VNF, **WISH, "enforce": False}
        answer = self.request("POST", "/v1/pins", json=body, headers=old)
        self.assertEqual(400, answer.status_code)
        self.assertIn("enforce: is there from version 1.7 on", answer.text)
        answer = self.request("POST", "/v1/pins", json=body | {"enforce": "perhaps"})
        self.assertEqual(400, answer.status_code)
        self.assertIn("enforce", answer.text)

    def test_somebody_who_does_not_give_in(self) -> None:
        self.pin(**WISH)
        self.wait_for("applied")
        for number in range(5):
            self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
            self.eventually(
                lambda number=number: (  # type: ignore[misc]
                    [e["event"] for e in self.history()].count("applied") == number + 2
                )
            )
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        self.assertIn("put back 5 times in", self.wait_for("drifted")["reason"])
        # a new wish is a new beginning
        self.request("PUT", f"/v1/pins/{VNF}", json=WISH)
        self.eventually(lambda: self.observed() == PLACED)
        self.wait_for("applied")
