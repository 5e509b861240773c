# SPDX-License-Identifier: Apache-2.0
"""The description of the API is there for everybody, and what it tells happens."""

import re
from collections.abc import Iterator
from typing import Any

import requests

from kongming import policies
from kongming.api import openapi
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.db import engine, models
from kongming.tests.embedded import base, test_api_samples
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF
from kongming.tests.embedded.test_auth import AuthTestCase

PATHS = openapi.document(Root(), MAX_VERSION)["paths"]
SIZE = {"vcpus": 1, "memory_mib": 64}
CALENDAR: dict[str, Any] = {
    **{"name": "nights", "cron": "0 22 29 2 *", "timezone": "UTC", "duration_s": 60},
    **{"pins": [VNF], "qos": {"vcpu_quota": 50000}},
}
#: One for servers that nobody knows.
NOT_FOLLOWED = {key: value for key, value in CALENDAR.items() if key != "pins"} | {
    "metadata": {"tier": "batch"}
}
#: A body for each operation that has one, which is carried out if the instance has a pin.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/pins"): {"instance_uuid": VNF},
    ("PUT", "/v1/pins/{instance_uuid}"): {},
    ("PUT", "/v1/pins/{instance_uuid}/reservation"): {"host": "two", "size": SIZE},
    ("POST", "/v1/candidates"): {"wish": {}, "size": SIZE},
    ("POST", "/v1/templates"): {"name": "silver", "wish": {}},
    ("PUT", "/v1/templates/{template_id}"): {"wish": {}},
    ("POST", "/v1/rollouts"): {"template": "gold", "version": 1},
    ("POST", "/v1/calendars"): CALENDAR,
    ("PUT", "/v1/calendars/{calendar_id}"): CALENDAR,
    ("POST", "/v1/instance_cpu_mappings"): {"instance_uuid": VNF, "cpu_mappings": "1"},
    ("PUT", "/v1/instance_cpu_mappings/{instance_uuid}"): {"cpu_mappings": "1"},
    ("PATCH", "/v1/instance_cpu_mappings/{instance_uuid}"): {"cpu_mappings": "1"},
    ("PUT", "/v1/quotas/{project_id}"): {},
}
#: What to ask for to be refused because of what is there: pCPUs 4 and 5 are claimed.
CONFLICTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/pins"): {"instance_uuid": VNF},
    ("PUT", "/v1/pins/{instance_uuid}"): {"generation": 99},
    ("PUT", "/v1/pins/{instance_uuid}/reservation"): {
        "host": "two",
        "size": {"vcpus": 1, "memory_mib": 1 << 20},
    },
    ("POST", "/v1/templates"): {"name": "gold", "project_id": "telco", "wish": {}},
    ("PUT", "/v1/templates/{template_id}"): {"wish": {}, "version": 99},
    ("DELETE", "/v1/templates/{template_id}"): {},
    ("POST", "/v1/rollouts"): {"template": "gold", "version": 1},
    ("DELETE", "/v1/rollouts/{rollout_id}"): {},
    ("POST", "/v1/calendars"): NOT_FOLLOWED,
    ("PUT", "/v1/calendars/{calendar_id}"): NOT_FOLLOWED,
    ("POST", "/v1/instance_cpu_mappings"): {"instance_uuid": VNF, "cpu_mappings": "1"},
    ("PUT", "/v1/instance_cpu_mappings/{instance_uuid}"): {"cpu_mappings": "4"},
    ("PATCH", "/v1/instance_cpu_mappings/{instance_uuid}"): {"cpu_mappings": "5"},
}


def operations(status: int) -> Iterator[tuple[str, str]]:
    """Yield method and path of all that can be answered so, by the description."""
    for path, methods in PATHS.items():
        for method, told in methods.items():
            if str(status) in told["responses"]:
                yield method.upper(), path


