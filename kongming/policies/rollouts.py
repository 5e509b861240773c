# SPDX-License-Identifier: Apache-2.0
"""Rules for rollouts."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:rollouts:get"
CREATE = "resource_pin:rollouts:create"
CANCEL = "resource_pin:rollouts:cancel"
ALL_PROJECTS = "resource_pin:rollouts:all_projects"

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER_OR_SERVICE,
        scope_types=base.SCOPE,
        description="See how far the rollouts of a project's templates are.",
        operations=[
            {"method": "GET", "path": "/v1/rollouts"},
            {"method": "GET", "path": "/v1/rollouts/{rollout_id}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Let those who follow a template have another version of it.",
        operations=[{"method": "POST", "path": "/v1/rollouts"}],
    ),
    policy.DocumentedRuleDefault(
        name=CANCEL,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Let a rollout go back.",
        operations=[{"method": "DELETE", "path": "/v1/rollouts/{rollout_id}"}],
    ),
    policy.DocumentedRuleDefault(
        name=ALL_PROJECTS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the rollouts of every project; others get their own project's.",
        operations=[{"method": "GET", "path": "/v1/rollouts"}],
    ),
]
