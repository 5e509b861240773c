# SPDX-License-Identifier: Apache-2.0
"""The memory of instances is read as often as its price allows."""

from kongming.hypervisor.driver import InstanceGone
from kongming.hypervisor.residency import ResidencyReader
from kongming.tests import base
from kongming.topology.residency import Residency


class ResidencyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.seconds = {"a": 0.1, "b": 0.1, "c": 0.1}
        self.read: list[str] = []
        self.residency = ResidencyReader(self._read, lambda: self.now)

    def _read(self, uuid: str) -> Residency:
        self.read.append(uuid)
        if uuid not in self.seconds:
            raise InstanceGone(uuid)
        self.now += self.seconds[uuid]
        return {4: {0: len(self.read)}}

    def look(self, *uuids: str, after: float = 60.0) -> tuple[str, dict[str, Residency]]:
        """Return which are read then, and what is known."""
        self.now += after
        self.read.clear()
        known = self.residency.look(uuids or ("a", "b", "c"))
        return "".join(self.read), known

    def test_all_while_it_is_cheap(self) -> None:
        for _ in range(3):
            read, known = self.look()
            self.assertEqual(("abc", {4: {0: 3}}), (read, known["c"]))

    def test_the_dear_one_by_one(self) -> None:
        self.seconds = dict.fromkeys("abc", 1.2)
        self.assertEqual("a", self.look()[0])
        # the credit of 60 seconds is the price of one
        self.assertEqual("b", self.look()[0])
        self.assertEqual("c", self.look()[0])
        read, known = self.look()
        self.assertEqual(("a", ["a", "b", "c"]), (read, sorted(known)))

    def test_looks_in_quick_succession(self) -> None:
        self.seconds = dict.fromkeys("abc", 1.0)
        self.look()
        spent = sum(len(self.look(after=1)[0]) for _ in range(1000))
        self.assertTrue(15 <= spent <= 21, spent)

    def test_a_long_walk_is_paid_for_later(self) -> None:
        self.seconds = {"a": 21.0, "b": 0.0, "c": 0.0}
        self.assertEqual("a", self.look()[0])
        for _ in range(16):
            self.assertEqual("", self.look()[0])
        self.assertEqual("bca", self.look(after=120)[0])

    def test_those_that_left_and_those_that_end_meanwhile(self) -> None:
        self.look()
        self.assertEqual(["a"], list(self.look("a")[1]))
        del self.seconds["b"]
        self.assertEqual({"a", "c"}, set(self.look()[1]))
