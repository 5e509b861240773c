# SPDX-License-Identifier: Apache-2.0
"""Rules for quotas."""

from oslo_policy import policy

from kongming.policies import base

LIST = "resource_pin:quotas:list"
GET = "resource_pin:quotas:get"
SET = "resource_pin:quotas:set"

_PATH = "/v1/quotas/{project_id}"

RULES = [
    policy.DocumentedRuleDefault(
        name=LIST,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="List the projects for which limits were set.",
        operations=[{"method": "GET", "path": "/v1/quotas"}],
    ),
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.READER,
        scope_types=base.SCOPE,
        description="See the limits of a project, and what of them is in use.",
        operations=[{"method": "GET", "path": _PATH}],
    ),
    policy.DocumentedRuleDefault(
        name=SET,
        check_str=base.ADMIN,
        scope_types=base.SCOPE,
        description="Set the limits of a project, or return to the default ones.",
        operations=[{"method": "PUT", "path": _PATH}, {"method": "DELETE", "path": _PATH}],
    ),
]
