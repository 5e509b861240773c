# SPDX-License-Identifier: Apache-2.0
"""Instances are brought to their placements side by side, each by one thread at a time."""

import queue
import threading
import time
from collections.abc import Callable

import fixtures

from kongming import objects
from kongming.agent import worker
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.store import Store
from kongming.hypervisor.driver import Event, Move, NotNow, Scope
from kongming.tests.base import eventually
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import FULL, NOVA, VCPU_0, VNF, pin
from kongming.topology.placement import MEMORY, Placement
from kongming.topology.residency import Progress

SMALL, NODE_1 = Placement({VCPU_0: 1 << 6}), Placement({MEMORY: 0b10})


class Gated(base.CountingDriver):
    """Reads of one instance wait for a gate; each tells that it has come so far."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.at_once = 0
        self.refuse = False

    def read(self, uuid: str, scope: Scope) -> Placement:
        if uuid != VNF:
            return super().read(uuid, scope)
        self.at_once += 1
        self.waiting.put(self.at_once)
        self.gate.wait(20)
        self.at_once -= 1
        if self.refuse:
            raise NotNow("the daemon does not answer")
        return super().read(uuid, scope)


class Waiting(Move):
    """A move that tells of each step, and waits for a gate."""

    def __init__(self, move: Move, tell: Callable[[], None], gate: threading.Event) -> None:
        self.warnings = move.warnings
        self._move, self._tell, self._gate = move, tell, gate

    def __next__(self) -> Progress:
        self._tell()
        self._gate.wait(20)
        return next(self._move)

    def undo(self) -> None:
        self._move.undo()


class Slow(base.CountingDriver):
    """Memory waits for a gate before each step."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.prepared: list[str] = []

    def move(self, uuid: str, mask: int) -> Move:
        self.prepared.append(uuid)
        return Waiting(super().move(uuid, mask), lambda: self.begun.put(uuid), self.gate)


class WorkerTestCase(base.AgentTestCase):
    made: type[Gated | Slow]

    def setUp(self) -> None:
        super().setUp()
        self.driver = self.gated = self.made(self.fleet, "one")
        self.addCleanup(self.gated.gate.set)
        self.store = Store(str(self.directory), "one")
        self.told: queue.SimpleQueue[objects.Outcome] = queue.SimpleQueue()
        self.words: list[str] = []
        self.worker = worker.Worker(
            "one",
            self.driver,
            self.store,
            Limits(None, {}),
            self.tell,
            lambda moving: self.words.append(moving.instance_uuid),
            Rules(threshold=100, longest=1),
        )
        self.driver.listen(self.worker.event)
        self.addCleanup(self.worker.stop)

    def tell(self, outcomes: list[objects.Outcome]) -> None:
        for outcome in outcomes:
            self.told.put(outcome)

    def hold(self, *pins: objects.Pin) -> None:
        self.store.replace(pins)
        self.worker.start()

    def hear(self) -> tuple[str, str]:
        outcome = self.told.get(timeout=10)
        return outcome.instance_uuid, outcome.result


class WorkerTest(WorkerTestCase):
    made = Gated
    gated: Gated

    def test_one_that_hangs_holds_up_nobody_else(self) -> None:
        self.hold(pin(VNF), pin(NOVA, SMALL))
        self.gated.waiting.get(timeout=10)
        self.assertEqual((NOVA, "applied"), self.hear())
        # again and again, though the one that hangs is asked for, too
        for generation in (2, 3, 4):
            self.store.replace([pin(VNF, generation=generation), pin(NOVA, SMALL, generation)])
            self.worker.bring([VNF, NOVA])
            eventually(lambda: self.hear() == (NOVA, "applied"))
        self.fleet.tamper(NOVA, VCPU_0, 1)
        eventually(lambda: self.live(NOVA)[VCPU_0] == SMALL[VCPU_0])
        self.assertTrue(self.told.empty() or self.told.get().instance_uuid == NOVA)
        self.gated.gate.set()
        eventually(lambda: self.hear() == (VNF, "applied"))
        self.assertEqual(FULL, self.live())

    def test_what_happens_meanwhile_is_done_once_and_after(self) -> None:
        self.hold(pin(VNF))
        self.gated.waiting.get(timeout=10)
        for _ in range(50):
            self.worker.event(VNF, Event.CHANGED)
            self.worker.bring([VNF])
        self.assertTrue(self.gated.waiting.empty())
        self.gated.gate.set()
        self.assertEqual((VNF, "applied"), self.hear())
        self.assertEqual((VNF, "applied"), self.hear())
        # the pins raise events of their own: one look at most for each of them
        time.sleep(0.2)
        self.assertLessEqual(self.told.qsize(), len(FULL))
        at_once = [self.gated.waiting.get() for _ in range(self.gated.waiting.qsize())]
        self.assertEqual({1}, set(at_once))

    def test_tried_again_without_an_event(self) -> None:
        self.gated.refuse = True
        self.gated.gate.set()
        self.hold(pin(VNF))
        for _ in range(2):
            self.gated.waiting.get(timeout=10)
        self.assertTrue(self.told.empty())
        self.gated.refuse = False
        self.assertEqual((VNF, "applied"), self.hear())

    def test_goes_on_when_nobody_takes_note(self) -> None:
        hear = self.tell

        def deaf(outcomes: list[objects.Outcome]) -> None:
            self.worker._tell = hear
            raise ZeroDivisionError

        self.worker._tell = deaf
        self.hold(pin(NOVA, SMALL))
        eventually(lambda: "ZeroDivisionError" in self.log.output)
        self.worker.sweep()
        self.assertEqual((NOVA, "applied"), self.hear())

    def test_machine_that_has_no_thread_to_spare(self) -> None:
        with fixtures.MonkeyPatch("threading.Thread.start", _refuse):
            self.hold(pin(NOVA, SMALL))
        self.assertIn("some instances have to wait: can't start new thread", self.log.output)
        self.worker.sweep()
        self.assertEqual((NOVA, "applied"), self.hear())

    def test_missed_events(self) -> None:
        self.hold(pin(NOVA, SMALL))
        self.assertEqual((NOVA, "applied"), self.hear())
        self.fleet.tamper(NOVA, VCPU_0, 1, event=False)
        self.worker.event("", Event.MISSED)
        eventually(lambda: self.live(NOVA)[VCPU_0] == SMALL[VCPU_0])

    def test_no_more_threads_than_the_daemon_takes_requests(self) -> None:
        with fixtures.MonkeyPatch("kongming.agent.worker.MOST_AT_ONCE", 2):
            self.hold(pin(VNF), pin(NOVA, SMALL))
            for _ in range(20):
                self.worker.bring([VNF, NOVA])
            eventually(lambda: self.hear() == (NOVA, "applied"))
            names = [thread.name for thread in threading.enumerate()]
            self.assertEqual(2, sum(name.startswith("worker-one-") for name in names))

    def test_stop_does_not_wait_for_one_that_hangs(self) -> None:
        self.hold(pin(VNF))
        self.gated.waiting.get(timeout=10)
        with fixtures.MonkeyPatch("kongming.agent.worker._STOP_GRACE", 0.3):
            begin = time.monotonic()
            self.worker.stop()
            self.assertLess(time.monotonic() - begin, 5)
        self.gated.gate.set()


