# SPDX-License-Identifier: Apache-2.0
"""Memory and threads of an instance move between NUMA nodes as one, or not at all."""

from collections.abc import Callable
from typing import Any

from kongming import objects
from kongming.agent import reconciler, transaction
from kongming.agent.store import Store
from kongming.agent.transaction import Interrupted, NotApplied
from kongming.hypervisor.driver import HypervisorError, InstanceGone, Move, NotNow, Scope
from kongming.objects.report import CALLED_OFF
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import VCPU_0, VCPU_1, VNF, pin
from kongming.topology.placement import EMULATOR, MEMORY, MEMORY_AT_START, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress

#: VNF has 2048 MiB, which a simulated host moves in two steps.
HERE = Placement({VCPU_0: 1, VCPU_1: 2, EMULATOR: 1, MEMORY: 0b01})
THERE = Placement({VCPU_0: 1 << 4, VCPU_1: 1 << 5, EMULATOR: 1 << 4, MEMORY: 0b10})
STEPS = 2
#: The threads go there, the memory when it starts next.
LATER = Placement({VCPU_0: 1 << 4, VCPU_1: 1 << 5, EMULATOR: 1 << 4, MEMORY_AT_START: 0b10})


class Killed(BaseException):
    """The agent is killed."""


class RelocationTestCase(base.AgentTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.carry_out(HERE)
        self.assertEqual({0: 2048}, self.memory())

    def memory(self) -> dict[int, int]:
        """Return MiB by node."""
        return {node: mib for node, mib in self.driver.memory(VNF)[4].items() if mib}

    def scatter(self, memory: dict[int, int]) -> None:
        """Put memory somewhere without a word, as automatic NUMA balancing does."""
        held = self.fleet.running(VNF).memory
        held.clear()
        held.update(memory)

    def places(self) -> tuple[Placement, Placement, dict[int, int]]:
        """Return where everything is, and would be after a restart."""
        return *self.both(), self.memory()

    def carry_out(self, target: Placement, **kw: Any) -> Receipt | None:
        return base.carry_out(self.driver, VNF, target, **kw)


class CarryOutTest(RelocationTestCase):
    def test_receipt(self) -> None:
        receipt = self.carry_out(THERE)
        assert receipt is not None
        self.assertEqual(2048, receipt.moved_mib)
        self.assertEqual(({4: {0: 2048}}, 2048), (receipt.before, receipt.after[4][1]))
        self.assertLessEqual(0, receipt.seconds)
        live, persistent, memory = self.places()
        self.assertEqual(({}, {1: 2048}), (dict(THERE.items() - live.items()), memory))
        self.assertEqual({}, dict(THERE.items() - persistent.items()))
        self.assertIsNone(self.carry_out(THERE))

    def test_threads_cross_when_half_has_moved(self) -> None:
        places = []

        def watch(progress: Progress) -> None:
            places.append((progress.moved_mib, progress.total_mib, self.live()[VCPU_0]))

        self.carry_out(THERE, watch=watch)
        self.assertEqual([(0, 2048, 1), (1024, 2048, 1), (2048, 2048, 1 << 4)], places)

    def test_strays_are_collected(self) -> None:
        self.assertIsNone(self.carry_out(HERE))
        self.scatter({0: 1500, 1: 548})
        receipt = self.carry_out(HERE)
        assert receipt is not None
        self.assertEqual((548, {0: 2048}), (receipt.moved_mib, self.memory()))

    def test_node_without_room(self) -> None:
        self.fleet.create("one", {"name": "big", "vcpus": 1, "memory_mib": 7000, "memory_nodes": 1})
        before = self.places()
        writes = len(self.driver.writes)
        error = self.assertRaises(NotApplied, self.carry_out, THERE)
        self.assertIn("NUMA node 1", str(error))
        self.assertEqual((before, writes), (self.places(), len(self.driver.writes)))

    def test_any_step_may_fail(self) -> None:
        before = self.places()

        def watch(progress: Progress) -> None:
            if progress.moved_mib == 1024 * step:
                raise Interrupted("enough")

        for step in range(STEPS + 1):
            error = self.assertRaises(NotApplied, self.carry_out, THERE, watch=watch)
            self.assertEqual(("enough", before), (str(error), self.places()), f"step {step}")
        for write in range(1, 2 * len(THERE) + 1):
            self.fleet.fail_next(VNF, write, "no luck")
            self.assertRaises(NotApplied, self.carry_out, THERE)
            self.assertEqual(before, self.places(), f"write {write}")

    def test_instance_that_stops_while_its_memory_moves(self) -> None:
        def watch(progress: Progress) -> None:
            self.fleet.stop(VNF)

        self.assertRaises(InstanceGone, self.carry_out, THERE, watch=watch)

    def test_undoing_fails(self) -> None:
        class Stuck(base.CountingDriver):
            def move(self, uuid: str, mask: int) -> Move:
                move = super().move(uuid, mask)
                move.undo = lambda: self.fail("node 0 is full")  # type: ignore[method-assign]
                return move

            def fail(self, reason: str) -> None:
                raise HypervisorError(reason)

        self.driver = Stuck(self.fleet, "one")
        self.fleet.fail_next(VNF, 1, "no luck")
        error = self.assertRaises(transaction.NotRestored, self.carry_out, THERE)
        self.assertIn("node 0 is full", str(error))


class ReconcilerTestCase(RelocationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(reconciler, "WORD_SECONDS", 0.0)
        self.moving: list[objects.Moving] = []
        self.moves = self.moving.append
        self.turn: Callable[[], bool] = lambda: False
        self.restart()
        self.store.replace([pin(wanted=HERE)])
        self.assertEqual(["applied"], self.bring())
        self.before = self.places()

    def restart(self) -> None:
        self.store = Store(str(self.directory / "state"), "one")
        self.reconciler = base.reconciler(
            self.driver, self.store, moves=self.on_move, turn=lambda moving: self.turn()
        )

    def on_move(self, moving: objects.Moving) -> None:
        self.moves(moving)

    def bring(self, retry: bool = False) -> list[str]:
        self.outcomes = self.reconciler.bring(VNF, retry).outcomes
        return [outcome.result for outcome in self.outcomes]

    def wish(self, wanted: Placement | None = THERE, generation: int = 2, **kw: Any) -> None:
        self.store.replace([pin(wanted=wanted, generation=generation, **kw)])


class ReconcilerTest(ReconcilerTestCase):
    def test_progress_and_receipt(self) -> None:
        self.wish()
        self.assertEqual(["applied"], self.bring())
        self.assertEqual(2048, self.outcomes[0].receipt.moved_mib)
        self.assertEqual([0, 1024, 2048], [word.progress.moved_mib for word in self.moving])
        self.assertEqual({(VNF, 2)}, {(w.instance_uuid, w.generation) for w in self.moving})
        self.assertEqual(["applied"], self.bring())
        self.assertIsNone(self.outcomes[0].receipt)

    def test_what_strays_before_its_turn(self) -> None:
        def turn() -> bool:
            self.driver.write(VNF, Scope.LIVE, Placement({VCPU_0: 1 << 6}))
            return True

        self.wish(Placement(HERE | {MEMORY: 0b10}))
        self.turn = turn
        self.assertEqual(["applied"], self.bring())
        self.assertEqual((1, {1: 2048}), (self.live()[VCPU_0], self.memory()))

    def test_nothing_is_undone_of_what_had_no_turn(self) -> None:
        def turn() -> bool:
            raise NotNow("the agent ends")

        self.wish()
        self.turn = turn
        self.assertEqual([], self.bring())
        held = self.store.get(VNF)
        assert held is not None
        self.assertEqual((None, None), (held.before, held.before_of))

    def test_newer_wish_ends_a_move(self) -> None:
        self.wish()
        self.moves = lambda moving: self.wish(HERE, generation=3)
        self.assertEqual(["failed"], self.bring())
        self.assertIn("the wish changed", self.outcomes[0].reason)
        self.assertEqual(self.before, self.places())
        self.assertEqual(["applied"], self.bring())

    def test_called_off(self) -> None:
        self.wish()
        self.moves = lambda moving: self.wish(cancelled=True)
        self.assertEqual(["failed"], self.bring())
        self.assertEqual((CALLED_OFF, self.before), (self.outcomes[0].reason, self.places()))
        # neither sweeps nor restarts begin anew
        for _ in range(2):
            self.assertEqual(["failed"], self.bring(retry=True))
            self.assertEqual((CALLED_OFF, self.before), (self.outcomes[0].reason, self.places()))
            self.restart()
        self.moves = self.moving.append
        self.wish(generation=3)
        self.assertEqual(["applied"], self.bring())
        self.assertEqual({1: 2048}, self.memory())

    def test_called_off_too_late(self) -> None:
        self.wish()
        self.bring()
        self.wish(cancelled=True)
        self.assertEqual(["applied"], self.bring(retry=True))

    def kill_on_the_way(self) -> None:
        def kill(moving: objects.Moving) -> None:
            if moving.progress.moved_mib:
                raise Killed

        self.wish()
        self.moves = kill
        self.assertRaises(Killed, self.bring)
        self.assertEqual({0: 1024, 1: 1024}, self.memory())
        self.moves = self.moving.append
        self.restart()

    def test_agent_that_died_on_the_way_goes_on(self) -> None:
        self.kill_on_the_way()
        self.assertEqual(["applied"], self.bring())
        self.assertEqual(1024, self.outcomes[0].receipt.moved_mib)
        self.assertEqual({1: 2048}, self.memory())

    def test_agent_that_died_on_the_way_and_fails_then(self) -> None:
        self.kill_on_the_way()
        self.fleet.fail_next(VNF, 1, "no luck")
        self.assertEqual(["failed"], self.bring())
        self.assertEqual(self.before, self.places())

    def test_agent_that_died_on_the_way_of_what_is_called_off_then(self) -> None:
        self.kill_on_the_way()
        self.wish(cancelled=True)
        self.assertEqual(["failed"], self.bring())
        self.assertEqual((CALLED_OFF, self.before), (self.outcomes[0].reason, self.places()))

    def test_sweep_finds_memory_that_strayed(self) -> None:
        self.scatter({0: 1024, 1: 1024})
        self.assertEqual(["applied"], self.bring())
        self.assertEqual(["drifted", "applied"], self.bring(retry=True))
        self.assertEqual("50 % of the memory is not on NUMA node 0", self.outcomes[0].reason)
        self.assertEqual((1024, {0: 2048}), (self.outcomes[1].receipt.moved_mib, self.memory()))

    def test_memory_that_strayed_and_is_left_there(self) -> None:
        self.wish(HERE, generation=2, enforce=False)
        self.assertEqual(["applied"], self.bring())
        self.scatter({0: 1024, 1: 1024})
        for retry in (True, False, True):
            self.assertEqual(["drifted"], self.bring(retry))
        self.scatter({0: 2048})
        self.assertEqual(["applied"], self.bring())

    def test_process_that_has_ended_is_not_returned_to(self) -> None:
        self.kill_on_the_way()
        self.fleet.hard_reboot(VNF)
        after = self.places()
        self.fleet.fail_next(VNF, 1, "no luck")
        self.assertEqual("failed", self.bring()[-1])
        self.assertEqual(after, self.places())

    def test_parts_that_the_new_wish_released_return_too(self) -> None:
        def kill(moving: objects.Moving) -> None:
            if moving.progress.moved_mib == 2048:
                raise Killed

        self.wish(Placement({MEMORY: 0b10}))
        self.moves = kill
        self.assertRaises(Killed, self.bring)
        self.assertNotEqual(self.before[0], self.live())
        self.moves = self.moving.append
        self.restart()
        self.wish(Placement({MEMORY: 0b10}), cancelled=True)
        self.assertEqual(["failed"], self.bring())
        self.assertEqual(self.before[:2], self.places()[:2])


class NextStartTest(ReconcilerTestCase):
    def defined(self) -> int | None:
        """Return from which nodes the next start takes memory."""
        return self.driver.read(VNF, Scope.PERSISTENT).get(MEMORY)

    def test_memory_stays_until_then(self) -> None:
        self.wish(LATER)
        self.assertEqual(["applied"], self.bring())
        self.assertIsNone(self.outcomes[0].receipt)
        self.assertEqual(({0: 2048}, 0b10), (self.memory(), self.defined()))
        self.assertEqual((1 << 4, 0b01), (self.live()[VCPU_0], self.live()[MEMORY]))
        # neither where it is, nor where it strays to, is a drift
        self.scatter({0: 1024, 1: 1024})
        self.assertEqual(["applied"], self.bring(retry=True))
        self.restart()
        self.assertEqual(["applied"], self.bring(retry=True))
        self.assertEqual({0: 1024, 1: 1024}, self.memory())

        self.fleet.stop(VNF)
        self.fleet.start(VNF)
        self.bring()
        self.assertEqual({1: 2048}, self.memory())

    def test_definition_is_repaired(self) -> None:
        self.wish(LATER)
        self.bring()
        self.driver.write(VNF, Scope.PERSISTENT, Placement({MEMORY: 0b01}))
        self.assertEqual(["applied"], self.bring(retry=True))
        self.assertEqual(0b10, self.defined())

    def test_moves_when_it_is_wished(self) -> None:
        self.wish(LATER)
        self.bring()
        self.wish(THERE, generation=3)
        self.assertEqual(["applied"], self.bring())
        self.assertEqual(2048, self.outcomes[0].receipt.moved_mib)
        self.assertEqual({1: 2048}, self.memory())

    def test_failure_undoes_it(self) -> None:
        self.wish(LATER)
        before = self.places()
        # the threads, and the definition of each but the memory's
        self.fleet.fail_next(VNF, 7, "no luck")
        self.assertEqual(["failed"], self.bring())
        self.assertEqual(before, self.places())

    def test_release(self) -> None:
        nodes = self.driver.unpinned(VNF)[MEMORY]
        releases: tuple[Placement | None, ...] = (None, Placement({VCPU_0: 1}))
        generation = 2
        for restarted in (False, True):
            for wanted in releases:
                self.wish(LATER, generation)
                self.bring()
                if restarted:
                    self.fleet.stop(VNF)
                    self.fleet.start(VNF)
                    self.assertEqual(0b10, self.live()[MEMORY])
                self.wish(wanted, generation + 1)
                self.bring()
                self.assertEqual((nodes, nodes), (self.live()[MEMORY], self.defined()))
                generation += 2

    def test_own_entry_of_a_definition_that_migrated(self) -> None:
        self.wish(LATER)
        self.bring()
        self.wish(LATER, arrival=1, in_force=LATER)
        self.bring()
        held = self.store.get(VNF)
        assert held is not None and held.given is not None
        self.assertNotIn(MEMORY, held.given)
