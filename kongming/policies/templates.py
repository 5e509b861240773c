# SPDX-License-Identifier: Apache-2.0
"""Rules for templates."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:templates:get"
GET_SHARED = "resource_pin:templates:get_shared"
CREATE = "resource_pin:templates:create"
CREATE_FOR_OTHERS = "resource_pin:templates:create_for_others"
UPDATE = "resource_pin:templates:update"
DELETE = "resource_pin:templates:delete"
SHARE = "resource_pin:templates:share"
ALL_PROJECTS = "resource_pin:templates:all_projects"

_READ: "list[policy.Operation]" = [  # which the oldest oslo.policy has not
    {"method": "GET", "path": "/v1/templates"},
    {"method": "GET", "path": "/v1/templates/{template_id}"},
    {"method": "GET", "path": "/v1/templates/{template_id}/versions"},
    {"method": "GET", "path": "/v1/templates/{template_id}/versions/{version}"},
]

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER_OR_SERVICE,
        scope_types=base.SCOPE,
        description="See a template and its versions.",
        operations=_READ,
    ),
    policy.DocumentedRuleDefault(
        name=GET_SHARED,
        check_str=base.ANY_READER,
        scope_types=base.SCOPE,
        description="See a template that is shared, and its versions.",
        operations=_READ,
    ),
    policy.DocumentedRuleDefault(
        name=CREATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Make a template for a project.",
        operations=[{"method": "POST", "path": "/v1/templates"}],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE_FOR_OTHERS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="Name the project that a new template belongs to.",
        operations=[{"method": "POST", "path": "/v1/templates"}],
    ),
    policy.DocumentedRuleDefault(
        name=UPDATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Change a template, and with it the pins that follow it.",
        operations=[{"method": "PUT", "path": "/v1/templates/{template_id}"}],
    ),
    policy.DocumentedRuleDefault(
        name=DELETE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Delete a template that no pin follows.",
        operations=[{"method": "DELETE", "path": "/v1/templates/{template_id}"}],
    ),
    policy.DocumentedRuleDefault(
        name=SHARE,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description=(
            "Let every project follow a template, or no longer; also needed to change, roll out or"
            " delete a template that is shared, since the pins of other projects follow it."
        ),
        operations=[
            {"method": "POST", "path": "/v1/templates"},
            {"method": "PUT", "path": "/v1/templates/{template_id}"},
            {"method": "DELETE", "path": "/v1/templates/{template_id}"},
            {"method": "POST", "path": "/v1/rollouts"},
            {"method": "DELETE", "path": "/v1/rollouts/{rollout_id}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=ALL_PROJECTS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the templates of every project; others get their own and shared ones.",
        operations=[{"method": "GET", "path": "/v1/templates"}],
    ),
]
