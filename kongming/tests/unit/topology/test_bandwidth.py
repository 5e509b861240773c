# SPDX-License-Identifier: Apache-2.0
"""Quotas and periods change in an order that the kernel accepts."""

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology import bandwidth
from kongming.topology.bandwidth import Limit
from kongming.topology.part import UNLIMITED, Number, Part

GLOBAL, EMULATOR = Part("global_quota"), Part("emulator_quota")
INSIDE = (EMULATOR, Part("vcpu_quota", 0), Part("vcpu_quota", 1), Part("iothread_quota", 1))
WEIGHT = Part("vcpu_weight", 0)

quotas = strategies.one_of(strategies.just(UNLIMITED), strategies.integers(1000, 400_000))
limits = strategies.builds(Limit, quotas, strategies.integers(1000, 1_000_000))


def period(quota: Part) -> Part:
    """Return the period that belongs to a quota."""
    kinds: dict[str, Number] = {
        "global_quota": "global_period",
        "emulator_quota": "emulator_period",
        "vcpu_quota": "vcpu_period",
        "iothread_quota": "iothread_period",
    }
    return Part(kinds[quota.kind], quota.number)


@strategies.composite
def states(draw: strategies.DrawFn) -> dict[Part, int]:
    """Limits of all groups that the kernel accepts."""
    numbers: dict[Part, int] = {}
    whole = draw(limits)
    for quota in (GLOBAL, *INSIDE):
        limit = whole if quota == GLOBAL else draw(limits)
        if bandwidth.exceeds(limit, whole):
            limit = whole
        numbers |= {quota: limit.quota, period(quota): limit.period}
    return numbers


def accepted(numbers: dict[Part, int]) -> bool:
    """Whether the kernel would have it, by its own arithmetic."""
    whole = bandwidth.limit(numbers, GLOBAL)
    for quota in INSIDE:
        own = bandwidth.limit(numbers, quota)
        if UNLIMITED not in (own.quota, whole.quota) and (
            own.quota / own.period > whole.quota / whole.period * (1 + 1e-12)
        ):
            return False
    return True


class OrderedTest(base.TestCase):
    @hypothesis.given(states(), states(), strategies.data())
    def test_each_step_is_accepted(
        self, before: dict[Part, int], after: dict[Part, int], data: strategies.DataObject
    ) -> None:
        changes = {part: value for part, value in after.items() if before[part] != value}
        shuffled = data.draw(strategies.permutations(list(changes)))
        steps = bandwidth.ordered({part: changes[part] for part in shuffled}, before)
        self.assertEqual(changes, steps)
        now = dict(before)
        for part, value in steps.items():
            now[part] = value
            self.assertTrue(accepted(now), f"{part} = {value} on the way from {before}")
        self.assertEqual(after, now)

    def test_what_is_no_limit_comes_first_and_as_it_was(self) -> None:
        changes = {EMULATOR: 1000, Part("vcpu", 1): 1, WEIGHT: 5, Part("emulator"): 2}
        self.assertEqual(
            [Part("vcpu", 1), WEIGHT, Part("emulator"), EMULATOR],
            list(bandwidth.ordered(changes, {})),
        )

    def test_raised_from_outside_and_lowered_from_inside(self) -> None:
        low, high = {EMULATOR: 1000, GLOBAL: 2000}, {EMULATOR: 3000, GLOBAL: 4000}
        self.assertEqual([GLOBAL, EMULATOR], list(bandwidth.ordered(high, low)))
        self.assertEqual([EMULATOR, GLOBAL], list(bandwidth.ordered(low, high)))

    def test_from_and_to_no_limit(self) -> None:
        limited = {EMULATOR: 1000, GLOBAL: 2000}
        free = {EMULATOR: UNLIMITED, GLOBAL: UNLIMITED}
        self.assertEqual([GLOBAL, EMULATOR], list(bandwidth.ordered(limited, {})))
        self.assertEqual([EMULATOR, GLOBAL], list(bandwidth.ordered(free, limited)))


class ExceedsTest(base.TestCase):
    def test_compares_what_the_period_makes_of_it(self) -> None:
        whole = Limit(50_000, 100_000)
        self.assertFalse(bandwidth.exceeds(Limit(25_000, 50_000), whole))
        self.assertTrue(bandwidth.exceeds(Limit(25_001, 50_000), whole))

    def test_no_limit(self) -> None:
        some, none = Limit(50_000, 100_000), Limit(UNLIMITED, 1000)
        for inner, outer in ((none, some), (some, none), (none, none)):
            self.assertFalse(bandwidth.exceeds(inner, outer))
