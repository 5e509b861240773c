# SPDX-License-Identifier: Apache-2.0

from typing import Any

from kongming import exception, policy
from kongming.context import RequestContext
from kongming.policies import base as rules
from kongming.policies import hosts, pins
from kongming.tests import base


class ScopeTest(base.TestCase):
    """Rules are for tokens of projects: others are refused, and nothing breaks."""

    def test_scopes(self) -> None:
        project: dict[str, Any] = {"project_id": "operators"}
        for scope, allowed in (
            (project, True),
            ({"system_scope": "all"}, False),
            ({"domain_id": "default"}, False),
        ):
            context = RequestContext(roles=["admin"], **scope)
            self.assertEqual(allowed, policy.allows(context, hosts.GET), str(scope))
            self.assertEqual(allowed, policy.allows(context, pins.GET, context), str(scope))
        context = RequestContext(roles=["admin"], system_scope="all")
        self.assertRaises(exception.Forbidden, policy.authorize, context, hosts.GET)

    def test_role_alone_opens_no_project(self) -> None:
        """What an orchestrator has beside being a member does not make it one."""
        context = RequestContext(roles=["resource_pin"], project_id="telco")
        self.assertTrue(policy.allows(context, rules.NAME_PLACES))
        for rule in (pins.GET, pins.CREATE, pins.UPDATE, pins.DELETE):
            self.assertFalse(policy.allows(context, rule, context))

    def test_nobodys_is_nobodys(self) -> None:
        context = RequestContext(roles=["member", "reader"], project_id=None)
        self.assertFalse(policy.allows(context, pins.GET, context))
