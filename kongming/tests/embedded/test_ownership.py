# SPDX-License-Identifier: Apache-2.0
"""Who may pin a server that no host reports yet: Nova knows whose it is."""

from typing import Any

import fixtures
import requests
import sqlalchemy as sa

from kongming.conductor.rpcapi import ConductorAPI
from kongming.db import engine, models
from kongming.tests import nova
from kongming.tests.embedded import test_auth
from kongming.tests.embedded.base import UNKNOWN, VNF, rows
from kongming.tests.embedded.test_auth import MAPPINGS


class OwnershipTestCase(test_auth.AuthTestCase):
    def plan(self, token: str, **more: Any) -> requests.Response:
        """POST a pin for an instance that nobody reports."""
        wish = {"vcpus": {"*": "4-7"}}
        body = {"instance_uuid": UNKNOWN, **wish, **more}
        return self.ask(token, "POST", "/v1/pins", json=body)

    def map(self, token: str, **more: Any) -> requests.Response:
        """POST a mapping of 2018 for that instance."""
        body = {"instance_uuid": UNKNOWN, "cpu_mappings": "4-7", "wait_until_active": True}
        return self.ask(token, "POST", MAPPINGS, json=body | more)


class NovaIsAskedTest(OwnershipTestCase):
    def setUp(self) -> None:
        self.nova = self.useFixture(nova.NovaAPI())
        super().setUp()

    def options(self) -> dict[str, dict[str, Any]]:
        return {"service_credentials": self.nova.options}

    def test_own_server(self) -> None:
        for post in (self.plan, self.map):
            self.nova.servers.clear()
            self.nova.add(UNKNOWN, user_id="somebody")
            self.assertEqual(201, post("telco").status_code)
            (pin,) = rows("pins")
            self.assertEqual(
                ("telco", "somebody", "waiting"), (pin["project_id"], pin["user_id"], pin["status"])
            )
            self.assertEqual(204, self.ask("telco", "DELETE", f"/v1/pins/{UNKNOWN}").status_code)

    def test_server_of_another_project_is_not_there(self) -> None:
        self.nova.add(UNKNOWN)
        for post in (self.plan, self.map):
            theirs = post("shop")
            self.assert_error(theirs, 404, "instance_not_found", UNKNOWN)
            self.nova.servers.clear()
            missing = post("shop")
            self.nova.add(UNKNOWN)
            self.assertEqual(missing.json()["message"], theirs.json()["message"])
        self.assertEqual([], rows("pins"))

    def test_callers_without_a_project_own_nothing(self) -> None:
        self.nova.add(UNKNOWN)
        for token in ("nobody", "unscoped"):
            self.assertIn(self.map(token).status_code, (403, 404))
        self.assertEqual([], rows("pins"))

    def test_nova_is_away(self) -> None:
        self.nova.status = "500 Internal Server Error"
        for post in (self.plan, self.map):
            answer = post("telco")
            self.assert_error(answer, 503, "nova_unavailable")
            self.assertNotIn("as told", answer.text)
        self.assertEqual([], rows("pins"))

    def test_who_acts_for_all_projects_is_believed(self) -> None:
        for token, post in (("admin", self.map), ("nova", self.plan)):
            self.assertEqual(201, post(token, project_id="telco").status_code)
            self.assertEqual(204, self.ask("admin", "DELETE", f"/v1/pins/{UNKNOWN}").status_code)
        self.assert_error(self.plan("admin"), 404, "instance_not_found")
        self.assertEqual([], self.nova.asked)

    def test_versions_before_do_not_plan(self) -> None:
        self.nova.add(UNKNOWN)
        headers = {"OpenStack-API-Version": "resource_pin 1.1"}
        body = {"instance_uuid": UNKNOWN, "vcpus": {"*": "4"}}
        answer = self.ask("telco", "POST", "/v1/pins", json=body, headers=headers)
        self.assert_error(answer, 404, "instance_not_found")


class NovaIsNotConfiguredTest(OwnershipTestCase):
    def test_who_waits_for_an_instance_is_not_told_to_others(self) -> None:
        self.assertEqual(201, self.map("shop").status_code)
        self.assert_error(self.map("telco"), 404, "instance_not_found", UNKNOWN)
        for token in ("shop", "admin"):
            self.assert_error(self.map(token), 409, "pin_exists", UNKNOWN)

    def test_as_before(self) -> None:
        self.assert_error(self.plan("telco"), 404, "instance_not_found")
        self.assertEqual(201, self.map("telco").status_code)


class ChangedOwnerTest(OwnershipTestCase):
    """Between the look at a pin and its change, it becomes another project's."""

    def test_former_owner_changes_nothing(self) -> None:
        self.post("telco", VNF)
        # agents call, too
        self.eventually(lambda: rows("pins")[0]["status"] == "applied")
        call = ConductorAPI._call

        def lose(*arguments: Any, **keywords: Any) -> Any:
            with engine.writer() as session:
                session.execute(sa.update(models.Pin).values(project_id="shop"))
            return call(*arguments, **keywords)

        with fixtures.MonkeyPatch("kongming.conductor.rpcapi.ConductorAPI._call", lose):
            for method, path, body in (
                ("PUT", "/v1/pins/{}", {"vcpus": {"*": "1"}}),
                ("DELETE", "/v1/pins/{}", None),
                ("DELETE", "/v1/pins/{}/move", None),
                ("PATCH", f"{MAPPINGS}/{{}}", {"cpu_mappings": "1"}),
                ("DELETE", f"{MAPPINGS}/{{}}", None),
            ):
                with engine.writer() as session:
                    session.execute(sa.update(models.Pin).values(project_id="telco"))
                before = rows("pins")
                answer = self.ask("telco", method, path.format(VNF), json=body)
                self.assert_error(answer, 404, "pin_not_found", VNF)
                (pin,), (was,) = rows("pins"), before
                self.assertEqual(
                    (was["generation"], was["wish"], False),
                    (pin["generation"], pin["wish"], pin["deleted"]),
                )
