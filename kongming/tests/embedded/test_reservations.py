# SPDX-License-Identifier: Apache-2.0
"""A scheduler keeps room for an instance before it boots, and before it moves."""

import pathlib
from typing import Any

import fixtures

from kongming import exception
from kongming.conductor import rpcapi
from kongming.tests.embedded import base
from kongming.tests.embedded.base import UNKNOWN, VNF
from kongming.tests.embedded.test_auth import AuthTestCase

SIZE = {"vcpus": 4, "memory_mib": 2048}
DEDICATED: dict[str, Any] = {"cpu_policy": "dedicated", "numa_nodes": 1}
NEW = {
    "uuid": UNKNOWN,
    "name": "new",
    "project_id": "telco",
    "user_id": "mano",
    "vcpus": 4,
    "memory_mib": 2048,
    "state": "running",
}


class ReservationTest(base.EmbeddedTestCase):
    def plan(self, host: str = "one", **more: Any) -> dict[str, Any]:
        """Make a pin for an instance that is yet to come."""
        owner: dict[str, Any] = {"project_id": "telco", "user_id": "mano"}
        return self.pin(UNKNOWN, host=host, size=SIZE, **owner, **DEDICATED, **more)

    def reserve(self, host: str, uuid: str = VNF, expect: int = 200) -> Any:
        """Keep room for an instance that has a pin."""
        path = f"/v1/pins/{uuid}/reservation"
        answer = self.request("PUT", path, json={"host": host, "size": SIZE})
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer.json()

    def room(self, host: str) -> bool:
        """Whether a host would take an instance with each node's pCPUs for itself."""
        wish = {"cpu_policy": "dedicated", "numa_nodes": 2}
        question = {"wish": wish, "size": {"vcpus": 12, "memory_mib": 2048}, "hosts": [host]}
        answer = self.request("POST", "/v1/candidates", json=question).json()
        return bool(answer["candidates"])

    def held_by_agent(self, host: str) -> str:
        """Return what the agent of a host has on disk."""
        directory = pathlib.Path(self.kongming.conf.agent.state_dir)
        file = directory / f"placements-{host}.json"
        return file.read_text() if file.exists() else ""

    def test_boot(self) -> None:
        self.assertTrue(self.room("one"))
        pin = self.plan()
        self.assertEqual(("waiting", None), (pin["status"], pin["host"]))
        self.assertIn("reserved on host one until ", pin["reason"])
        self.assertFalse(self.room("one"))
        kept = self.get(f"/v1/pins/{UNKNOWN}/reservation").json()
        self.assertEqual((UNKNOWN, "one"), (kept["instance_uuid"], kept["host"]))
        self.assertRegex(kept["expires_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.fleet.create("one", NEW)
        pin = self.wait_for("applied", UNKNOWN)
        self.assertEqual(kept["placement"], pin["placement"])
        self.assertEqual(1, pin["generation"])
        self.assertEqual(kept["placement"]["vcpus"], self.observed(UNKNOWN)["vcpus"])
        missing = self.get(f"/v1/pins/{UNKNOWN}/reservation")
        self.assert_error(missing, 404, "reservation_not_found", UNKNOWN)

    def test_boot_while_no_conductor_answers(self) -> None:
        kept = self.plan() and self.get(f"/v1/pins/{UNKNOWN}/reservation").json()
        self.eventually(lambda: UNKNOWN in self.held_by_agent("one"))

        def away(*_: Any, **__: Any) -> None:
            raise exception.ControlPlaneUnavailable(seconds=1)

        self.useFixture(fixtures.MonkeyPatch(f"{rpcapi.__name__}.ConductorAPI._call", away))
        self.fleet.create("one", NEW)
        wanted = {int(vcpu): cpus for vcpu, cpus in kept["placement"]["vcpus"].items()}
        instance = self.fleet.running(UNKNOWN)

        def in_place() -> bool:
            found = instance.observed().to_dict()["vcpus"]
            return {int(vcpu): cpus for vcpu, cpus in found.items()} == wanted

        self.eventually(in_place)

    def test_migration(self) -> None:
        self.pin(**DEDICATED)
        self.wait_for("applied")
        kept = self.reserve("two")
        self.assertEqual((VNF, "two"), (kept["instance_uuid"], kept["host"]))
        self.assertFalse(self.room("two"))
        self.fleet.migrate(VNF, "two")
        self.eventually(lambda: self.get(f"/v1/pins/{VNF}").json()["host"] == "two")
        self.assertEqual(kept["placement"], self.wait_for("applied")["placement"])
        self.assertEqual(kept["placement"]["vcpus"], self.observed()["vcpus"])
        self.eventually(lambda: self.room("one"))

    def test_where_it_is_already(self) -> None:
        self.pin(**DEDICATED)
        pin = self.wait_for("applied")
        kept = self.reserve("one")
        self.assertEqual((pin["placement"], None), (kept["placement"], kept["expires_at"]))

    def test_full(self) -> None:
        self.plan("two")
        self.pin(**DEDICATED)
        path = f"/v1/pins/{VNF}/reservation"
        size = {"vcpus": 8, "memory_mib": 2048}
        everything = {"cpu_policy": "dedicated", "numa_nodes": 2}
        self.request("PUT", f"/v1/pins/{VNF}", json=everything)
        self.reserve("two")
        self.request("PUT", f"/v1/pins/{VNF}", json={"cpu_policy": "dedicated", "numa_nodes": 1})
        answer = self.request(
            "PUT", path, json={"host": "two", "size": size | {"memory_mib": 9000}}
        )
        self.assert_error(answer, 409, "memory_short", "NUMA node 0")
        self.assertEqual(404, self.get(path).status_code)


class ServiceTest(AuthTestCase):
    def test_only_operators_and_services_plan(self) -> None:
        planned = {
            "instance_uuid": UNKNOWN,
            "project_id": "telco",
            "user_id": "mano",
            "host": "one",
            "size": SIZE,
        }
        owner = {"instance_uuid": VNF, "host": "one", "size": SIZE}
        path = f"/v1/pins/{UNKNOWN}/reservation"
        move = {"host": "two", "size": SIZE}
        self.assert_error(
            self.ask("telco", "POST", "/v1/pins", json=planned), 400, "invalid_field", "project_id"
        )
        self.assert_error(self.ask("telco", "POST", "/v1/pins", json=owner), 403, "forbidden")
        answer = self.ask("nova", "POST", "/v1/pins", json=planned)
        self.assertEqual(201, answer.status_code, answer.text)
        self.assertEqual("telco", answer.json()["project_id"])
        for token, status in (("shop", 404), ("telco", 403), ("telco reader", 403), ("nova", 200)):
            answer = self.ask(token, "PUT", path, json=move)
            self.assertEqual(status, answer.status_code, f"{token}: {answer.text}")
            self.assertEqual(status, self.ask(token, "GET", path).status_code, token)
        question = {"wish": {}, "size": SIZE}
        for token, status in (("telco member", 403), ("telco", 200), ("nova", 200)):
            answer = self.ask(token, "POST", "/v1/candidates", json=question)
            self.assertEqual(status, answer.status_code, f"{token}: {answer.text}")

    def test_owner_of_an_instance_that_is_known(self) -> None:
        body = {"instance_uuid": VNF, "project_id": "shop", "user_id": "clerk"}
        self.assert_error(
            self.ask("telco", "POST", "/v1/pins", json=body), 400, "invalid_field", "project_id"
        )
        answer = self.ask("nova", "POST", "/v1/pins", json=body)
        self.assertEqual("telco", answer.json()["project_id"])
