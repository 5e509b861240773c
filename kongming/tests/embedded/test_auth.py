# SPDX-License-Identifier: Apache-2.0
"""Who may see and do what, with keystonemiddleware in front; only Keystone itself is missing."""

from typing import Any

import fixtures
import requests
from keystonemiddleware import fixture as keystone
from oslo_messaging._drivers import impl_fake

from kongming import policies
from kongming.db import engine, pin_events
from kongming.policies import base as base_rules
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF

MAPPINGS = "/v1/instance_cpu_mappings"

#: The roles that a token has, as Keystone tells them: with those that they imply. Who is just
#: ``telco`` or ``shop`` is an orchestrator there, which deals with pCPUs.
READER = ["reader"]
MEMBER = ["member", *READER]
MANAGER = ["manager", *MEMBER]
ADMIN = ["admin", *MANAGER]
ORCHESTRATOR = ["resource_pin", *MEMBER]
TOKENS: dict[str, dict[str, Any]] = {
    "admin": {"user_id": "root", "project_id": "operators", "role_list": ADMIN},
    "telco": {"user_id": "mano", "project_id": "telco", "role_list": ORCHESTRATOR},
    "telco manager": {"user_id": "boss", "project_id": "telco", "role_list": MANAGER},
    "telco member": {"user_id": "dev", "project_id": "telco", "role_list": MEMBER},
    "telco reader": {"user_id": "eye", "project_id": "telco", "role_list": READER},
    "shop": {"user_id": "clerk", "project_id": "shop", "role_list": ORCHESTRATOR},
    "shop member": {"user_id": "clerk", "project_id": "shop", "role_list": MEMBER},
    "telco guest": {"user_id": "guest", "project_id": "telco", "role_list": ["guest"]},
    "nova": {"user_id": "nova", "project_id": "service", "role_list": ["service"]},
    "nobody": {"user_id": "nobody", "project_id": "empty", "role_list": []},
    "unscoped": {"user_id": "mano", "role_list": []},
    "expired": {
        "user_id": "root",
        "project_id": "operators",
        "role_list": ADMIN,
        "expires": "2020-01-01T00:00:00Z",
    },
}


