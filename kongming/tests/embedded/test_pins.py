# SPDX-License-Identifier: Apache-2.0
"""The life of a pin, from request to kernel and back."""

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
