# SPDX-License-Identifier: Apache-2.0
"""Rules for instances."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:instances:get"
ALL_PROJECTS = "resource_pin:instances:all_projects"

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER_OR_SERVICE,
        scope_types=base.SCOPE,
        description="See an instance with its observed placement.",
        operations=[
            {"method": "GET", "path": "/v1/instances"},
            {"method": "GET", "path": "/v1/instances/{uuid}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=ALL_PROJECTS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the instances of every project; others get their own project's.",
        operations=[{"method": "GET", "path": "/v1/instances"}],
    ),
]
