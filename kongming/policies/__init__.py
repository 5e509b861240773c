# SPDX-License-Identifier: Apache-2.0
"""Who may do what, by default: one module per noun."""

import itertools

from oslo_policy import policy

from kongming.policies import base, hosts, instances, pins


def list_rules() -> list[policy.RuleDefault]:
    """Return every rule with its default, for the enforcer and the sample generator."""
    return list(itertools.chain(base.RULES, hosts.RULES, instances.RULES, pins.RULES))
