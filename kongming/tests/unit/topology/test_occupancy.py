# SPDX-License-Identifier: Apache-2.0
"""Who holds what, and twice."""

from kongming.tests import base
from kongming.topology import occupancy
from kongming.topology.placement import EMULATOR, Part, Placement


class ConflictsTest(base.TestCase):
    def test_holders_are_named_with_all_that_they_share(self) -> None:
        claimed = {"a": 0b0000_1111, "b": 0b0011_0000}
        given = {"c": 0b0001_0110, "a": 0b0000_0001}
        self.assertEqual(
            [(0b0000_0110, ("a", "c")), (0b0001_0000, ("b", "c"))],
            occupancy.conflicts([claimed, given]),
        )

    def test_nobody_conflicts_with_itself(self) -> None:
        self.assertEqual([], occupancy.conflicts([{"a": 0b11}, {"a": 0b11}]))

    def test_together(self) -> None:
        self.assertEqual(0b111, occupancy.together({"a": 0b011, "b": 0b110}))


class ExclusiveTest(base.TestCase):
    def test_what_one_vcpu_alone_was_given(self) -> None:
        placement = Placement(
            {
                Part("vcpu", 0): 0b0000_0001,
                Part("vcpu", 1): 0b0000_0010,
                Part("vcpu", 2): 0b0000_0010,
                Part("vcpu", 3): 0b0011_0000,
                Part("iothread", 1): 0b0100_0000,
                EMULATOR: 0b1000_0000,
            }
        )
        self.assertEqual(0b0000_0001, placement.exclusive)
