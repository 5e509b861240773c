# SPDX-License-Identifier: Apache-2.0
"""Where the parts of an instance are."""

import json

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology.placement import EMULATOR, MEMORY, MEMORY_AT_START, Part, Placement

VCPU_0, VCPU_1, IOTHREAD_1 = Part("vcpu", 0), Part("vcpu", 1), Part("iothread", 1)
FULL = Placement(
    {VCPU_1: 0b1_0000, VCPU_0: 0b110_0000, EMULATOR: 0b11, IOTHREAD_1: 0b100, MEMORY: 0b1000}
)

numbers = strategies.integers(0, 300)
parts = strategies.one_of(
    strategies.builds(Part, strategies.just("vcpu"), numbers),
    strategies.builds(Part, strategies.just("iothread"), numbers),
    strategies.sampled_from((EMULATOR, MEMORY, MEMORY_AT_START)),
)
masks = strategies.integers(1, (1 << 64) - 1)
placements = strategies.dictionaries(parts, masks, max_size=8).map(Placement)


class PartTest(base.TestCase):
    def test_in_words(self) -> None:
        self.assertEqual(
            ["vCPU 0", "I/O thread 1", "emulator", "memory", "memory of the next start"],
            [str(part) for part in (VCPU_0, IOTHREAD_1, EMULATOR, MEMORY, MEMORY_AT_START)],
        )


class ViewsTest(base.TestCase):
    def test_by_number(self) -> None:
        self.assertEqual({0: 0b110_0000, 1: 0b1_0000}, FULL.vcpus)
        self.assertEqual({1: 0b100}, FULL.iothreads)

    def test_pcpus_of_vcpus_only(self) -> None:
        self.assertEqual(0b111_0000, FULL.vcpu_cpus)

    def test_pcpus_of_threads_only(self) -> None:
        # the NUMA node 3 of the memory is no pCPU
        self.assertEqual(0b111_0111, FULL.cpus)
        self.assertEqual(0b1, Placement({VCPU_0: 0b1, MEMORY_AT_START: 0b1000}).cpus)

    def test_of_each_scope(self) -> None:
        weight = Part("vcpu_weight", 0)
        placement = Placement({VCPU_0: 1, weight: 50, MEMORY_AT_START: 0b10})
        self.assertEqual({VCPU_0: 1, weight: 50}, placement.live)
        self.assertEqual({VCPU_0: 1, MEMORY: 0b10}, placement.defined)
        # what may be in force while one follows the other
        both = placement | {MEMORY: 0b1}
        self.assertEqual(0b1, Placement(both).live[MEMORY])
        self.assertEqual(0b10, Placement(both).defined[MEMORY])
        self.assertEqual(FULL, FULL.live)
        self.assertEqual(FULL, FULL.defined)

    def test_empty(self) -> None:
        empty = Placement()
        self.assertEqual(
            (0, 0, {}, {}), (empty.cpus, empty.vcpu_cpus, empty.vcpus, empty.to_dict())
        )


class JoinedTest(base.TestCase):
    def test_each_part_may_be_where_either_has_it(self) -> None:
        joined = Placement({VCPU_0: 1, EMULATOR: 2}).joined(Placement({VCPU_0: 4, MEMORY: 1}))
        self.assertEqual({VCPU_0: 5, EMULATOR: 2, MEMORY: 1}, joined)
        self.assertIsInstance(joined, Placement)

    def test_with_nothing(self) -> None:
        for nothing in (None, Placement()):
            joined = FULL.joined(nothing)
            self.assertEqual(FULL, joined)
            self.assertIsNot(FULL, joined)

    @hypothesis.given(placements, placements)
    def test_holds_both(self, one: Placement, other: Placement) -> None:
        joined = one.joined(other)
        self.assertEqual(joined, other.joined(one))
        self.assertEqual({*one, *other}, set(joined))
        self.assertEqual(one.cpus | other.cpus, joined.cpus)


class DifferencesTest(base.TestCase):
    def test_none(self) -> None:
        observed = FULL | {Part("vcpu", 2): 1}
        self.assertEqual([], FULL.differences(Placement(observed)))

    def test_each_is_named(self) -> None:
        observed = Placement({VCPU_0: 0b1, VCPU_1: FULL[VCPU_1], EMULATOR: 0b11, MEMORY: 0b1})
        self.assertEqual(
            [
                "vCPU 0 is on 0 instead of 5-6",
                "I/O thread 1 is on nothing instead of 2",
                "memory is on 0 instead of 3",
            ],
            FULL.differences(observed),
        )

    def test_subset_is_a_difference(self) -> None:
        self.assertEqual(
            ["emulator is on 0 instead of 0-1"],
            Placement({EMULATOR: 3}).differences(Placement({EMULATOR: 1})),
        )


class DictTest(base.TestCase):
    def test_documented_form(self) -> None:
        self.assertEqual(
            {
                "vcpus": {"0": "5-6", "1": "4"},
                "emulator": "0-1",
                "iothreads": {"1": "2"},
                "memory": {"nodes": "3"},
            },
            FULL.to_dict(),
        )

    def test_numbers_are_in_order(self) -> None:
        placement = Placement({Part("vcpu", 10): 1, Part("vcpu", 9): 1})
        self.assertEqual(["9", "10"], list(placement.to_dict()["vcpus"]))

    def test_emulator_in_no_place(self) -> None:
        self.assertEqual({}, Placement.from_dict({"emulator": ""}))
        read = Placement.from_dict({"emulator": "", "vcpus": {"0": "1"}})
        self.assertEqual({"vcpus": {"0": "1"}}, read.to_dict())

    @hypothesis.given(placements)
    def test_round_trip_through_json(self, placement: Placement) -> None:
        read = Placement.from_dict(json.loads(json.dumps(placement.to_dict())))
        self.assertEqual(placement, read)
        self.assertIsInstance(read, Placement)
