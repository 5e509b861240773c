# SPDX-License-Identifier: Apache-2.0
"""Rules that the others are made of."""

from oslo_policy import policy

ADMIN = "rule:resource_pin:admin"
ADMIN_OR_SERVICE = "rule:resource_pin:admin_or_service"
ADMIN_OR_OWNER = "rule:resource_pin:admin_or_owner"
OWNER_OR_SERVICE = "rule:resource_pin:owner_or_service"

RULES = [
    policy.RuleDefault("resource_pin:admin", "role:admin", "Operators of the cloud."),
    policy.RuleDefault(
        "resource_pin:admin_or_service",
        "rule:resource_pin:admin or role:service",
        "Operators, and services of the cloud such as the scheduler.",
    ),
    policy.RuleDefault(
        "resource_pin:admin_or_owner",
        "rule:resource_pin:admin or project_id:%(project_id)s",
        "Operators, and members of the project that owns the instance.",
    ),
    policy.RuleDefault(
        "resource_pin:owner_or_service",
        "rule:resource_pin:admin_or_owner or role:service",
        "Those, and services of the cloud such as the scheduler.",
    ),
]
