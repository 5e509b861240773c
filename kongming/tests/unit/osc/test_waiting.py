# SPDX-License-Identifier: Apache-2.0

import io
import itertools
from collections.abc import Iterator

from rich import console

from kongming.osc import waiting
from kongming.sdk.pin import Pin
from kongming.sdk.template import Rollout
from kongming.tests import base

UUID = "11111111-1111-4111-8111-111111111111"


def _pins() -> Iterator[Pin]:
    yield Pin(instance_uuid=UUID, status="pending")
    for moved in (0, 500, 1500):
        move = {"moved_mib": moved, "total_mib": 2048, "seconds": 1.0, "mib_per_s": 498.7}
        yield Pin(instance_uuid=UUID, status="pending", move=move)
    yield Pin(instance_uuid=UUID, status="applied")


def _steps() -> Iterator[waiting.Step]:
    return map(waiting.pin_step, _pins())


class ProgressTest(base.BareTestCase):
    def drawn(self, steps: Iterator[waiting.Step]) -> str:
        """Return what a terminal gets."""
        file = io.StringIO()
        waiting.bar(steps, console.Console(file=file, force_terminal=True, width=120))
        return file.getvalue()

    def test_bar(self) -> None:
        self.assertIn(f"{UUID} applied", self.drawn(_steps()))

    def test_what_a_bar_says_of_a_move(self) -> None:
        drawn = self.drawn(itertools.islice(_steps(), 4))
        self.assertIn("1500 of 2048 MiB, 499 MiB/s", drawn)

    def test_what_a_bar_says_of_a_rollout(self) -> None:
        rollout = Rollout(id="some", state="running", done=3, total=20)
        drawn = self.drawn(iter([waiting.rollout_step(rollout)]))
        self.assertIn("some running", drawn)
        self.assertIn("3 of 20 pins", drawn)

    def test_lines(self) -> None:
        file = io.StringIO()
        clock = iter((0.0, 1.0, 2.0, 8.0, 9.0, 9.0))
        waiting.lines(_steps(), console.Console(file=file), lambda: next(clock))
        self.assertEqual(
            [
                f"{UUID} pending",
                f"{UUID} pending 0 of 2048 MiB, 499 MiB/s",
                f"{UUID} pending 1500 of 2048 MiB, 499 MiB/s",
                f"{UUID} applied",
            ],
            file.getvalue().splitlines(),
        )