class MovesTest(WorkerTestCase):
    """Memory that moves, perhaps for minutes, takes nobody's place."""

    made = Slow
    gated: Slow

    def setUp(self) -> None:
        super().setUp()
        for name in ("MOST_AT_ONCE", "MOST_MOVES"):
            self.useFixture(fixtures.MonkeyPatch(f"kongming.agent.worker.{name}", 1))

    def test_others_do_not_wait(self) -> None:
        self.hold(pin(VNF), pin(NOVA, SMALL))
        self.assertEqual((NOVA, "applied"), self.hear())
        self.assertEqual(VNF, self.gated.begun.get(timeout=10))
        self.store.replace([pin(VNF), pin(NOVA, SMALL, generation=2)])
        self.worker.bring([NOVA])
        self.assertEqual((NOVA, "applied"), self.hear())
        self.gated.gate.set()
        self.assertEqual((VNF, "applied"), self.hear())
        self.assertEqual(FULL, self.live())

    def wait_for_turn(self) -> tuple[str, str]:
        """Let two move; return the one whose memory does, and the one that waits."""
        self.hold(pin(VNF, NODE_1), pin(NOVA, NODE_1))
        first = self.gated.begun.get(timeout=10)
        (second,) = {VNF, NOVA} - {first}
        self.eventually(lambda: second in self.worker._moving)
        return first, second

    def test_one_after_the_other(self) -> None:
        first, second = self.wait_for_turn()
        # whether there is room is looked at when it is its turn
        self.assertEqual([first], self.gated.prepared)
        self.assertTrue(self.gated.begun.empty())
        self.gated.gate.set()
        self.assertEqual([(first, "applied"), (second, "applied")], [self.hear(), self.hear()])

    def test_called_off_before_its_turn(self) -> None:
        first, second = self.wait_for_turn()
        before = self.live(second)
        self.store.replace([pin(first, NODE_1), pin(second, NODE_1, cancelled=True)])
        self.worker.bring([second])
        self.assertEqual((second, "failed"), self.hear())
        self.assertEqual(before, self.live(second))
        self.assertTrue(self.gated.begun.empty())
        self.gated.gate.set()

    def test_told_again_while_it_waits(self) -> None:
        """A report may be lost, and what nobody has heard of cannot be called off."""
        self.useFixture(fixtures.MonkeyPatch("kongming.agent.worker._WORD_SECONDS", 0.01))
        _, second = self.wait_for_turn()
        self.eventually(lambda: self.words.count(second) > 2)
        self.gated.gate.set()

    def test_started_anew_before_its_turn(self) -> None:
        """Its new threads must not wait for the move of another."""
        self.useFixture(fixtures.MonkeyPatch("kongming.agent.worker._WORD_SECONDS", 1000))
        first, second = self.wait_for_turn()
        self.assertEqual(1, self.words.count(second))
        self.fleet.hard_reboot(second)
        self.eventually(lambda: self.words.count(second) == 2)
        self.assertEqual([first], self.gated.prepared)
        self.gated.gate.set()
        self.assertEqual([(first, "applied"), (second, "applied")], [self.hear(), self.hear()])

    def test_stop_does_not_wait_for_who_has_no_turn(self) -> None:
        _, second = self.wait_for_turn()
        before = self.live(second)
        with fixtures.MonkeyPatch("kongming.agent.worker._STOP_GRACE", 0.3):
            self.worker.stop()
        self.eventually(lambda: second not in self.worker._moving)
        self.assertEqual(before, self.live(second))
        self.assertTrue(self.told.empty())
        self.gated.gate.set()


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