class AuthTestCase(base.EmbeddedTestCase):
    api_options = {"auth_strategy": "keystone"}

    def setUp(self) -> None:
        tokens = self.useFixture(keystone.AuthTokenFixture())
        for token, data in TOKENS.items():
            tokens.add_token_data(token_id=token, **data)
        super().setUp()

    def ask(self, token: str | None, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request with a token."""
        headers = options.pop("headers", {})
        if token is not None:
            headers = {**headers, "X-Auth-Token": token}
        return self.request(method, path, headers=headers, **options)

    def post(self, token: str, uuid: str, expect: int = 201, **wish: Any) -> requests.Response:
        """Pin an instance."""
        wish = wish or {"vcpus": {"*": "4-7"}}
        answer = self.ask(token, "POST", "/v1/pins", json={"instance_uuid": uuid, **wish})
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer

    def keys(self, token: str, path: str, key: str = "instance_uuid") -> list[str]:
        """Return the keys that a list shows."""
        answer = self.ask(token, "GET", path)
        self.assertEqual(200, answer.status_code, answer.text)
        body = answer.json()
        body.pop("next", None)
        (found,) = body.values()
        return [each[key] for each in found]


class TokenTest(AuthTestCase):
    def test_token_is_required(self) -> None:
        for token in (None, "", "wrong", "expired", "admin ", "ADMIN", "\xe9"):
            for method, path in (
                ("GET", "/v1/pins"),
                ("GET", f"/v1/pins/{VNF}"),
                ("POST", "/v1/pins"),
                ("PUT", f"/v1/pins/{VNF}"),
                ("DELETE", f"/v1/pins/{VNF}"),
                ("GET", "/v1/hosts"),
                ("GET", "/v1/instances"),
                ("GET", MAPPINGS),
                ("PATCH", f"{MAPPINGS}/{VNF}"),
                # what is not there is told to nobody either
                ("GET", "/v1/colours"),
                ("GET", "/v2"),
                ("BREW", "/v1/pins"),
            ):
                if token != "admin ":  # HTTP strips it
                    answer = self.ask(token, method, path)
                    self.assert_error(answer, 401, "unauthorized", "token")
                    self.assertIn("WWW-Authenticate", answer.headers)

    def test_form_does_not_depend_on_what_is_accepted(self) -> None:
        for accepted in ("application/json", "text/html", "*/*", "text/plain"):
            answer = self.ask("wrong", "GET", "/v1/pins", headers={"Accept": accepted})
            self.assert_error(answer, 401, "unauthorized")

    def test_version_documents_need_no_token(self) -> None:
        for token in (None, "wrong", "expired", "shop"):
            for path in ("/", "/v1", "/v1/"):
                self.assertEqual(200, self.ask(token, "GET", path).status_code)
                self.assertEqual(405, self.ask(token, "POST", path).status_code)

    def test_ways_around_the_token(self) -> None:
        for path in ("/v1/pins?x=/v1", "/v1//", "/v1/./", "/v1/..", "/%2e/", "/v1/%2e", "/V1"):
            answer = self.raw(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            self.assertEqual(401, answer.status, path)

    def test_identity_headers_of_the_client_are_not_believed(self) -> None:
        forged = {
            "X-Roles": "admin",
            "X-Role": "admin",
            "X-User-Id": "root",
            "X-User": "root",
            "X-User-Name": "root",
            "X-Project-Id": "telco",
            "X-Project-Name": "telco",
            "X-Tenant-Id": "telco",
            "X-Tenant": "telco",
            "X-Tenant-Name": "telco",
            "X-Domain-Id": "default",
            "X-Identity-Status": "Confirmed",
            "X-Is-Admin-Project": "True",
            "X-Service-Roles": "admin",
            "X-Service-Identity-Status": "Confirmed",
            "OpenStack-System-Scope": "all",
            "X-Service-Project-Id": "telco",
        }
        # and in the spelling that becomes the same variable of WSGI
        forged |= {name.replace("-", "_"): value for name, value in forged.items()}
        self.post("telco", VNF)
        for token in ("nobody", "unscoped", "shop member"):
            answer = self.ask(token, "GET", "/v1/instances", headers=forged)
            if token == "shop member":
                self.assertEqual([OTHER], [each["uuid"] for each in answer.json()["instances"]])
            else:
                self.assert_error(answer, 403, "forbidden")
            answer = self.ask(token, "GET", f"/v1/pins/{VNF}", headers=forged)
            self.assert_error(answer, 404, "pin_not_found")
            answer = self.ask(token, "GET", "/v1/hosts", headers=forged)
            self.assert_error(answer, 403, "forbidden")
        for bad in (None, "wrong"):
            answer = self.ask(bad, "GET", "/v1/pins", headers=forged)
            self.assert_error(answer, 401, "unauthorized")
            self.assertEqual(200, self.ask(bad, "GET", "/v1", headers=forged).status_code)

    def test_history_names_who_it_was(self) -> None:
        answer = self.post("telco", VNF)
        history = self.ask("admin", "GET", f"/v1/pins/{VNF}/history").json()["history"]
        self.assertEqual(
            ("created", "mano", answer.headers["OpenStack-Request-Id"]),
            (history[0]["event"], history[0]["user_id"], history[0]["request_id"]),
        )

    def test_token_goes_no_further(self) -> None:
        """It must not be in a message, which every agent could read."""
        sent: list[str] = []
        send = impl_fake.FakeDriver._send

        def listen(driver: Any, target: Any, context: Any, message: Any, *more: Any) -> Any:
            sent.append(f"{context} {message}")
            return send(driver, target, context, message, *more)

        self.useFixture(
            fixtures.MonkeyPatch("oslo_messaging._drivers.impl_fake.FakeDriver._send", listen)
        )
        self.post("telco manager", VNF, cpu_policy="dedicated")
        self.assertTrue([each for each in sent if "create_pin" in each and "boss" in each])
        self.assertEqual([], [each for each in sent if "telco manager" in each])


class MemberTest(AuthTestCase):
    def test_members_act_for_their_project(self) -> None:
        self.post("telco", VNF)
        for method, body in (("GET", None), ("PUT", {"vcpus": {"*": "1"}}), ("DELETE", None)):
            path = f"/v1/pins/{VNF}"
            self.assert_error(self.ask("shop", method, path, json=body), 404, "pin_not_found", VNF)
            answer = self.ask("telco", method, path, json=body)
            self.assertTrue(answer.ok, answer.text)

    def test_instances_of_others_are_not_there(self) -> None:
        for uuid in (OTHER, UNKNOWN):
            # the same words for what is not there and what is not one's own
            message = f"instance_uuid: instance {uuid} is not known on any host."
            for answer in (
                self.post("telco", uuid, expect=404),
                self.ask("telco", "GET", f"/v1/instances/{uuid}"),
            ):
                self.assert_error(answer, 404, "instance_not_found")
                self.assertEqual(message, answer.json()["message"])
        answer = self.ask("telco", "GET", f"/v1/instances/{VNF}")
        self.assertEqual((200, "telco"), (answer.status_code, answer.json()["project_id"]))

    def test_lists_are_filtered(self) -> None:
        for uuid in (VNF, OTHER, OFF):
            self.post("admin", uuid, vcpus={"*": "1"})
        for token, own in (
            ("telco", [VNF, OFF]),
            ("telco reader", [VNF, OFF]),
            ("shop", [OTHER]),
            ("admin", [VNF, OTHER, OFF]),
        ):
            self.assertEqual(own, self.keys(token, "/v1/pins"))
            self.assertEqual(own, self.keys(token, "/v1/instances", "uuid"))
            self.assertEqual(own, self.keys(token, MAPPINGS))
        for token in ("nobody", "unscoped"):
            for path in ("/v1/pins", "/v1/instances", MAPPINGS):
                self.assert_error(self.ask(token, "GET", path), 403, "forbidden", ":get")
        old = {"OpenStack-API-Version": "resource_pin 1.0"}
        answer = self.ask("shop", "GET", "/v1/instances", headers=old)
        self.assertEqual([OTHER], [each["uuid"] for each in answer.json()["instances"]])

    def test_filters_show_no_more(self) -> None:
        for uuid in (VNF, OTHER):
            self.post("admin", uuid, vcpus={"*": "1"})
        for noun in ("pins", "instances"):
            for query in ("project_id=shop", "user_id=clerk", "project_id=shop&limit=1"):
                self.assertEqual([], self.keys("telco", f"/v1/{noun}?{query}", "x"))

    def test_markers_show_no_more(self) -> None:
        for uuid in (VNF, OTHER, OFF):
            self.post("admin", uuid, vcpus={"*": "1"})
        for noun, key in (("pins", "instance_uuid"), ("instances", "uuid")):
            for marker in (OTHER, UNKNOWN):
                answer = self.ask("telco", "GET", f"/v1/{noun}?marker={marker}")
                self.assert_error(answer, 400, "invalid_field")
                self.assertEqual("marker: is not in the list", answer.json()["message"])
            self.assertEqual([OFF], self.keys("telco", f"/v1/{noun}?marker={VNF}", key))

    def test_pages_are_full(self) -> None:
        for uuid in (VNF, OTHER, OFF):
            self.post("admin", uuid, vcpus={"*": "1"})
        answer = self.ask("telco", "GET", "/v1/pins?limit=2").json()
        self.assertEqual(2, len(answer["pins"]))
        self.assertNotIn("next", answer)

    def test_hosts_are_for_admins_and_orchestrators(self) -> None:
        for version in ("1.0", "1.1"):
            headers = {"OpenStack-API-Version": f"resource_pin {version}"}
            for path in ("/v1/hosts", "/v1/hosts/one", "/v1/hosts/three"):
                for token in ("telco member", "telco reader", "nobody", "unscoped"):
                    answer = self.ask(token, "GET", path, headers=headers)
                    self.assert_error(answer, 403, "forbidden", "resource_pin:hosts:get")
            for path in ("/v1/hosts", "/v1/hosts/one"):
                for token in ("admin", "telco", "nova"):
                    answer = self.ask(token, "GET", path, headers=headers)
                    self.assertEqual(200, answer.status_code)

    def test_history_is_for_the_owner(self) -> None:
        path = f"/v1/pins/{VNF}/history"
        self.post("telco", VNF)
        for _ in range(2):
            for token in ("shop", "nobody", "unscoped"):
                self.assert_error(self.ask(token, "GET", path), 404, "pin_not_found", VNF)
            for token in ("telco", "admin"):
                self.assertEqual(200, self.ask(token, "GET", path).status_code)
            # it outlives the pin
            self.ask("telco", "DELETE", f"/v1/pins/{VNF}")

    def test_history_of_others_leaves_room_for_ones_own(self) -> None:
        self.post("telco", VNF)
        line = base.rows("pin_events")[0] | {"id": None}
        with engine.writer() as session:
            pin_events.add(session, [line | {"project_id": "shop"} for _ in range(200)])
            pin_events.add(session, [line | {"project_id": None} for _ in range(3)])

        def lines(token: str) -> int:
            answer = self.ask(token, "GET", f"/v1/pins/{VNF}/history")
            return len(answer.json()["history"])

        self.assertIn("created", self.ask("telco", "GET", f"/v1/pins/{VNF}/history").text)
        self.assertEqual((200, 200), (lines("shop"), lines("admin")))
        self.assertEqual(404, self.ask("nobody", "GET", f"/v1/pins/{VNF}/history").status_code)

    def test_claims_are_told_to_others(self) -> None:
        """Whoever is refused a pCPU learns that, and who holds it if that may be seen."""
        self.post("telco", VNF, cpu_policy="dedicated", vcpus={"*": "4-7"})
        wish = {"vcpus": {"*": "7-8"}}
        answer = self.post("shop", OTHER, expect=409, **wish)
        self.assert_error(answer, 409, "cpu_already_claimed", "pCPU 7 ", "pin of another instance")
        self.assertNotIn(VNF, answer.text)
        answer = self.post("admin", OTHER, expect=409, **wish)
        self.assert_error(answer, 409, "cpu_already_claimed", "pCPU 7 ", VNF)
        answer = self.post("telco", OFF, expect=409, **wish)
        self.assert_error(answer, 409, "cpu_already_claimed", "pCPU 7 ", VNF)

    def test_pin_belongs_to_the_owner_of_the_instance(self) -> None:
        answer = self.post("admin", VNF).json()
        self.assertEqual(("telco", "mano"), (answer["project_id"], answer["user_id"]))
        self.assertEqual(200, self.ask("telco", "GET", f"/v1/pins/{VNF}").status_code)

    def test_what_nobody_owns_is_for_admins(self) -> None:
        """An instance that Nova did not make has no project, and nor has an unscoped token."""
        self.kongming.forget_owner(VNF)
        path = f"/v1/instances/{VNF}"
        for token in ("unscoped", "nobody", "telco"):
            self.assert_error(self.ask(token, "GET", path), 404, "instance_not_found")
            wish = {"cpu_policy": "dedicated"}
            self.post(token, VNF, expect=404, **wish)
        self.assertNotIn(VNF, self.keys("telco", "/v1/instances", "uuid"))
        self.assertEqual(200, self.ask("admin", "GET", path).status_code)
        self.post("admin", VNF)


class MappingTest(AuthTestCase):
    """The calls of 2018."""

    def create(self, token: str, uuid: str, **fields: Any) -> requests.Response:
        body = {"instance_uuid": uuid, "cpu_mappings": "4-7", **fields}
        return self.ask(token, "POST", MAPPINGS, json=body)

    def test_owner_is_set_by_admins_only(self) -> None:
        for name in ("project_id", "user_id"):
            for value in ("telco", "mano", "x"):
                answer = self.create("telco", VNF, **{name: value})
                self.assert_error(answer, 400, "invalid_field", name)
        wait = {"wait_until_active": True}
        answer = self.create("admin", UNKNOWN, project_id="telco", user_id="mano", **wait)
        self.assertEqual(201, answer.status_code, answer.text)
        self.assertEqual(("telco", "mano"), (answer.json()["project_id"], answer.json()["user_id"]))
        self.assertEqual(200, self.ask("telco", "GET", f"{MAPPINGS}/{UNKNOWN}").status_code)
        answer = self.ask("shop", "GET", f"{MAPPINGS}/{UNKNOWN}")
        self.assert_error(answer, 404, "pin_not_found")

    def test_waiting_pin_belongs_to_who_asked(self) -> None:
        answer = self.create("shop", UNKNOWN, wait_until_active=True)
        self.assertEqual(("shop", "clerk"), (answer.json()["project_id"], answer.json()["user_id"]))

    def test_instances_of_others_are_not_there(self) -> None:
        # even where one that is not there would be waited for
        for wait in (False, True):
            answer = self.create("shop", VNF, wait_until_active=wait)
            self.assert_error(answer, 404, "instance_not_found", VNF)

    def test_mappings_of_others_are_not_there(self) -> None:
        self.create("telco", VNF)
        for method, body in (("GET", None), ("PATCH", {"cpu_mappings": "1"}), ("DELETE", None)):
            answer = self.ask("shop", method, f"{MAPPINGS}/{VNF}", json=body)
            self.assert_error(answer, 404, "pin_not_found", VNF)
            answer = self.ask("telco", method, f"{MAPPINGS}/{VNF}", json=body)
            self.assertTrue(answer.ok, answer.text)


class RulesTest(AuthTestCase):
    """An operator's own rules hold."""

    def test_only_operators_override(self) -> None:
        wish = {"vcpus": {"*": "4"}, "override": True}
        answer = self.ask("telco", "POST", "/v1/pins", json={"instance_uuid": VNF, **wish})
        self.assert_error(answer, 403, "forbidden", "resource_pin:pins:override")
        self.post("telco", VNF)
        answer = self.ask("telco", "PUT", f"/v1/pins/{VNF}", json=wish)
        self.assert_error(answer, 403, "forbidden", "resource_pin:pins:override")
        answer = self.ask("admin", "PUT", f"/v1/pins/{VNF}", json=wish)
        self.assertEqual(200, answer.status_code, answer.text)

    def test_seeing_without_changing(self) -> None:
        self.kongming.set_policy(
            {
                "resource_pin:pins:update": "role:admin",
                "resource_pin:pins:delete": "role:admin",
                "resource_pin:pins:create": "role:member and project_id:%(project_id)s",
            }
        )
        self.post("telco reader", VNF, expect=403)
        self.post("telco", VNF)
        path = f"/v1/pins/{VNF}"
        self.assertEqual(200, self.ask("telco", "GET", path).status_code)
        for method, body in (("PUT", {}), ("DELETE", None)):
            answer = self.ask("telco", method, path, json=body)
            self.assert_error(answer, 403, "forbidden", "resource_pin:pins:")
            self.assert_error(self.ask("shop", method, path, json=body), 404, "pin_not_found")
        self.assertEqual(204, self.ask("admin", "DELETE", path).status_code)

    def test_every_rule_is_documented(self) -> None:
        for rule in policies.list_rules():
            self.assertTrue(rule.description)
            if rule not in base_rules.RULES:
                self.assertTrue(getattr(rule, "operations", None), rule.name)
