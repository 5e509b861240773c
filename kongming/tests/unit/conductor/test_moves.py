# SPDX-License-Identifier: Apache-2.0
"""Memory on its way between NUMA nodes: what conductors know of it, and how it is called off."""

from typing import Any

from kongming import exception, objects
from kongming.conductor import pins
from kongming.db import engine, models, pin_events
from kongming.objects.pin import FAILED
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B, outcome
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress

HALF, DONE = Progress(128, 256, 0.5), Progress(256, 256, 1.0)
RECEIPT = Receipt({4: {0: 256}}, {4: {1: 256}}, 256, 1.0)


class MovesTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A, B)
        self.create(A, memory={"nodes": "1"})

    def moving(self, progress: Progress, uuid: str = A, generation: int = 1) -> None:
        moving = objects.Moving(
            instance_uuid=uuid,
            generation=generation,
            arrival=self.row(A).arrival,
            progress=progress,
        )
        self.report(moving=[moving])

    def conclude(self, result: str = "applied", reason: str | None = None, **kw: Any) -> None:
        pin = self.row(A)
        self.report(
            outcomes=[
                outcome(A, pin.generation, result, reason, in_force=pin.placement, **kw),
            ]
        )

    def cancel(self, uuid: str = A) -> objects.Pin:
        return pins.cancel_move(self.context, uuid)

    def history(self) -> list[models.PinEvent]:
        with engine.reader() as session:
            found = list(pin_events.of_pin(session, A, pin_events.owners(session, A), 100))
            session.expunge_all()
            return found

    def test_progress_until_the_end(self) -> None:
        for progress in (HALF, DONE):
            self.moving(progress)
            self.assertEqual(progress, self.row(A).progress)
        self.conclude(receipt=RECEIPT)
        self.assertIsNone(self.row(A).progress)
        self.assertEqual(("applied", None), self.status(A))
        self.assertEqual([None, RECEIPT], [event.receipt for event in self.history()])

    def test_repaired_move_has_a_line_of_its_own(self) -> None:
        self.conclude()
        self.conclude()
        self.conclude(receipt=RECEIPT)
        self.assertEqual(["created", "applied", "applied"], self.events(A))

    def test_progress_of_something_else_is_ignored(self) -> None:
        self.moving(HALF, uuid=B)
        self.moving(HALF, generation=2)
        self.assertIsNone(self.row(A).progress)

    def test_progress_ends_with_whatever_ends_the_move(self) -> None:
        for end in (
            lambda: self.update(A, memory={"nodes": "0"}),
            lambda: self.report(self.instance(A, state="shutoff")),
            lambda: self.report(gone=[A]),
        ):
            self.report(self.instance(A))
            self.moving(HALF, generation=self.row(A).generation)
            self.assertEqual(HALF, self.row(A).progress)
            end()
            self.assertIsNone(self.row(A).progress)

    def test_called_off(self) -> None:
        self.moving(HALF)
        before = self.host_row().generation
        pin = self.cancel()
        self.assertEqual((True, "one", 1), (pin.cancelled, pin.host, pin.generation))
        self.assertLess(before, self.host_row().generation)
        self.cancel()
        self.conclude(FAILED, "called off")
        self.assertEqual(("failed", "called off"), self.status(A))
        self.assertEqual(["created", "cancelled", "failed"], self.events(A))
        self.assertEqual("mano", self.history()[1].user_id)
        # it stays so until the wish changes
        self.assertTrue(self.row(A).cancelled)
        self.update(A, memory={"nodes": "1"})
        self.assertFalse(self.row(A).cancelled)

    def test_called_off_when_it_was_a_repair(self) -> None:
        self.conclude()
        self.moving(HALF)
        self.cancel()
        self.conclude("drifted", "half of it strayed")
        self.conclude(FAILED, "called off")
        self.assertTrue(self.row(A).cancelled)

    def test_called_off_on_the_host_that_it_left(self) -> None:
        self.moving(HALF)
        self.cancel()
        self.report(host="two", full=True)
        self.report(self.instance(A, "two"), host="two")
        self.assertEqual(("two", None), (self.row(A).host, self.row(A).cancelled))

    def test_called_off_too_late(self) -> None:
        self.moving(HALF)
        self.cancel()
        self.conclude(receipt=RECEIPT)
        self.assertEqual(("applied", None), self.status(A))
        self.assertFalse(self.row(A).cancelled)

    def test_nothing_to_call_off(self) -> None:
        self.refused(exception.MoveNotFound, self.cancel)
        self.refused(exception.PinNotFound, self.cancel, B)
        self.moving(HALF)
        self.delete(A)
        self.refused(exception.PinNotFound, self.cancel)
