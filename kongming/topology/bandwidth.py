# SPDX-License-Identifier: Apache-2.0
"""Quotas and periods of CPU time in an order that the kernel accepts.

In cgroup v1 no group may be given more CPU time in a period than the group around it has, at no
moment; v2 does not mind. The numbers of the whole instance (``global``) are those of the group
around its vCPUs, its I/O threads and its emulator. A group without quota has what is around it.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, cast

from kongming.topology.part import UNLIMITED, Number, Part


class Limit(NamedTuple):
    """The CPU time of one group in each period, both in µs; -1: no limit of its own."""

    quota: int
    period: int


def exceeds(inner: Limit, outer: Limit) -> bool:
    """Whether the kernel refuses a group with a limit inside of one with another."""
    if UNLIMITED in (inner.quota, outer.quota):
        return False
    return inner.quota * outer.period > outer.quota * inner.period


def limit(numbers: Mapping[Part, int], quota: Part) -> Limit:
    """Return the limit of the group that a quota is of; what is absent is at its default."""
    period = _part(quota.owner, "period", quota.number)
    return Limit(numbers.get(quota, quota.default), numbers.get(period, period.default))


def ordered(changes: Mapping[Part, int], now: Mapping[Part, int]) -> dict[Part, int]:
    """Return changes of a placement, sorted so that the kernel takes one after the other.

    First all that is no quota or period, as it was; then the groups inside that get less, the
    instance as a whole, and the groups inside that get more. In between, the whole never has less
    than it had before or gets, and no group inside has more than that.

    :param now: the numbers as they are; what is absent is at its default
    """
    others = {part: value for part, value in changes.items() if not _is_limit(part)}
    less: list[Part] = []
    whole: list[Part] = []
    more: list[Part] = []
    owners = dict.fromkeys((p.owner, p.number) for p in changes if _is_limit(p))
    for owner, number in owners:
        quota, period = _part(owner, "quota", number), _part(owner, "period", number)
        before = limit(now, quota)
        after = Limit(changes.get(quota, before.quota), changes.get(period, before.period))
        between = Limit(after.quota, before.period)
        steps = [part for part in (quota, period) if part in changes]
        if owner == "global":
            if _share(between, math.inf) < min(_share(before, math.inf), _share(after, math.inf)):
                steps.reverse()
            whole = steps
        else:
            # without a quota of its own, it never is the one with too much
            if _share(between, 0) > max(_share(before, 0), _share(after, 0)):
                steps.reverse()
            (more if _share(after, 0) > _share(before, 0) else less).extend(steps)
    return others | {part: changes[part] for part in [*less, *whole, *more]}


def _is_limit(part: Part) -> bool:
    return part.measure in ("quota", "period")


def _part(owner: str, measure: str, number: int) -> Part:
    return Part(cast(Number, f"{owner}_{measure}"), number)


def _share(limit: Limit, unlimited: float) -> Fraction | float:
    return unlimited if limit.quota == UNLIMITED else Fraction(limit.quota, limit.period)
