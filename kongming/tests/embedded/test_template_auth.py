# SPDX-License-Identifier: Apache-2.0
"""Who may see, follow and change which template."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import fixtures
import requests

from kongming.conductor.rpcapi import ConductorAPI
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF
from kongming.tests.embedded.test_auth import AuthTestCase

OVERRIDE = {"vcpus": {"*": "4"}, "override": True}


class TemplateAuthTestCase(AuthTestCase):
    def template(self, token: str, expect: int = 201, **fields: Any) -> requests.Response:
        """POST a template."""
        body = {"name": "gold", "wish": {"vcpus": {"*": "4"}}, **fields}
        answer = self.ask(token, "POST", "/v1/templates", json=body)
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer

    def path(self, token: str, **fields: Any) -> str:
        """Make a template; return its path."""
        return f"/v1/templates/{self.template(token, **fields).json()['id']}"

    def put(self, token: str, path: str, **fields: Any) -> requests.Response:
        """PUT a template."""
        return self.ask(token, "PUT", path, json={"wish": {"vcpus": {"*": "5"}}, **fields})


class OwnTest(TemplateAuthTestCase):
    def test_members_act_for_their_project(self) -> None:
        path = self.path("telco")
        for method, more, body in (
            ("GET", "", None),
            ("GET", "/versions", None),
            ("GET", "/versions/1", None),
            ("PUT", "", {"wish": {}}),
            ("DELETE", "", None),
        ):
            for token in ("shop", "nobody", "unscoped"):
                answer = self.ask(token, method, path + more, json=body)
                self.assert_error(answer, 404, "template_not_found")
            answer = self.ask("telco", method, path + more, json=body)
            self.assertTrue(answer.ok, answer.text)

    def test_lists_are_filtered(self) -> None:
        own = self.path("telco").rpartition("/")[2]
        others = self.path("shop").rpartition("/")[2]
        shared = self.path("admin", shared=True).rpartition("/")[2]
        for token, ids in (
            ("telco", {own, shared}),
            ("shop", {others, shared}),
            ("admin", {own, others, shared}),
        ):
            self.assertEqual(ids, set(self.keys(token, "/v1/templates", "id")))
        self.assert_error(self.ask("unscoped", "GET", "/v1/templates"), 403, "forbidden")

    def test_members_bring_nothing_back_by_a_calendar(self) -> None:
        self.put("telco", self.path("telco"), wish={"cpu_policy": "dedicated"})
        calendar = {
            "name": "night",
            "cron": "0 1 29 2 *",
            "timezone": "UTC",
            "duration_s": 3600,
            "on_collision": "skip",
            "template": "gold",
            "pins": [VNF],
        }
        self.post("telco", VNF)
        for token, version, status in (
            ("telco member", 1, 403),
            ("telco member", 2, 201),
            ("telco member", 3, 400),
            ("telco", 1, 201),
        ):
            body = calendar | {"name": f"{token[-1]}{version}", "template_version": version}
            answer = self.ask(token, "POST", "/v1/calendars", json=body)
            self.assertEqual(status, answer.status_code, answer.text)
            if status == 403:
                self.assert_error(answer, 403, "places_forbidden", "vcpus")

    def test_places_are_neither_named_nor_shown(self) -> None:
        wish = {"cpu_policy": "dedicated", "vcpus": {"0": "4"}, "emulator": "share"}
        for content in ({"wish": wish}, {"roles": {"data": wish}}):
            body = {"name": "exact", **content}
            answer = self.ask("telco member", "POST", "/v1/templates", json=body)
            self.assert_error(answer, 403, "places_forbidden", "vcpus.0")
            answer = self.ask("telco", "POST", "/v1/templates", json=body)
            self.assertEqual(201, answer.status_code, answer.text)
            path = f"/v1/templates/{answer.json()['id']}"
            for where in (path, "/v1/templates", f"{path}/versions", f"{path}/versions/1"):
                self.assertIn('"vcpus"', self.ask("telco", "GET", where).text)
                shown = self.ask("telco reader", "GET", where).text
                self.assertNotIn('"vcpus"', shown)
                self.assertIn('"share"', shown)
            # what it says it may be followed for, but not be made to say by somebody else
            answer = self.ask("telco member", "PUT", path, json=content)
            self.assert_error(answer, 403, "places_forbidden")
            asked = {"template": path.rpartition("/")[2], "version": 1}
            answer = self.ask("telco member", "POST", "/v1/rollouts", json=asked)
            self.assert_error(answer, 403, "places_forbidden")
            self.ask("telco", "DELETE", path)

    def test_project_is_named_by_admins_only(self) -> None:
        answer = self.template("telco", 400, project_id="shop")
        self.assert_error(answer, 400, "invalid_field", "project_id: only admins")
        self.assertEqual("shop", self.template("admin", project_id="shop").json()["project_id"])
        self.template("unscoped", 400)

    def test_others_templates_cannot_be_followed(self) -> None:
        path = self.path("shop")
        for name in ("gold", path.rpartition("/")[2]):
            body = {"instance_uuid": VNF, "template": name}
            answer = self.ask("telco", "POST", "/v1/pins", json=body)
            self.assert_error(answer, 400, "invalid_field", f"there is no template {name}")


class SharedTest(TemplateAuthTestCase):
    def test_admins_share(self) -> None:
        self.assert_error(self.template("telco", 403, shared=True), 403, "forbidden", "share")
        path = self.path("telco")
        self.assert_error(self.put("telco", path, shared=True), 403, "forbidden", "share")
        self.assertEqual(200, self.put("admin", path, shared=True).status_code)
        self.assertEqual(200, self.ask("shop", "GET", path).status_code)
        # it decides about the instances of others from now on
        rollout = {"template": "gold", "version": 1}
        for method, where, body in (
            ("PUT", path, {"wish": {}}),
            ("DELETE", path, None),
            ("POST", "/v1/rollouts", rollout),
        ):
            for token in ("telco", "shop"):
                answer = self.ask(token, method, where, json=body)
                self.assert_error(answer, 403, "forbidden")

    def test_override_is_a_matter_of_who_writes_it(self) -> None:
        contents: tuple[dict[str, Any], ...] = ({"wish": OVERRIDE}, {"roles": {"a": OVERRIDE}})
        for content in contents:
            body: dict[str, Any] = {"name": "gold", **content}
            answer = self.ask("telco", "POST", "/v1/templates", json=body)
            self.assert_error(answer, 403, "forbidden", "resource_pin:pins:override")
        self.path("admin", shared=True, wish=OVERRIDE)
        followed = self.post("telco", VNF, template="gold").json()
        self.assertTrue(followed["override"])
        body = {"instance_uuid": OTHER, "template": "gold", "override": True}
        answer = self.ask("shop", "POST", "/v1/pins", json=body)
        self.assert_error(answer, 403, "forbidden", "resource_pin:pins:override")

    def test_return_to_what_an_admin_wrote(self) -> None:
        path = self.path("admin", project_id="telco", wish=OVERRIDE)
        self.assertEqual(200, self.put("telco", path).status_code)
        body = {"template": "gold", "version": 1}
        answer = self.ask("telco", "POST", "/v1/rollouts", json=body)
        self.assert_error(answer, 403, "forbidden", "resource_pin:pins:override")

    def test_candidates_for_a_project(self) -> None:
        self.path("telco")
        question = {"wish": {"template": "gold"}, "size": {"vcpus": 1, "memory_mib": 64}}
        answer = self.ask("nova", "POST", "/v1/candidates", json=question)
        self.assert_error(answer, 400, "invalid_field", "wish.template: there is no template gold")
        question["project_id"] = "telco"
        answer = self.ask("nova", "POST", "/v1/candidates", json=question)
        self.assertEqual(200, answer.status_code, answer.text)


class RolloutTest(TemplateAuthTestCase):
    def test_rollouts_are_those_of_ones_templates(self) -> None:
        path = self.path("telco")
        self.post("telco", VNF, template="gold")
        rollout_id = self.put("telco", path).json()["rollout_id"]
        self.eventually(lambda: base.rows("rollouts")[0]["state"] == "completed")
        for token in ("shop", "nobody", "unscoped"):
            for method in ("GET", "DELETE"):
                answer = self.ask(token, method, f"/v1/rollouts/{rollout_id}")
                self.assert_error(answer, 404, "rollout_not_found")
            if token == "shop":
                self.assertEqual([], self.keys(token, "/v1/rollouts", "id"))
            else:
                answer = self.ask(token, "GET", "/v1/rollouts")
                self.assert_error(answer, 403, "forbidden")
            body = {"template": path.rpartition("/")[2], "version": 1}
            answer = self.ask(token, "POST", "/v1/rollouts", json=body)
            self.assert_error(answer, 400, "invalid_field", "there is no such template")
        for token in ("telco", "admin"):
            self.assertEqual([rollout_id], self.keys(token, "/v1/rollouts", "id"))
            answer = self.ask(token, "DELETE", f"/v1/rollouts/{rollout_id}")
            self.assert_error(answer, 409, "rollout_is_over")


class OvertakenTest(TemplateAuthTestCase):
    """Between the look of the API and the change by a conductor, an admin lets others in."""

    CALENDAR: ClassVar[dict[str, Any]] = {
        **{"name": "night", "cron": "0 1 * * *", "timezone": "UTC", "duration_s": 3600},
        **{"qos": {"cpu_shares": 512}, "pins": [VNF], "on_collision": "skip"},
    }

    def overtake(self, called: str, change: Callable[[], requests.Response]) -> None:
        """Let an admin change something just before a call reaches a conductor."""
        call, changes = ConductorAPI._call, [change]

        def overtaken(self: Any, context: Any, method: str, *more: Any, **named: Any) -> Any:
            if method == called and changes:
                answer = changes.pop()()
                assert answer.ok, answer.text
            return call(self, context, method, *more, **named)

        patch = fixtures.MonkeyPatch("kongming.conductor.rpcapi.ConductorAPI._call", overtaken)
        self.useFixture(patch)

    def test_template_is_shared(self) -> None:
        wish = {"vcpus": {"*": "4"}}
        again: dict[str, Any] = {"template": "create_rollout", "version": 1}
        for called, method, where, body in (
            ("update_template", "PUT", None, {"wish": {"vcpus": {"*": "6"}}}),
            ("delete_template", "DELETE", None, None),
            ("create_rollout", "POST", "/v1/rollouts", again),
        ):
            path = self.path("telco", name=called)
            share = functools.partial(self.put, "admin", path, wish=wish, shared=True)
            self.overtake(called, share)
            answer = self.ask("telco", method, where or path, json=body)
            self.assert_error(answer, 403, "forbidden", "resource_pin:templates:share")
            found = self.ask("admin", "GET", path).json()
            self.assertEqual((1, wish, True), (found["version"], found["wish"], found["shared"]))
        self.assertEqual([], self.keys("admin", "/v1/rollouts", "id"))

    def test_template_of_a_rollout_is_shared(self) -> None:
        path = self.path("telco", wish={"cpu_policy": "dedicated"})
        self.post("telco", VNF, template="gold")
        # the host never answers, so that the rollout goes on
        self.kongming.stop_agent("one")
        rollout = self.put("telco", path, wish={"vcpus": {"*": "4-7"}}).json()["rollout_id"]
        share = functools.partial(
            self.put, "admin", path, wish={"vcpus": {"*": "4-7"}}, shared=True
        )
        self.overtake("cancel_rollout", share)
        answer = self.ask("telco", "DELETE", f"/v1/rollouts/{rollout}")
        self.assert_error(answer, 403, "forbidden", "resource_pin:templates:share")
        self.assertNotIn("return", self.ask("telco", "GET", f"/v1/rollouts/{rollout}").text)
        self.assertEqual(202, self.ask("admin", "DELETE", f"/v1/rollouts/{rollout}").status_code)

    def test_calendar_reaches_all(self) -> None:
        self.post("telco", VNF)
        for called, method, body in (
            ("update_calendar", "PUT", {**self.CALENDAR, "name": "day"}),
            ("delete_calendar", "DELETE", None),
        ):
            made = self.ask("telco", "POST", "/v1/calendars", json=self.CALENDAR).json()
            path = f"/v1/calendars/{made['id']}"
            everywhere = {**self.CALENDAR, "all_projects": True}
            widen = functools.partial(self.ask, "admin", "PUT", path, json=everywhere)
            self.overtake(called, widen)
            answer = self.ask("telco", method, path, json=body)
            self.assert_error(answer, 403, "forbidden", "resource_pin:calendars:create_for_all")
            found = self.ask("admin", "GET", path).json()
            self.assertEqual(("night", True), (found["name"], found["all_projects"]))
