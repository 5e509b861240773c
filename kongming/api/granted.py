# SPDX-License-Identifier: Apache-2.0
"""What of a wish its caller may ask for at all."""

from collections.abc import Collection, Iterable, Iterator

from oslo_config import cfg

from kongming import exception, policy
from kongming.context import RequestContext
from kongming.db import engine, instances
from kongming.policies import base as rules
from kongming.policies import pins as pin_rules
from kongming.topology.part import DEFAULT_PERIOD, UNLIMITED
from kongming.topology.qos import Qos, weight_of
from kongming.topology.wish import Wish


def check(context: RequestContext, wish: Wish) -> None:
    """Insist that the caller may ask for everything in a wish.

    :raises Forbidden: naming the rule, or each field that it may not have, or not so high
    :raises InstanceNotFound: a neighbour is not known, or is not the caller's
    """
    if wish.override:
        policy.authorize(context, pin_rules.OVERRIDE)
    insist_on_own(context, wish.neighbours)
    if policy.allows(context, rules.NAME_PLACES):
        return
    insist_on_places(context, wish.named_places)
    if wish.qos is not None and (problems := list(_too_much(wish.qos))):
        code = exception.Forbidden.code
        raise exception.PlacesForbidden(problems=[(code, text) for text in problems])


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


def _too_much(qos: Qos) -> Iterator[str]:
    """Tell which numbers are above what members of projects may ask for."""
    most = cfg.CONF.quota
    weights = {f"qos.vcpus.{n}.weight": own["weight"] for n, own in _own(qos, "weight")}
    if "cpu_shares" in qos.numbers:
        weights["qos.cpu_shares"] = weight_of(qos.numbers["cpu_shares"])
    for field, weight in weights.items():
        if weight > most.highest_weight:
            yield f"{field}: the highest weight of CPU time is {most.highest_weight}"
    if most.highest_quota_percent == UNLIMITED:
        return
    for field, quota, period in _quotas(qos):
        if quota == UNLIMITED or 100 * quota > most.highest_quota_percent * period:
            yield f"{field}: the highest quota is {most.highest_quota_percent} % of a pCPU"


def _own(qos: Qos, measure: str) -> list[tuple[int, dict[str, int]]]:
    return [(number, dict(own)) for number, own in sorted(qos.vcpus.items()) if measure in own]


def _quotas(qos: Qos) -> Iterator[tuple[str, int, int]]:
    """Yield field, quota and period; that of the whole instance only makes others smaller."""
    numbers = qos.numbers
    for owner in ("emulator", "iothread", "vcpu"):
        if f"{owner}_quota" in numbers:
            period = numbers.get(f"{owner}_period", DEFAULT_PERIOD)
            yield f"qos.{owner}_quota", numbers[f"{owner}_quota"], period
    for number, own in _own(qos, "quota"):
        period = own.get("period", numbers.get("vcpu_period", DEFAULT_PERIOD))
        yield f"qos.vcpus.{number}.quota", own["quota"], period
