# SPDX-License-Identifier: Apache-2.0
"""Memory on its way to other NUMA nodes: what is shown of it, and how it ends."""

from typing import Any

from kongming.tests.embedded import base, test_auth
from kongming.tests.embedded.base import FLEET, OTHER, UNKNOWN, VNF

#: The 2048 MiB of VNF move in half a minute; no test waits for that.
SLOW = FLEET.replace("- name: one\n", "- name: one\n  move_mib_per_s: 64\n")
MOVE = f"/v1/pins/{VNF}/move"
THERE: dict[str, Any] = {"vcpus": {"*": "4-7"}, "memory": {"nodes": "1"}}
BEFORE = {"OpenStack-API-Version": "resource_pin 1.8"}


class MovesTestCase(base.EmbeddedTestCase):
    def memory(self, uuid: str = VNF) -> dict[int, int]:
        """Return the MiB of an instance on each NUMA node."""
        return dict(self.kongming.driver("one").memory(uuid)[4])

    def events(self) -> list[str]:
        """Return what happened to the pin of VNF."""
        return [event["event"] for event in self.history()]


class ProgressTest(MovesTestCase):
    fleet_text = SLOW

    def setUp(self) -> None:
        super().setUp()
        self.before = self.observed()

    def moving(self, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Return how far the memory of VNF is, once it moves."""

        def found() -> dict[str, Any] | None:
            answer = self.get(MOVE, headers=headers or {})
            move: dict[str, Any] = answer.json()
            return move if answer.status_code == 200 and move["moved_mib"] else None

        move: dict[str, Any] = self.eventually(found)
        return move

    def test_progress(self) -> None:
        self.assertIsNone(self.pin(**THERE)["move"])
        move = self.moving()
        self.assertEqual({"moved_mib", "total_mib", "seconds", "mib_per_s"}, set(move))
        self.assertEqual(2048, move["total_mib"])
        self.assertAlmostEqual(move["moved_mib"] / move["seconds"], move["mib_per_s"], delta=0.5)
        self.assertGreaterEqual(64, move["mib_per_s"])
        shown = self.get(f"/v1/pins/{VNF}").json()
        self.assertEqual("pending", shown["status"])
        self.assertLessEqual(move["moved_mib"], shown["move"]["moved_mib"])
        listed = self.get("/v1/pins").json()["pins"]
        self.assertEqual(2048, listed[0]["move"]["total_mib"])
        self.assertEqual({0, 1}, set(self.memory()))
        self.request("DELETE", MOVE)
        self.wait_for("failed")

    def test_cancel(self) -> None:
        self.pin(**THERE)
        self.moving()
        answer = self.request("DELETE", MOVE)
        self.assertEqual((202, b""), (answer.status_code, answer.content))
        pin = self.wait_for("failed")
        self.assertEqual("called off; everything is where it was", pin["reason"])
        self.assertIsNone(pin["move"])
        self.assertEqual(({0: 2048}, self.before), (self.memory(), self.observed()))
        self.assertEqual(["created", "cancelled", "failed"], self.events())
        self.assertEqual("noauth", self.history()[1]["user_id"])
        self.assertIsNone(self.history()[-1]["receipt"])
        self.assert_error(self.get(MOVE), 404, "move_not_found", VNF)
        self.assert_error(self.request("DELETE", MOVE), 404, "move_not_found", VNF)

    def test_newer_wish_ends_it(self) -> None:
        self.pin(**THERE)
        self.moving()
        wish = {"vcpus": {"*": "2-3"}, "memory": {"nodes": "0"}}
        changed = self.request("PUT", f"/v1/pins/{VNF}", json=wish).json()
        self.assertEqual((2, None), (changed["generation"], changed["move"]))
        self.wait_for("applied")
        self.assertEqual({0: 2048}, self.memory())
        self.assertEqual("2-3", self.observed()["vcpus"]["0"])
        self.assertEqual(["created", "changed", "applied"], self.events())

    def test_deletion_ends_it(self) -> None:
        self.pin(**THERE)
        self.moving()
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        self.assert_error(self.get(MOVE), 404, "pin_not_found")
        self.eventually(lambda: self.events()[-1] == "released")
        self.assertEqual(({0: 2048}, self.before), (self.memory(), self.observed()))

    def test_versions_before(self) -> None:
        self.pin(**THERE)
        self.moving()
        self.assertNotIn("move", self.get(f"/v1/pins/{VNF}", headers=BEFORE).json())
        for method in ("GET", "DELETE"):
            answer = self.request(method, MOVE, headers=BEFORE)
            self.assert_error(answer, 404)
        self.assertEqual(2048, self.get(MOVE).json()["total_mib"])
        self.request("DELETE", MOVE)
        self.wait_for("failed")


class ReceiptTest(MovesTestCase):
    def test_receipt(self) -> None:
        self.pin(**THERE)
        self.wait_for("applied")
        created, applied = self.history()
        self.assertIsNone(created["receipt"])
        receipt = applied["receipt"]
        self.assertLessEqual(0, receipt.pop("seconds"))
        self.assertEqual(
            {
                "before": {"4": {"0": 2048}},
                "after": {"4": {"1": 2048}},
                "moved_mib": 2048,
                "warnings": [],
            },
            receipt,
        )
        old = self.get(f"/v1/pins/{VNF}/history", headers=BEFORE).json()["history"]
        self.assertNotIn("receipt", old[-1])

    def test_nothing_moves(self) -> None:
        self.pin(memory={"nodes": "0"})
        self.assertIsNone(self.wait_for("applied")["move"])
        self.assertIsNone(self.history()[-1]["receipt"])
        for method in ("GET", "DELETE"):
            self.assert_error(self.request(method, MOVE), 404, "move_not_found", VNF)
            for uuid in (OTHER, UNKNOWN):
                answer = self.request(method, f"/v1/pins/{uuid}/move")
                self.assert_error(answer, 404, "pin_not_found", uuid)


class NextStartTest(MovesTestCase):
    def test_memory_stays_until_then(self) -> None:
        memory = {"nodes": "1", "migrate": False}
        pin = self.pin(**THERE | {"memory": memory})
        self.assertEqual(memory, pin["memory"])
        self.assertEqual("1", pin["placement"]["memory_at_start"])
        self.assertNotIn("memory", pin["placement"])
        self.wait_for("applied")
        self.assertEqual(({0: 2048}, "4-7"), (self.memory(), self.observed()["vcpus"]["0"]))
        self.assertIsNone(self.history()[-1]["receipt"])
        self.fleet.stop(VNF)
        self.wait_for("waiting")
        self.fleet.start(VNF)
        self.wait_for("applied")
        self.assertEqual({1: 2048}, self.memory())

    def test_moves_when_it_is_wished(self) -> None:
        self.pin(**THERE | {"memory": {"nodes": "1", "migrate": False}})
        self.wait_for("applied")
        changed = self.request("PUT", f"/v1/pins/{VNF}", json=THERE).json()
        self.assertEqual({"nodes": "1"}, changed["memory"])
        self.wait_for("applied")
        self.assertEqual({1: 2048}, self.memory())
        self.assertEqual(2048, self.history()[-1]["receipt"]["moved_mib"])

    def test_versions_before(self) -> None:
        body = {"instance_uuid": VNF, "memory": {"nodes": "1", "migrate": False}}
        refused = "memory.migrate: is there from version 1.9 on"
        answer = self.request("POST", "/v1/pins", json=body, headers=BEFORE)
        self.assert_error(answer, 400, "invalid_field", refused)
        wish = {"wish": {"memory": body["memory"]}, "size": {"vcpus": 1, "memory_mib": 64}}
        answer = self.request("POST", "/v1/candidates", json=wish, headers=BEFORE)
        self.assert_error(answer, 400, "invalid_field", f"wish.{refused}")
        for version, there in (("1.8", False), ("1.9", True)):
            headers = {"OpenStack-API-Version": f"resource_pin {version}"}
            schemas = self.get("/v1/openapi.json", headers=headers).json()["components"]["schemas"]
            fields = schemas["placement.Memory.body"]["properties"]
            self.assertEqual(there, "migrate" in fields)


class WhoMayTest(test_auth.AuthTestCase):
    fleet_text = SLOW

    def test_who_may(self) -> None:
        self.post("telco", VNF, **THERE)
        self.eventually(lambda: self.ask("telco", "GET", MOVE).status_code == 200)
        for token in ("telco reader", "admin"):
            self.assertEqual(200, self.ask(token, "GET", MOVE).status_code)
        for method in ("GET", "DELETE"):
            answer = self.ask("shop", method, MOVE)
            self.assert_error(answer, 404, "pin_not_found")
        self.kongming.set_policy({"resource_pin:pins:update": "role:member"})
        answer = self.ask("telco reader", "DELETE", MOVE)
        self.assert_error(answer, 403, "forbidden", "resource_pin:pins:update")
        self.assertEqual(202, self.ask("telco", "DELETE", MOVE).status_code)

        def failed() -> bool:
            pin = self.ask("telco", "GET", f"/v1/pins/{VNF}").json()
            return bool(pin["status"] == "failed")

        self.eventually(failed)
