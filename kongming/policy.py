# SPDX-License-Identifier: Apache-2.0
"""Decide, by the rules in `kongming.policies` and the operator's policy file."""

import functools
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from kongming import exception, policies
from kongming.context import RequestContext


@functools.cache
def _enforcer() -> policy.Enforcer:
    enforcer = policy.Enforcer(cfg.CONF)
    enforcer.register_defaults(policies.list_rules())
    return enforcer


def allows(context: RequestContext, rule: str, owned: Any = None) -> bool:
    """Return whether the caller may do ``rule`` to a thing with ``project_id``/``user_id``."""
    owner = {name: getattr(owned, name, None) for name in ("project_id", "user_id")}
    # a thing without a project is not that of callers without one: rules that ask fail
    target = {name: value for name, value in owner.items() if value is not None}
    return bool(_enforcer().authorize(rule, target, context))


def authorize(context: RequestContext, rule: str, owned: Any = None) -> None:
    """Insist that the caller may do something: to a thing that it sees, or to no particular one.

    :raises Forbidden:
    """
    if not allows(context, rule, owned):
        raise exception.Forbidden(rule=rule)


def authorize_owned(
    context: RequestContext, rule: str, see: str, owned: Any, hidden: exception.NotFound
) -> None:
    """Insist that the caller may do ``rule`` to the thing that was loaded.

    :param see: the rule for seeing it at all
    :raises NotFound: ``hidden``, if it must not even be seen
    :raises Forbidden: it may be seen, but not that
    """
    if not allows(context, see, owned):
        raise hidden
    if not allows(context, rule, owned):
        raise exception.Forbidden(rule=rule)