class StatusTest(AuthTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.post("admin", VNF, memory={"nodes": "0"})
        self.post("admin", OTHER, cpu_policy="dedicated", vcpus={"0": "4", "1": "5"})
        self.template_id = self._template()
        self.post("telco", OFF, template="gold")
        rollout = self.ask("telco", "POST", "/v1/rollouts", json={"template": "gold", "version": 2})
        self.rollout_id = rollout.json()["id"]
        self.eventually(lambda: [row["state"] for row in base.rows("rollouts")] == ["completed"])

        made = self.ask("telco", "POST", "/v1/calendars", json=CALENDAR)
        self.calendar_id = made.json()["id"]

    def _template(self) -> str:
        """Make a template of which version 1 wants what is claimed, and return its id."""
        wish = {"cpu_policy": "dedicated", "vcpus": {"*": "4-5"}}
        body = {"name": "gold", "wish": wish}
        made: str = self.ask("telco", "POST", "/v1/templates", json=body).json()["id"]
        self.ask("telco", "PUT", f"/v1/templates/{made}", json={"wish": {}})
        return made

    def send(
        self, token: str | None, method: str, path: str, uuid: str = VNF, **options: Any
    ) -> requests.Response:
        """Send what is carried out, unless options say otherwise."""
        host = "one" if uuid == VNF else "nowhere"
        keys = {"instance_uuid": uuid, "uuid": uuid, "host_name": host, "version": "1"}
        keys["project_id"] = "telco"
        keys["template_id"] = self.template_id if uuid == VNF else uuid
        keys["calendar_id"] = self.calendar_id if uuid == VNF else uuid
        keys["rollout_id"] = self.rollout_id if uuid == VNF else uuid
        if "data" not in options:
            options.setdefault("json", BODIES.get((method, path)))
        return self.ask(token, method, path.format(**keys), **options)

    def test_refusals_of_any_request(self) -> None:
        for status, options in (
            (400, {"headers": {"OpenStack-API-Version": "resource_pin one"}}),
            (406, {"headers": {"OpenStack-API-Version": "resource_pin 1.99"}}),
            (413, {"data": " " * 2_000_000, "headers": {"Content-Type": "application/json"}}),
            (415, {"data": "{}", "headers": {"Content-Type": "text/plain"}}),
        ):
            asked = list(operations(status))
            self.assertTrue(asked)
            for method, path in asked:
                answer = self.send("admin", method, path, **options)
                self.assertEqual(status, answer.status_code, f"{method} {path}: {answer.text}")

    def test_token(self) -> None:
        for method, path in operations(401):
            self.assertEqual(401, self.send(None, method, path).status_code, f"{method} {path}")
        public = {(m.upper(), path) for path, methods in PATHS.items() for m in methods}
        public -= set(operations(401))
        self.assertEqual({("GET", "/"), ("GET", "/v1"), ("GET", openapi.PATH)}, public)
        for method, path in public:
            self.assertEqual(200, self.send(None, method, path).status_code)

    def test_rules(self) -> None:
        denied = {
            rule.name: "!" for rule in policies.list_rules() if getattr(rule, "operations", ())
        }
        # to see them is not denied, for that is told with 404
        nouns = ("pins", "instances", "templates", "rollouts", "calendars")
        seen = {f"resource_pin:{noun}:get" for noun in nouns}
        lists = (*nouns, "instance_cpu_mappings")
        one = {("GET", f"/v1/{noun}") for noun in lists}
        self.kongming.set_policy({name: "!" for name in denied if name not in seen})
        for method, path in set(operations(403)) - one:
            answer = self.send("telco", method, path)
            self.assertEqual(403, answer.status_code, f"{method} {path}: {answer.text}")
        self.kongming.set_policy(denied)
        for method, path in one:
            answer = self.send("telco", method, path)
            self.assertEqual(403, answer.status_code, f"{method} {path}: {answer.text}")

    def test_what_is_not_there(self) -> None:
        unknown = {"instance_uuid": UNKNOWN, "cpu_mappings": "1"}
        bodies = {
            "/v1/pins": {"instance_uuid": UNKNOWN},
            "/v1/candidates": {"instance_uuid": UNKNOWN, "size": SIZE},
            "/v1/instance_cpu_mappings": unknown,
        }
        for method, path in operations(404):
            options = {"json": bodies[path]} if path in bodies else {}
            answer = self.send("admin", method, path, UNKNOWN, **options)
            self.assertEqual(404, answer.status_code, f"{method} {path}: {answer.text}")

    def test_conflicts(self) -> None:
        self.assertEqual(set(CONFLICTS), set(operations(409)))
        for (method, path), body in CONFLICTS.items():
            if "template" in body:
                # its name is only known in the project that owns it
                body = body | {"template": self.template_id}
            answer = self.send("admin", method, path, json=body)
            self.assertEqual(409, answer.status_code, f"{method} {path}: {answer.text}")

    def test_no_database(self) -> None:
        with engine.writer() as session:
            models.Base.metadata.drop_all(session.connection())
        for method, path in operations(500):
            answer = self.send("admin", method, path)
            self.assertEqual(500, answer.status_code, f"{method} {path}: {answer.text}")


class NoKeystoneTest(base.EmbeddedTestCase):
    api_options = {"auth_strategy": "keystone"}

    def test_nobody_can_check_a_token(self) -> None:
        self.assertTrue(list(operations(503)))
        for method, path in operations(503):
            keys = {"instance_uuid": VNF, "uuid": VNF, "host_name": "one", "version": "1"}
            keys |= {"template_id": VNF, "rollout_id": VNF, "project_id": "telco"}
            keys |= {"calendar_id": VNF}
            headers = {"X-Auth-Token": "some"}
            answer = self.request(method, path.format(**keys), headers=headers)
            self.assert_error(answer, 503, "unavailable")


class ServedTest(base.SharedTestCase):
    def test_newest_by_default(self) -> None:
        for path in (openapi.PATH, f"{openapi.PATH}/"):
            answer = requests.get(self.kongming.url + path, timeout=30)
            self.assertEqual(str(MAX_VERSION), answer.json()["info"]["version"])
            self.assertEqual(f"resource_pin {MAX_VERSION}", answer.headers["OpenStack-API-Version"])
            self.assertEqual("OpenStack-API-Version", answer.headers["Vary"])
            self.assertEqual([{"url": self.kongming.url}], answer.json()["servers"])

    def test_version_that_is_named(self) -> None:
        for word in ("resource_pin", "resource-pin"):
            headers = {"OpenStack-API-Version": f"{word} 1.0"}
            document = self.get(openapi.PATH, headers=headers).json()
            self.assertEqual("1.0", document["info"]["version"])

    def test_samples_are_of_every_success(self) -> None:
        told = {
            (method.upper(), path, int(status))
            for path, methods in PATHS.items()
            for method, operation in methods.items()
            for status in operation["responses"]
            if status < "300" and path != openapi.PATH
        }
        shown = set()
        for name, _ in test_api_samples.STORY:
            sample = test_api_samples.load(name)
            path = sample["request"]["path"].partition("?")[0].rstrip("/") or "/"
            for template in PATHS:
                if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                    shown.add((sample["request"]["method"], template, sample["answer"]["status"]))
        # the other name of PATCH
        none = {("PUT", "/v1/instance_cpu_mappings/{instance_uuid}", 200)}
        self.assertEqual(none, told - shown)
