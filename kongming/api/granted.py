# SPDX-License-Identifier: Apache-2.0
"""What of a wish its caller may ask for at all."""

from collections.abc import Collection, Iterable

from oslo_config import cfg

from kongming import exception, policy
from kongming.context import RequestContext
from kongming.db import engine, instances
from kongming.policies import base as rules
from kongming.policies import pins as pin_rules
from kongming.topology.allowed import Bounds, beyond
from kongming.topology.wish import Wish


def check(context: RequestContext, wish: Wish) -> None:
    """Insist that the caller may ask for everything in a wish.

    :raises Forbidden: naming the rule, or each field that it may not have, or not so high
    :raises InstanceNotFound: a neighbour is not known, or is not the caller's
    """
    if wish.override:
        policy.authorize(context, pin_rules.OVERRIDE)
    insist_on_own(context, wish.neighbours)
    insist_on_places(context, wish.named_places)
    if policy.allows(context, rules.EXCEED_CPU_TIME):
        return
    most = Bounds(cfg.CONF.quota.highest_weight, cfg.CONF.quota.highest_quota_percent)
    if too_much := [f"{field}: {reason}" for field, reason in beyond(wish.qos, most)]:
        code = exception.CpuTimeForbidden.code
        raise exception.CpuTimeForbidden(problems=[(code, text) for text in too_much])


def insist_on_own(context: RequestContext, uuids: Collection[str]) -> None:
    """Insist that instances are the caller's, unless it may see those of others.

    :raises InstanceNotFound: one is not, or nobody knows it
    """
    if not uuids or policy.allows(context, rules.SEE_OTHERS):
        return
    with engine.reader() as session:
        own = instances.owned(session, uuids, context.project_id)
    for uuid in uuids:
        if uuid not in own:
            raise exception.InstanceNotFound(instance_uuid=uuid)


def insist_on_places(context: RequestContext, fields: Iterable[str]) -> None:
    """Insist that the caller may name pCPUs, NUMA nodes and devices, as these fields do.

    :raises PlacesForbidden: naming each field
    """
    named = list(fields)
    if named and not policy.allows(context, rules.NAME_PLACES):
        text = f"policy does not allow {rules.NAME_PLACES}: describe what the instance needs"
        code = exception.PlacesForbidden.code
        raise exception.PlacesForbidden(problems=[(code, f"{field}: {text}") for field in named])
