# SPDX-License-Identifier: Apache-2.0
"""Every cell of the matrix of personas, calls and owners, and that it has every call."""

from collections.abc import Callable
from typing import Any, ClassVar

import requests
from keystonemiddleware import fixture as keystone

from kongming import policies
from kongming.api.microversion import VERSIONS
from kongming.api.root import Root
from kongming.tests import base as tests_base
from kongming.tests import rbac
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, UNKNOWN, VNF
from kongming.tests.embedded.test_auth import TOKENS

#: The token of each persona.
PERSONAS = {
    "admin": "admin",
    "service": "nova",
    "orchestrator": "telco",
    "manager": "telco manager",
    "member": "telco member",
    "reader": "telco reader",
    "guest": "telco guest",
    "other": "shop",
}
PUBLIC = {"/", "/v1", "/v1/openapi.json"}


def _test(line: rbac.Line) -> Callable[[Any], None]:
    def test(self: "MatrixTest") -> None:
        self.assertEqual([], list(self.world.wrong(line)))

    return test


@rbac.each_line(_test)
class MatrixTest(base.SharedTestCase):
    api_options: ClassVar[dict[str, Any]] = {"auth_strategy": "keystone"}
    world: ClassVar[rbac.World]

    @classmethod
    def setUpClass(cls) -> None:
        tokens = keystone.AuthTokenFixture()
        tokens.setUp()
        cls.addClassCleanup(tokens.cleanUp)
        for token, data in TOKENS.items():
            tokens.add_token_data(token_id=token, **data)
        super().setUpClass()
        cls.world = rbac.World(
            cls.ask,
            {"own": VNF, "others": OTHER, "absent": UNKNOWN},
            {"own": "telco", "others": "shop"},
            ["one", "two"],
        )

    @classmethod
    def ask(
        cls, persona: str, method: str, path: str, body: Any, version: str
    ) -> requests.Response:
        headers = {
            "X-Auth-Token": PERSONAS[persona],
            "OpenStack-API-Version": f"resource_pin {version}",
        }
        url = cls.kongming.url + path
        return requests.request(method, url, json=body, headers=headers, timeout=30)


class CompleteTest(tests_base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        root = Root()
        self.calls = {
            (operation.method, operation.path)
            for version, _ in VERSIONS
            for operation in root.operations(version)
        }

    def test_the_matrix_has_every_call(self) -> None:
        lines = {(line.method, line.path.partition("?")[0]) for line in rbac.lines()}
        self.assertEqual(self.calls, lines)

    def test_calls_about_things_are_tried_on_those_of_others(self) -> None:
        kinds: dict[tuple[str, str], set[str]] = {}
        for line in rbac.lines():
            kinds.setdefault((line.method, line.path.partition("?")[0]), set()).add(line.kind)
        for (method, path), tried in kinds.items():
            if "{" in path and "{host_name}" not in path:
                self.assertLessEqual({"own", "others"}, tried, f"{method} {path}")

    def test_every_call_has_a_rule(self) -> None:
        ruled = {
            (operation["method"], operation["path"])
            for rule in policies.list_rules()
            for operation in getattr(rule, "operations", ())
        }
        self.assertEqual({call for call in self.calls if call[1] not in PUBLIC}, ruled)

    def test_rules_are_of_secure_rbac(self) -> None:
        for rule in policies.list_rules():
            self.assertEqual(["project"], rule.scope_types, rule.name)
            self.assertIsNone(rule.deprecated_rule, rule.name)
