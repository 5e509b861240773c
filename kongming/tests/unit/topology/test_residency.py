# SPDX-License-Identifier: Apache-2.0
"""Where memory is, and where it goes."""

import testtools

from kongming.topology import residency


class ResidencyTest(testtools.TestCase):
    def test_share(self) -> None:
        held = {4: {0: 10, 1: 30}, 2048: {1: 40, 3: 20}}
        self.assertEqual({0: 10, 1: 70, 3: 20}, residency.per_node(held))
        self.assertEqual(70.0, residency.share(held, 0b0010))
        self.assertEqual(90.0, residency.share(held, 0b1010))
        self.assertEqual(0.0, residency.share(held, 0b0100))
        self.assertEqual(100.0, residency.share({}, 0b1))

    def test_as_many_new_nodes_as_old_ones(self) -> None:
        held = {4: {0: 500, 1: 500}}
        self.assertEqual({0: 0b0100, 1: 0b1000}, residency.routes(held, 0b1100))
        self.assertEqual({0: 0b0100}, residency.routes(held, 0b0110))
        self.assertEqual({}, residency.routes(held, 0b0011))
        self.assertEqual({}, residency.routes(held, 0b1111))

    def test_a_choice_is_left_open(self) -> None:
        held = {4: {0: 500}, 2048: {1: 500}}
        self.assertEqual({0: 0b0100, 1: 0b0100}, residency.routes(held, 0b0100))
        self.assertEqual({1: 0b0001}, residency.routes(held, 0b0001))
        self.assertEqual({0: 0b1110}, residency.routes({4: {0: 500}}, 0b1110))

    def test_strays_do_not_count_as_a_home(self) -> None:
        held = {4: {0: 500, 1: 500, 2: 9, 3: 9}}
        self.assertEqual(
            {0: 0b10000, 1: 0b100000, 2: 0b110000, 3: 0b110000}, residency.routes(held, 0b110000)
        )
        self.assertEqual({0: 0b100, 1: 0b1000}, residency.routes(held, 0b1100))
