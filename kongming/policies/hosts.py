# SPDX-License-Identifier: Apache-2.0
"""Rules for hosts."""

from oslo_policy import policy

from kongming.policies import base

GET = "resource_pin:hosts:get"

RULES = [
    policy.DocumentedRuleDefault(
        name=GET,
        check_str=base.PLACER,
        scope_types=base.SCOPE,
        description="See hosts, their topology and the instances on them.",
        operations=[
            {"method": "GET", "path": "/v1/hosts"},
            {"method": "GET", "path": "/v1/hosts/{host_name}"},
        ],
    ),
]
