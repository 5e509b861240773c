# SPDX-License-Identifier: Apache-2.0
"""Rules that the others are made of."""

from oslo_policy import policy

ADMIN = "rule:resource_pin:admin"
ADMIN_OR_OWNER = "rule:resource_pin:admin_or_owner"

RULES = [
    policy.RuleDefault("resource_pin:admin", "role:admin", "Operators of the cloud."),
    policy.RuleDefault(
        "resource_pin:admin_or_owner",
        "rule:resource_pin:admin or project_id:%(project_id)s",
        "Operators, and members of the project that owns the instance.",
    ),
]
