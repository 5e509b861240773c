# SPDX-License-Identifier: Apache-2.0
"""Rules for pins."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:pins:get"
CREATE = "resource_pin:pins:create"
CREATE_FOR_OTHERS = "resource_pin:pins:create_for_others"
UPDATE = "resource_pin:pins:update"
DELETE = "resource_pin:pins:delete"
OVERRIDE = "resource_pin:pins:override"
RESERVE = "resource_pin:pins:reserve"
ALL_PROJECTS = "resource_pin:pins:all_projects"

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER_OR_SERVICE,
        scope_types=base.SCOPE,
        description="See a pin and its history.",
        operations=[
            {"method": "GET", "path": "/v1/pins"},
            {"method": "GET", "path": "/v1/pins/{instance_uuid}"},
            {"method": "GET", "path": "/v1/pins/{instance_uuid}/history"},
            {"method": "GET", "path": "/v1/pins/{instance_uuid}/move"},
            {"method": "GET", "path": "/v1/pins/{instance_uuid}/schedule"},
            {"method": "GET", "path": "/v1/instance_cpu_mappings"},
            {"method": "GET", "path": "/v1/instance_cpu_mappings/{instance_uuid}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE,
        check_str=base.MEMBER_OR_SERVICE,
        scope_types=base.SCOPE,
        description="Pin an instance.",
        operations=[
            {"method": "POST", "path": "/v1/pins"},
            {"method": "POST", "path": "/v1/instance_cpu_mappings"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE_FOR_OTHERS,
        check_str=base.ADMIN_OR_SERVICE,
        scope_types=base.SCOPE,
        description="Name the project and user of a pin made before its instance is known.",
        operations=[
            {"method": "POST", "path": "/v1/pins"},
            {"method": "POST", "path": "/v1/instance_cpu_mappings"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=UPDATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Change a pin, or call off the move of memory that it began.",
        operations=[
            {"method": "PUT", "path": "/v1/pins/{instance_uuid}"},
            {"method": "DELETE", "path": "/v1/pins/{instance_uuid}/move"},
            {"method": "PUT", "path": "/v1/instance_cpu_mappings/{instance_uuid}"},
            {"method": "PATCH", "path": "/v1/instance_cpu_mappings/{instance_uuid}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=DELETE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Delete a pin: its instance runs unpinned from then on.",
        operations=[
            {"method": "DELETE", "path": "/v1/pins/{instance_uuid}"},
            {"method": "DELETE", "path": "/v1/instance_cpu_mappings/{instance_uuid}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=OVERRIDE,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="Pin an instance to which somebody else gave pCPUs for itself.",
        operations=[
            {"method": "POST", "path": "/v1/pins"},
            {"method": "PUT", "path": "/v1/pins/{instance_uuid}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=RESERVE,
        check_str=base.ADMIN_OR_SERVICE,
        scope_types=base.SCOPE,
        description="Keep what a pin needs on a host where its instance is expected.",
        operations=[
            {"method": "POST", "path": "/v1/pins"},
            {"method": "GET", "path": "/v1/pins/{instance_uuid}/reservation"},
            {"method": "PUT", "path": "/v1/pins/{instance_uuid}/reservation"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=ALL_PROJECTS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the pins of every project; others get their own project's.",
        operations=[{"method": "GET", "path": "/v1/pins"}],
    ),
]
