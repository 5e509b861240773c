# SPDX-License-Identifier: Apache-2.0
"""CPU sets: their text and their bitmask."""

import contextlib
import itertools
import time

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology import cpuset

NUMBERS = strategies.integers(0, cpuset.MAX_NUMBER)
SETS = strategies.sets(NUMBERS, min_size=1, max_size=300)


def elements(numbers: set[int]) -> str:
    return ",".join(str(number) for number in numbers)


class ParseTest(base.TestCase):
    def test_forms(self) -> None:
        for text, members in (
            ("0", {0}),
            ("3", {3}),
            ("0-3", {0, 1, 2, 3}),
            ("5-5", {5}),
            ("8,0", {0, 8}),
            ("1,1,0-1", {0, 1}),
            ("0-3,^2,8", {0, 1, 3, 8}),
            ("^2,0-3", {0, 1, 3}),
            ("0-7,^2-5", {0, 1, 6, 7}),
            ("0-7,^2,^3-5,^7", {0, 1, 6}),
            ("1,^9", {1}),
            ("000007", {7}),
            ("1-2,1,2-3", {1, 2, 3}),
            ("0-3,^2,^2,^1-2", {0, 3}),
            (" 0 - 3 ,\t^ 2 , 8\n", {0, 1, 3, 8}),
            ("8191", {8191}),
        ):
            self.assertEqual(members, set(cpuset.members(cpuset.parse(text))), text)

    def test_malformed(self) -> None:
        for text, reason in (
            ("", "'' is neither a number nor a range"),
            (" ", "'' is neither"),
            (",", "'' is neither"),
            ("1,", "'' is neither"),
            (",1", "'' is neither"),
            ("1,,2", "'' is neither"),
            ("a", "'a' is neither"),
            ("1a", "'1a' is neither"),
            ("1 2", "'1 2' is neither"),
            ("-", "'-' is neither"),
            ("-1", "'-1' is neither"),
            ("1-", "'1-' is neither"),
            ("1--2", "'1--2' is neither"),
            ("1-2-3", "'1-2-3' is neither"),
            ("+1", "'+1' is neither"),
            ("1.0", "'1.0' is neither"),
            ("0x1", "'0x1' is neither"),
            ("1_0", "'1_0' is neither"),
            ("\u0663", "'\u0663' is neither"),  # ARABIC-INDIC DIGIT THREE
            ("\u00b2", "'\u00b2' is neither"),  # SUPERSCRIPT TWO
            ("1;2", "'1;2' is neither"),
            ("1\x002", "'1\x002' is neither"),
            ("^", "'^' is neither"),
            ("^^1", "'^^1' is neither"),
            ("0,^a", "'^a' is neither"),
            ("1^2", "'1^2' is neither"),
            ("3-1", "'3-1' is a range that runs backwards"),
            ("8192", "'8192' is above 8191"),
            ("0-8192", "'0-8192' is above 8191"),
            ("9" * 5000, f"'{'9' * 32}' is above 8191"),
            ("x" * 5000, f"'{'x' * 32}' is neither"),
            ("^1", "the set is empty"),
            ("1,^1", "the set is empty"),
            ("0-3,^0-8191", "the set is empty"),
            ("1," * 32768 + "1", "longer than 65536 characters"),
        ):
            error = self.assertRaises(cpuset.CpuSetError, cpuset.parse, text)
            self.assertIn(reason, str(error), text[:50])
            self.assertLess(len(str(error)), 100)

    def test_longest_text(self) -> None:
        self.assertEqual(1, cpuset.parse("0," * 32767 + "00"))

    def test_cost_of_the_longest_texts(self) -> None:
        # linear would be milliseconds; what grows with the square of the length, minutes
        for text in ("0-8191," * 9362, "^0-8191," * 8192, "8191," * 13107, "," * 65536):
            start = time.process_time()
            with contextlib.suppress(cpuset.CpuSetError):
                cpuset.parse(text)
            self.assertLess(time.process_time() - start, 1, text[:8])

    @hypothesis.given(strategies.text(alphabet="0123456789-^, a\n\u0663", max_size=60))
    def test_arbitrary_text(self, text: str) -> None:
        try:
            mask = cpuset.parse(text)
        except cpuset.CpuSetError:
            return
        self.assertGreater(mask, 0)
        self.assertLessEqual(mask.bit_length(), cpuset.MAX_NUMBER + 1)
        self.assertEqual(mask, cpuset.parse(cpuset.to_text(mask)))

    @hypothesis.given(strategies.text(max_size=200))
    def test_arbitrary_unicode(self, text: str) -> None:
        with contextlib.suppress(cpuset.CpuSetError):
            self.assertGreater(cpuset.parse(text), 0)

    @hypothesis.given(SETS, strategies.sets(NUMBERS, max_size=50))
    def test_means_what_sets_mean(self, included: set[int], excluded: set[int]) -> None:
        hypothesis.assume(included - excluded)
        text = ",".join([*(f"^{number}" for number in excluded), elements(included)])
        self.assertEqual(included - excluded, set(cpuset.members(cpuset.parse(text))))

    @hypothesis.given(NUMBERS, NUMBERS)
    def test_ranges(self, one: int, other: int) -> None:
        low, high = sorted((one, other))
        self.assertEqual(
            list(range(low, high + 1)), list(cpuset.members(cpuset.parse(f"{low}-{high}")))
        )


class ToTextTest(base.TestCase):
    def test_shortest_form(self) -> None:
        for members, text in (
            (set(), ""),
            ({0}, "0"),
            ({0, 1}, "0-1"),
            ({0, 2}, "0,2"),
            ({7, 6, 5, 0, 2, 3}, "0,2-3,5-7"),
            ({63, 64, 65}, "63-65"),
            ({8191}, "8191"),
            (set(range(8192)), "0-8191"),
        ):
            self.assertEqual(text, cpuset.to_text(cpuset.from_members(members)))

    def test_cost_of_the_longest_text(self) -> None:
        every_second = cpuset.from_members(range(0, 8192, 2))
        start = time.process_time()
        text = cpuset.to_text(every_second)
        self.assertLess(time.process_time() - start, 0.5)
        self.assertEqual(4096, len(text.split(",")))

    @hypothesis.given(SETS)
    def test_round_trip(self, numbers: set[int]) -> None:
        text = cpuset.to_text(cpuset.from_members(numbers))
        self.assertEqual(numbers, set(cpuset.members(cpuset.parse(text))))
        runs = [part.split("-") for part in text.split(",")]
        edges = [int(edge) for run in runs for edge in run]
        self.assertEqual(sorted(set(edges)), edges)
        # runs that touch would be one
        self.assertTrue(all(int(b[0]) - int(a[-1]) > 1 for a, b in itertools.pairwise(runs)))


class MembersTest(base.TestCase):
    def test_twice_is_once(self) -> None:
        self.assertEqual(0b110, cpuset.from_members([1, 2, 1]))

    @hypothesis.given(strategies.sets(NUMBERS, max_size=300))
    def test_round_trip(self, numbers: set[int]) -> None:
        mask = cpuset.from_members(numbers)
        self.assertEqual(sorted(numbers), list(cpuset.members(mask)))
        self.assertEqual(len(numbers), mask.bit_count())
