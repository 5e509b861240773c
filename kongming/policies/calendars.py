# SPDX-License-Identifier: Apache-2.0
"""Rules for calendars."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:calendars:get"
CREATE = "resource_pin:calendars:create"
CREATE_FOR_ALL = "resource_pin:calendars:create_for_all"
UPDATE = "resource_pin:calendars:update"
DELETE = "resource_pin:calendars:delete"
ALL_PROJECTS = "resource_pin:calendars:all_projects"

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER,
        scope_types=base.SCOPE,
        description="See a calendar, and when its windows are.",
        operations=[
            {"method": "GET", "path": "/v1/calendars"},
            {"method": "GET", "path": "/v1/calendars/{calendar_id}"},
            {"method": "GET", "path": "/v1/calendars/{calendar_id}/preview"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Make a calendar for pins of a project.",
        operations=[{"method": "POST", "path": "/v1/calendars"}],
    ),
    policy.DocumentedRuleDefault(
        name=CREATE_FOR_ALL,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="Make or change a calendar for pins of every project.",
        operations=[
            {"method": "POST", "path": "/v1/calendars"},
            {"method": "PUT", "path": "/v1/calendars/{calendar_id}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=UPDATE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Change a calendar.",
        operations=[{"method": "PUT", "path": "/v1/calendars/{calendar_id}"}],
    ),
    policy.DocumentedRuleDefault(
        name=DELETE,
        check_str=base.MEMBER,
        scope_types=base.SCOPE,
        description="Delete a calendar: its pins return to what they ask for themselves.",
        operations=[{"method": "DELETE", "path": "/v1/calendars/{calendar_id}"}],
    ),
    policy.DocumentedRuleDefault(
        name=ALL_PROJECTS,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the calendars of every project; others get their own project's.",
        operations=[{"method": "GET", "path": "/v1/calendars"}],
    ),
]
