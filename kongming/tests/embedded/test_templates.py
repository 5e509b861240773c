# SPDX-License-Identifier: Apache-2.0
"""Templates and the pins that follow them, through the whole system."""

from typing import Any

import fixtures

from kongming.tests import base as tests_base
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF

WISH = {"cpu_policy": "dedicated", "vcpus": {"*": "4-7"}, "emulator": "0-1"}
PLACED = {"vcpus": dict.fromkeys("0123", "4-7"), "emulator": "0-1"}


class TemplateTestCase(base.EmbeddedTestCase):
    def template(self, name: str = "gold", expect: int = 201, **fields: Any) -> dict[str, Any]:
        """POST a template that all projects may follow, and return the answer."""
        body = {"name": name, "shared": True, **(fields or {"wish": WISH})}
        answer = self.request("POST", "/v1/templates", json=body)
        self.assertEqual(expect, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def put(self, template: dict[str, Any], expect: int = 200, **fields: Any) -> dict[str, Any]:
        """PUT a template and return the answer."""
        answer = self.request("PUT", f"/v1/templates/{template['id']}", json=fields)
        self.assertEqual(expect, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found


class TemplateTest(TemplateTestCase):
    def test_life(self) -> None:
        made = self.template()
        self.assertEqual(
            ("gold", "noauth", "noauth", True, 1, 1, WISH),
            tuple(
                made[name]
                for name in (
                    "name",
                    "project_id",
                    "user_id",
                    "shared",
                    "version",
                    "current",
                    "wish",
                )
            ),
        )
        path = f"/v1/templates/{made['id']}"
        self.assertEqual(made, self.get(path).json())
        self.assertEqual({"templates": [made]}, self.get("/v1/templates").json())
        changed = self.put(made, version=1, roles={"media": {"emulator": "1"}})
        self.assertEqual((2, 2), (changed["version"], changed["current"]))
        self.assertEqual({"media": {"emulator": "1"}}, changed["roles"])
        self.assertNotIn("wish", changed)
        versions = self.get(f"{path}/versions").json()["versions"]
        self.assertEqual([1, 2], [version["version"] for version in versions])
        self.assertEqual(WISH, versions[0]["wish"])
        # there may be thousands
        with fixtures.MonkeyPatch("kongming.db.templates.versions", None):
            self.assertEqual(versions[0], self.get(f"{path}/versions/1").json())
        # what says the same is no new version
        again = self.put(made, roles={"media": {"emulator": "1"}}, shared=False)
        self.assertEqual((2, False), (again["version"], again["shared"]))
        self.assertEqual(204, self.request("DELETE", path).status_code)
        self.assert_error(self.get(path), 404, "template_not_found", made["id"])
        self.assertEqual([], base.rows("template_versions"))

    def test_not_before_its_version(self) -> None:
        old = {"OpenStack-API-Version": "resource_pin 1.9"}
        self.assertEqual(404, self.get("/v1/templates", headers=old).status_code)
        body = {"instance_uuid": VNF, "template": "gold"}
        answer = self.request("POST", "/v1/pins", json=body, headers=old)
        self.assert_error(answer, 400, "invalid_field", "template: is there from version 1.10 on")


class FollowTest(TemplateTestCase):
    def test_pin_follows(self) -> None:
        made = self.template()
        pin = self.pin(template="gold")
        followed = {"id": made["id"], "name": "gold", "version": 1}
        self.assertEqual((followed, {}), (_bare(pin["template"]), pin["overrides"]))
        self.assertEqual(PLACED, self.wait_for("applied")["placement"])
        self.assertEqual(WISH["vcpus"], {"*": "4-7"})
        self.assertEqual(WISH | pin, pin)
        by = {"kind": "user", "user_id": "noauth", "template": "gold", "version": 1}
        self.assertEqual(by, _bare(self.history()[0]["by"]))
        (listed,) = self.get("/v1/pins").json()["pins"]
        self.assertEqual(followed, _bare(listed["template"]))
        old = self.get(f"/v1/pins/{VNF}", headers={"OpenStack-API-Version": "resource_pin 1.9"})
        self.assertFalse({"template", "overrides"} & set(old.json()))

    def test_overrides(self) -> None:
        self.template(roles={"media": WISH, "control": {}})
        pin = self.pin(template="gold/media", vcpus={"*": "8-11"})
        self.assertEqual({"vcpus": {"*": "8-11"}}, pin["overrides"])
        self.assertEqual(("media", "0-1"), (pin["template"]["role"], pin["emulator"]))
        self.wait_for("applied")
        body = {"template": f"{pin['template']['id']}/control", "emulator": "3"}
        changed = self.request("PUT", f"/v1/pins/{VNF}", json=body).json()
        self.assertEqual(
            ({"emulator": "3"}, "shared"), (changed["overrides"], changed["cpu_policy"])
        )
        # who names no template follows none any more
        alone = self.request("PUT", f"/v1/pins/{VNF}", json={"emulator": "3"}).json()
        self.assertEqual((None, None), (alone["template"], alone["overrides"]))

    def test_mapping_of_2018_is_an_override(self) -> None:
        self.template()
        self.pin(template="gold")
        body = {"cpu_mappings": "8-11"}
        answer = self.request("PUT", f"/v1/instance_cpu_mappings/{VNF}", json=body)
        self.assertEqual(200, answer.status_code, answer.text)
        pin = self.get(f"/v1/pins/{VNF}").json()
        self.assertEqual(({"vcpus": {"*": "8-11"}}, "0-1"), (pin["overrides"], pin["emulator"]))
        self.assertEqual("gold", pin["template"]["name"])

    def test_template_in_use_stays(self) -> None:
        made = self.template()
        self.pin(template="gold")
        answer = self.request("DELETE", f"/v1/templates/{made['id']}")
        self.assert_error(answer, 409, "template_in_use", "gold")
        answer = self.request(
            "PUT", f"/v1/templates/{made['id']}", json={"wish": WISH, "shared": False}
        )
        self.assert_error(answer, 409, "template_in_use", "other projects")
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.assertEqual(204, self.request("DELETE", f"/v1/templates/{made['id']}").status_code)

    def test_instance_that_is_yet_to_come(self) -> None:
        self.template()
        pin = self.pin(UNKNOWN, template="gold", project_id="telco")
        self.assertEqual(("waiting", "gold"), (pin["status"], pin["template"]["name"]))

    def test_candidates(self) -> None:
        self.template(roles={"media": WISH})
        question = {"size": {"vcpus": 4, "memory_mib": 512}, "wish": {"template": "gold/media"}}
        answer = self.request("POST", "/v1/candidates", json=question).json()
        self.assertEqual([PLACED] * 2, [found["placement"] for found in answer["candidates"]])
        question["wish"] = {"template": "gold"}
        answer = self.request("POST", "/v1/candidates", json=question)
        self.assert_error(answer, 400, "invalid_field", "wish.template: a role must be named")

    def test_own_templates_come_before_shared_ones(self) -> None:
        self.template(wish={"emulator": "1"})
        self.template(wish={"emulator": "2"}, shared=False, project_id="telco")
        self.assertEqual("2", self.pin(template="gold")["emulator"])
        self.assertEqual("1", self.pin(OTHER, template="gold")["emulator"])

    def test_others_templates_are_not_there(self) -> None:
        made = self.template(wish={}, shared=False, project_id="shop")
        for name in ("gold", made["id"]):
            for method, path in (("POST", "/v1/pins"), ("PUT", f"/v1/pins/{OFF}")):
                if method == "PUT":
                    self.pin(OFF)
                body = {"template": name} | ({"instance_uuid": OFF} if method == "POST" else {})
                answer = self.request(method, path, json=body)
                self.assert_error(
                    answer, 400, "invalid_field", f"template: there is no template {name}"
                )
            self.request("DELETE", f"/v1/pins/{OFF}")
            tests_base.eventually(lambda: not base.rows("pins"))


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    """Return what of a document is not null."""
    return {name: value for name, value in document.items() if value is not None}
