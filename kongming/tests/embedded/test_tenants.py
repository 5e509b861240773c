# SPDX-License-Identifier: Apache-2.0
"""Two projects on the same hosts: neither learns of the other, and members of no places."""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy import event

from kongming.db import engine
from kongming.hypervisor.driver import Scope
from kongming.tests.embedded import test_auth
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF
from kongming.tests.embedded.test_auth import MAPPINGS
from kongming.topology.placement import Part, Placement

OLD = {"OpenStack-API-Version": "resource_pin 1.0"}
EXACT: dict[str, Any] = {"cpu_policy": "dedicated", "vcpus": {"*": "8-11"}}
DESCRIBED: dict[str, Any] = {"cpu_policy": "dedicated"}


class TenantsTestCase(test_auth.AuthTestCase):
    def known(self, answer: requests.Response) -> requests.Response:
        """Insist that an answer has nothing of the shop, and return it."""
        for word in (OTHER, "shop", "clerk", "other"):
            self.assertNotIn(word, re.sub("another|others", "", answer.text))
        return answer

    def placeless(self, answer: requests.Response) -> Any:
        """Insist that an answer has no host and no pCPUs, and return its body."""
        self.known(answer)
        text = answer.text
        for pattern in (r"\bone\b", r"\btwo\b", r"pCPU\w* \d", r"NUMA node \d"):
            self.assertNotRegex(text, pattern)
        return answer.json() if text else None


