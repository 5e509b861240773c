# SPDX-License-Identifier: Apache-2.0
"""Who may do what, by default: one module per noun."""

import itertools

from oslo_policy import policy

from kongming.policies import (
    base,
    calendars,
    candidates,
    hosts,
    instances,
    pins,
    quotas,
    rollouts,
    templates,
)


def list_rules() -> list[policy.RuleDefault]:
    """Return every rule with its default, for the enforcer and the sample generator."""
    nouns = (base, calendars, candidates, hosts, instances, pins, quotas, rollouts, templates)
    return list(itertools.chain.from_iterable(noun.RULES for noun in nouns))
