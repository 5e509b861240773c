# SPDX-License-Identifier: Apache-2.0
"""Rules for candidates."""

from oslo_policy import policy

from kongming.policies import base

ASK = "resource_pin:candidates:ask"

RULES = [
    policy.DocumentedRuleDefault(
        name=ASK,
        check_str=base.PLACER,
        scope_types=base.SCOPE,
        description="Ask on which hosts a pin would fit.",
        operations=[{"method": "POST", "path": "/v1/candidates"}],
    ),
]
