# SPDX-License-Identifier: Apache-2.0
"""Outcomes in numbers."""

from kongming import objects
from kongming.agent.tally import Tally
from kongming.tests import base
from kongming.tests.unit.agent.base import NOVA, VNF


def outcomes(*results: str, uuid: str = VNF, generation: int = 1) -> list[objects.Outcome]:
    return [
        objects.Outcome(instance_uuid=uuid, generation=generation, result=result)
        for result in results
    ]


class TallyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tally = Tally()

    def numbers(self) -> tuple[int, int, int]:
        return self.tally.drifts, self.tally.repairs, self.tally.failures

    def test_states(self) -> None:
        self.tally.add(outcomes("applied"))
        self.tally.add(outcomes("failed", uuid=NOVA))
        self.assertEqual({VNF: "applied", NOVA: "failed"}, self.tally.states)
        self.tally.add(outcomes("released"))
        self.assertEqual({NOVA: "failed"}, self.tally.states)

    def test_drift_and_repair(self) -> None:
        self.tally.add(outcomes("applied", "applied"))
        self.assertEqual((0, 0, 0), self.numbers())
        self.tally.add(outcomes("drifted", "applied"))
        self.assertEqual((1, 1, 0), self.numbers())
        self.tally.add(outcomes("drifted"))
        self.assertEqual((2, 1, 0), self.numbers())

    def test_what_is_left_alone_counts_once(self) -> None:
        self.tally.add(outcomes("applied", "drifted", "drifted", "drifted"))
        self.assertEqual((1, 0, 0), self.numbers())
        self.assertEqual({VNF: "drifted"}, self.tally.states)
        self.tally.add(outcomes("drifted", "applied", "drifted"))
        self.assertEqual((2, 1, 0), self.numbers())

    def test_failure_counts_once(self) -> None:
        self.tally.add(outcomes("failed", "failed"))
        self.assertEqual((0, 0, 1), self.numbers())
        self.tally.add(outcomes("failed", generation=2))
        self.assertEqual((0, 0, 2), self.numbers())
        self.tally.add(outcomes("applied", "failed", generation=2))
        self.assertEqual((0, 0, 3), self.numbers())