class RedactionTest(TenantsTestCase):
    def test_member_asks_for_guarantees_and_sees_none(self) -> None:
        answer = self.post("telco member", VNF, **DESCRIBED)
        pin = self.placeless(answer)
        self.assertEqual(("dedicated", "pending"), (pin["cpu_policy"], pin["status"]))
        self.eventually(
            lambda: self.ask("admin", "GET", f"/v1/pins/{VNF}").json()["status"] == "applied"
        )
        for token in ("telco member", "telco reader", "telco manager"):
            for path in (f"/v1/pins/{VNF}", "/v1/pins"):
                shown = self.placeless(self.ask(token, "GET", path))
                (pin,) = shown.get("pins", [shown])
                self.assertEqual((None, None), (pin["host"], pin["placement"]))
                self.assertEqual("applied", pin["status"])
        whole = self.ask("telco", "GET", f"/v1/pins/{VNF}").json()
        self.assertEqual(("one", True), (whole["host"], bool(whole["placement"]["vcpus"])))

    def test_member_does_not_see_what_an_orchestrator_named(self) -> None:
        wish = EXACT | {
            "emulator": "0-1",
            "iothreads": {"1": "2"},
            "memory": {"nodes": "0-1"},
            "avoid": [OTHER],
        }
        self.post("admin", OTHER, vcpus={"*": "14"}, emulator="14")
        self.eventually(lambda: self.status(OTHER) == "applied")
        self.eventually(lambda: self.observed(OTHER)["vcpus"]["0"] == "14")
        self.eventually(lambda: self.posted("admin", VNF, **wish))
        pin = self.placeless(self.ask("telco member", "GET", f"/v1/pins/{VNF}"))
        for field in ("vcpus", "emulator", "iothreads", "memory"):
            self.assertNotIn(field, pin)
        history = self.placeless(self.ask("telco member", "GET", f"/v1/pins/{VNF}/history"))
        self.assertEqual(
            {"cpu_policy": "dedicated", "avoid": []},
            {k: v for k, v in history["history"][0]["wish"].items() if v is not None},
        )
        self.assertEqual([], self.ask("telco", "GET", f"/v1/pins/{VNF}").json()["avoid"])
        self.assertEqual([OTHER], self.ask("admin", "GET", f"/v1/pins/{VNF}").json()["avoid"])

    def test_member_does_not_see_how_that_differs_from_a_template(self) -> None:
        template = {"name": "gold", "wish": {"cpu_policy": "dedicated"}}
        self.assertEqual(201, self.ask("telco", "POST", "/v1/templates", json=template).status_code)
        self.post("admin", VNF, template="gold", vcpus={"*": "8-11"}, emulator="share", near=OTHER)
        whole = self.ask("admin", "GET", f"/v1/pins/{VNF}").json()["overrides"]
        self.assertEqual({"vcpus", "emulator", "near"}, set(whole))
        for path in (f"/v1/pins/{VNF}", "/v1/pins"):
            shown = self.placeless(self.ask("telco reader", "GET", path))
            (pin,) = shown.get("pins", [shown])
            self.assertEqual({"emulator": "share", "near": None}, pin["overrides"])
        seen = self.known(self.ask("telco", "GET", f"/v1/pins/{VNF}")).json()["overrides"]
        self.assertEqual(whole | {"near": None}, seen)

    def posted(self, token: str, uuid: str, **wish: Any) -> bool:
        body = {"instance_uuid": uuid, **wish}
        return self.ask(token, "POST", "/v1/pins", json=body).status_code == 201

    def test_words_and_layouts_stay(self) -> None:
        layout = [
            {"vcpus": "0-1", "memory_mib": 1024, "host_node": 1},
            {"vcpus": "2-3", "memory_mib": 1024, "host_node": 0},
        ]
        self.post("telco", VNF, **DESCRIBED, emulator="share", numa_nodes=layout)
        pin = self.placeless(self.ask("telco member", "GET", f"/v1/pins/{VNF}"))
        self.assertEqual("share", pin["emulator"])
        self.assertEqual(
            [{k: v for k, v in node.items() if k != "host_node"} for node in layout],
            pin["numa_nodes"],
        )

    def test_instances(self) -> None:
        for path in ("/v1/instances", f"/v1/instances/{VNF}"):
            for headers in ({}, OLD):
                self.placeless(self.ask("telco member", "GET", path, headers=headers))
        shown = self.ask("telco member", "GET", f"/v1/instances/{VNF}").json()
        self.assertEqual(("", None, 4), (shown["host"], shown["observed"], shown["vcpus"]))
        usage = shown["usage"] or {"threads": [], "memory": {}}
        self.assertEqual(([], {}), (usage["threads"], usage["memory"]))
        old = self.ask("telco member", "GET", f"/v1/instances/{VNF}", headers=OLD).json()
        self.assertEqual(("", {}), (old["host"], old["cpu_mappings"]))
        old = self.ask("telco", "GET", f"/v1/instances/{VNF}", headers=OLD).json()
        self.assertEqual(("one", 4), (old["host"], len(old["cpu_mappings"])))

    def test_mappings(self) -> None:
        self.ask("telco", "POST", MAPPINGS, json={"instance_uuid": VNF, "cpu_mappings": "8-11"})
        for path in (MAPPINGS, f"{MAPPINGS}/{VNF}"):
            shown = self.placeless(self.ask("telco reader", "GET", path))
            (mapping,) = shown.get("mappings", [shown])
            self.assertEqual(("", None), (mapping["cpu_mappings"], mapping["host"]))
            self.assertEqual(
                set(mapping), set(self.ask("telco", "GET", f"{MAPPINGS}/{VNF}").json())
            )

    def test_reasons(self) -> None:
        self.post("admin", OTHER, cpu_policy="dedicated", vcpus={"*": "0-14"})
        for uuid in (VNF, OFF):
            answer = self.post("telco member", uuid, expect=409, **DESCRIBED)
            self.assert_error(answer, 409, "cpus_short")
            self.placeless(answer)
        answer = self.post("telco", VNF, expect=409, vcpus={"*": "3"})
        self.known(answer)
        self.assert_error(answer, 409, "cpu_already_claimed", "pCPU 3", "host one")

    def test_drift(self) -> None:
        self.post("telco", VNF, **EXACT | {"enforce": False})
        self.eventually(lambda: self.status(VNF) == "applied")
        self.kongming.driver("one").write(VNF, Scope.LIVE, Placement({Part("vcpu", 0): 1}))
        self.eventually(lambda: self.status(VNF) == "drifted")
        self.assertIn("vCPU 0 is on 0", self.ask("telco", "GET", f"/v1/pins/{VNF}").text)
        for path in (f"/v1/pins/{VNF}", f"/v1/pins/{VNF}/history"):
            answer = self.ask("telco reader", "GET", path)
            self.assertIn("not where they shall be", answer.text)
            self.placeless(answer)

    def status(self, uuid: str) -> str:
        found: str = self.ask("admin", "GET", f"/v1/pins/{uuid}").json()["status"]
        return found

    def test_filters_and_sorts_by_places_are_refused(self) -> None:
        for path in ("/v1/pins?host=one", "/v1/instances?host=two", "/v1/instances?sort=host"):
            for token in ("telco member", "telco reader"):
                answer = self.ask(token, "GET", path)
                self.assert_error(answer, 403, "places_forbidden", "host: ")
            self.assertEqual(200, self.ask("telco", "GET", path).status_code)

    def test_each_field_that_names_a_place_is_named(self) -> None:
        wish = {
            "vcpus": {"0": "1", "*": "2"},
            "emulator": "0",
            "iothreads": {"1": "2"},
            "memory": {"nodes": "0"},
            "pci_device": "0000:81:00.0",
        }
        answer = self.post("telco member", VNF, expect=403, **wish)
        details = [error["detail"].partition(": ")[0] for error in answer.json()["errors"]]
        self.assertEqual(
            ["vcpus.0", "vcpus.*", "emulator", "iothreads.1", "memory.nodes", "pci_device"], details
        )


