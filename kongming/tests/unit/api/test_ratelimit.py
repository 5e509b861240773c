# SPDX-License-Identifier: Apache-2.0

from kongming.api import deadline, ratelimit
from kongming.tests import base


class BucketsTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.buckets = ratelimit.Buckets(2, 3, lambda: self.now)

    def test_burst_then_rate(self) -> None:
        self.assertEqual([0, 0, 0, 0.5], [self.buckets.take("telco") for _ in range(4)])
        self.now = 0.5
        self.assertEqual([0, 0.5], [self.buckets.take("telco") for _ in range(2)])
        self.now = 100
        self.assertEqual([0, 0, 0, 0.5], [self.buckets.take("telco") for _ in range(4)])

    def test_each_has_its_own(self) -> None:
        for _ in range(9):
            self.buckets.take("telco")
        self.assertEqual(0, self.buckets.take("shop"))

    def test_full_ones_are_forgotten(self) -> None:
        for number in range(ratelimit._MOST):
            self.buckets.take(str(number))
        self.now = 100
        self.buckets.take("telco")
        self.assertEqual(["telco"], list(self.buckets._buckets))


class RefusalsTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.refusals = ratelimit.Refusals(60, lambda: self.now)

    def test_first_then_count(self) -> None:
        self.assertEqual([True, False, False], [self.refusals.add("telco") for _ in range(3)])
        self.now = 59
        self.assertEqual({}, self.refusals.over())
        self.assertFalse(self.refusals.add("telco"))
        self.now = 60
        self.assertEqual({"telco": 3}, self.refusals.over())
        self.assertTrue(self.refusals.add("telco"))

    def test_one_alone_is_not_counted(self) -> None:
        self.refusals.add("telco")
        self.now = 60
        self.assertEqual({}, self.refusals.over())
        self.assertTrue(self.refusals.add("telco"))

    def test_each_has_its_own(self) -> None:
        self.refusals.add("telco")
        self.now = 30
        self.assertEqual([True, False], [self.refusals.add("shop") for _ in range(2)])
        self.now = 60
        self.assertFalse(self.refusals.add("shop"))
        self.assertEqual({}, self.refusals.over())
        self.now = 90
        self.assertEqual({"shop": 2}, self.refusals.over())
        self.assertEqual({}, self.refusals._counted)


class DeadlineTest(base.BareTestCase):
    def test_left(self) -> None:
        now = 0.0
        end = deadline.Deadline(60, lambda: now)
        self.assertEqual((10, 60), (end.left(10), end.left(None)))
        now = 55
        self.assertEqual(5, end.left(10))
        now = 60
        self.assertRaises(TimeoutError, end.left, 10)
        end.start()
        self.assertEqual(10, end.left(10))