class OrchestratorTest(TenantsTestCase):
    """It deals with pCPUs, but not with the instances of others."""

    def setUp(self) -> None:
        super().setUp()
        self.post("admin", OTHER, cpu_policy="dedicated", vcpus={"0": "4", "1": "5"})

    def test_hosts(self) -> None:
        for headers in ({}, OLD):
            for path in ("/v1/hosts", "/v1/hosts/one"):
                shown = self.known(self.ask("telco", "GET", path, headers=headers)).json()
                host = shown.get("hosts", [shown])[0]
                here = host["instances"]
                found = [each if isinstance(each, str) else each["uuid"] for each in here]
                self.assertEqual([VNF, OFF], found)
        host = self.ask("telco", "GET", "/v1/hosts/one").json()
        self.assertEqual("4-5", host["cpus"]["claimed"])
        self.assertIn(OTHER, self.ask("admin", "GET", "/v1/hosts/one").text)

    def test_candidates(self) -> None:
        size = {"vcpus": 1, "memory_mib": 64}
        question = {"wish": {"vcpus": {"0": "4"}, "cpu_policy": "dedicated"}, "size": size}
        answer = self.known(self.ask("telco", "POST", "/v1/candidates", json=question))
        self.assertEqual(["two"], [each["host"] for each in answer.json()["candidates"]])
        for more in (
            {"instance_uuid": OTHER},
            {"wish": {"near": OTHER}},
            {"wish": {"avoid": [VNF, OTHER]}},
        ):
            theirs = self.ask("telco", "POST", "/v1/candidates", json=question | more)
            self.assert_error(theirs, 404, "instance_not_found", OTHER)
            nobodys = self.ask(
                "telco",
                "POST",
                "/v1/candidates",
                json=json.loads(json.dumps(question | more).replace(OTHER, UNKNOWN)),
            )
            self.assertEqual(
                theirs.json()["message"].replace(OTHER, UNKNOWN), nobodys.json()["message"]
            )

    def test_neighbours(self) -> None:
        for uuid in (OTHER, UNKNOWN):
            for wish in ({"near": uuid}, {"avoid": [uuid]}):
                answer = self.post("telco", VNF, expect=404, **wish)
                self.assert_error(answer, 404, "instance_not_found", uuid)
        self.post("telco", VNF, avoid=[OFF])


class NothingToTellApartTest(TenantsTestCase):
    """What is another's, and what is not there: the same answer, found in the same way."""

    def setUp(self) -> None:
        super().setUp()
        self.post("admin", OTHER, cpu_policy="dedicated", vcpus={"0": "4", "1": "5"})

    def test_answers_and_statements(self) -> None:
        for token in ("telco", "telco member", "telco reader"):
            for method, path, body in (
                ("GET", "/v1/pins/{}", None),
                ("GET", "/v1/pins/{}/move", None),
                ("DELETE", "/v1/pins/{}/move", None),
                ("GET", "/v1/pins/{}/reservation", None),
                ("PUT", "/v1/pins/{}", {}),
                ("DELETE", "/v1/pins/{}", None),
                ("GET", "/v1/instances/{}", None),
                ("GET", f"{MAPPINGS}/{{}}", None),
                ("PATCH", f"{MAPPINGS}/{{}}", {"cpu_mappings": "1"}),
                ("POST", "/v1/pins", {"instance_uuid": "{}"}),
                ("POST", "/v1/pins", {"instance_uuid": VNF, "near": "{}"}),
                ("GET", "/v1/pins?marker={}", None),
                ("GET", "/v1/instances?marker={}", None),
            ):
                theirs, nobodys = (
                    self.traced(token, method, path, body, uuid) for uuid in (OTHER, UNKNOWN)
                )
                self.assertEqual(theirs, nobodys, f"{token}: {method} {path}")
                self.assertIn(theirs[0], (400, 404))

    def test_history(self) -> None:
        """Its own statement has as many rows as there are lines, and that is all."""
        path = "/v1/pins/{}/history"
        theirs, nobodys = (
            self.traced("telco", "GET", path, None, uuid) for uuid in (OTHER, UNKNOWN)
        )
        self.assertEqual(theirs, nobodys)

    def traced(
        self, token: str, method: str, path: str, body: Any, uuid: str
    ) -> tuple[int, str, list[str]]:
        """Return status, message and SQL statements, without what names the uuid."""
        filled = body and json.loads(json.dumps(body).replace('"{}"', f'"{uuid}"'))
        with statements() as made:
            answer = self.ask(token, method, path.format(uuid), json=filled)
        return answer.status_code, answer.json()["message"].replace(uuid, ""), made


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """Note the SQL statements of the threads that answer requests."""
    made: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name.startswith("CP Server"):
            made.append(statement)

    found: sa.Engine = engine.engine()
    event.listen(found, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(found, "before_cursor_execute", note)
