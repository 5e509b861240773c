# SPDX-License-Identifier: Apache-2.0
"""What samples tell: by example, and what holds for whatever is counted."""

import datetime

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology.counted import CpuTime, Sample, Thread, vcpu_seconds
from kongming.topology.host import Host, NumaNode
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.residency import Residency
from kongming.topology.telling import conflicts, locality, told
from kongming.topology.usage import Conflict, Load, Usage, VcpuUsage

NOW = datetime.datetime(2026, 2, 28, tzinfo=datetime.UTC)
HOST = Host(nodes=(NumaNode(0, 0x0F, 1024), NumaNode(1, 0xF0, 1024), NumaNode(7, 0, 1024)))
VCPU_0, VCPU_1, IOTHREAD_1 = Part("vcpu", 0), Part("vcpu", 1), Part("iothread", 1)


def thread(part: Part = VCPU_0, run: float = 0, wait: float = 0, tid: int = 1) -> Thread:
    return Thread(part, "", tid, 0b1, 0, run, wait)


def sample(seconds: float, *threads: Thread, **more: object) -> Sample:
    """Return a sample of an instance named "a"."""
    fields = {"cpus": {}, "threads": {"a": threads}, "memory": {}} | more
    return Sample(seconds=seconds, **fields)  # type: ignore[arg-type]


def usage(before: Sample | None, now: Sample) -> Usage:
    return told(HOST, before, now, NOW)


class VcpuTest(base.TestCase):
    def vcpu(self, before: Sample | None, now: Sample) -> VcpuUsage:
        return usage(before, now).instances["a"].vcpus[0]

    def test_shares_of_the_interval(self) -> None:
        before = sample(100, thread(run=7, wait=1))
        now = sample(110, thread(run=12, wait=1.5))
        self.assertEqual(VcpuUsage(12, 1.5, 50.0, 5.0), self.vcpu(before, now))

    def test_nothing_to_compare_with(self) -> None:
        now = sample(110, thread(run=12))
        elsewhere = sample(100, threads={"b": [thread()]})
        for before in (None, elsewhere, now):
            self.assertEqual(VcpuUsage(12, 0, None, None), self.vcpu(before, now))

    def test_other_threads_since(self) -> None:
        before = sample(100, thread(run=50), thread(run=30, wait=9, tid=2))
        # one ended, one is new, and one number now means another thread
        now = sample(110, thread(run=1, wait=2), thread(run=3, tid=5))
        self.assertEqual(VcpuUsage(4, 2, 40.0, 20.0), self.vcpu(before, now))

    def test_only_vcpus(self) -> None:
        threads = [thread(part, 1, 2) for part in (VCPU_1, EMULATOR, VCPU_0, IOTHREAD_1, VCPU_1)]
        self.assertEqual([(0, (1, 2)), (1, (2, 4))], list(vcpu_seconds(threads).items()))


class LoadTest(base.TestCase):
    def test_shares_of_what_passed(self) -> None:
        before = {0: CpuTime(10, 5, 1, 100), 1: CpuTime(10, 5, 1, 100), 2: CpuTime(1, 1, 1, 1)}
        now = {
            0: CpuTime(11, 6, 3, 104),
            1: CpuTime(12, 4, 1, 106),  # iowait went back, as it may
            2: CpuTime(1, 1, 1, 1),
            3: CpuTime(1, 1, 1, 1),
        }
        found = usage(sample(0, cpus=before), sample(8, cpus=now)).cpus
        self.assertEqual({0: Load(12.5, 12.5, 25.0), 1: Load(25.0, 0.0, 0.0)}, found)

    def test_first_look(self) -> None:
        self.assertEqual({}, usage(None, sample(0, cpus={0: CpuTime(1, 1, 1, 1)})).cpus)


class LocalityTest(base.TestCase):
    def test_share_on_the_nodes_of_the_vcpus(self) -> None:
        memory = {4: {0: 100, 1: 50}, 2048: {1: 200, 7: 50}}
        for cpus, expected in ((0b1, 25.0), (0x10, 62.5), (0x11, 87.5), (0, 0.0)):
            self.assertEqual(expected, locality(HOST, memory, cpus))

    def test_memory_that_is_not_known(self) -> None:
        nothing: tuple[Residency, ...] = ({}, {4: {}}, {4: {0: 0}})
        for memory in nothing:
            self.assertIsNone(locality(HOST, memory, 0b1))

    def test_in_a_look(self) -> None:
        now = sample(0, thread(), memory={"a": {4: {0: 1, 1: 3}}})
        self.assertEqual(25.0, usage(None, now).instances["a"].locality_percent)
        self.assertIsNone(usage(None, sample(0, thread())).instances["a"].locality_percent)

    @hypothesis.given(
        strategies.dictionaries(
            strategies.sampled_from((4, 2048, 1048576)),
            strategies.dictionaries(strategies.sampled_from((0, 1, 7)), strategies.integers(0, 99)),
        ),
        strategies.integers(0, 255),
    )
    def test_share_and_rest(self, memory: dict[int, dict[int, int]], cpus: int) -> None:
        found = locality(HOST, memory, cpus)
        if found is not None:
            self.assertTrue(0 <= found <= 100)
            self.assertEqual(100, locality(HOST, {4: {0: 1}, 2048: {1: 1}}, cpus | 0x11))
            # all that is not on node 7 is near, if both others are
            rest = locality(HOST, memory, 0xFF)
            assert rest is not None
            self.assertTrue(found <= rest)


def place(*vcpus: int, emulator: int = 0) -> Placement:
    placement = Placement({Part("vcpu", number): mask for number, mask in enumerate(vcpus)})
    return Placement(placement | {EMULATOR: emulator, MEMORY: 0b11})


PLACES = strategies.dictionaries(
    strategies.sampled_from("abcd"),
    strategies.builds(
        lambda masks, emulator: place(*masks, emulator=emulator),
        strategies.lists(strategies.integers(1, 15), max_size=3),
        strategies.integers(1, 15),
    ),
)


class ConflictTest(base.TestCase):
    def test_pinned_to_the_same_pcpus(self) -> None:
        found = conflicts({"a": place(0b1, 0b10), "b": place(0b10, 0b1), "c": place(0b100)})
        self.assertEqual((Conflict("pinned", 0b11, ("a", "b")),), found)

    def test_within_one_instance(self) -> None:
        self.assertEqual((Conflict("pinned", 0b1, ("a",)),), conflicts({"a": place(0b1, 0b1)}))

    def test_others_may_run_there(self) -> None:
        for other in (place(0b11), place(0b100, emulator=0b1)):
            found = conflicts({"a": place(0b1), "b": other})
            self.assertIn(Conflict("shared", 0b1, ("a", "b")), found)

    def test_own_emulator_and_wide_vcpus_are_none(self) -> None:
        self.assertEqual((), conflicts({"a": place(0b1, emulator=0b1), "b": place(0b110)}))
        self.assertEqual((), conflicts({"a": place(0b11), "b": place(0b11)}))

    @hypothesis.given(PLACES)
    def test_every_conflict_is_one(self, places: dict[str, Placement]) -> None:
        found = conflicts(places)
        seen = 0
        for conflict in found:
            self.assertEqual(0, seen & conflict.cpus)
            seen |= conflict.cpus
            for uuid in conflict.instances:
                self.assertEqual(conflict.cpus, conflict.cpus & places[uuid].cpus)
        alone = [mask for place in places.values() for mask in place.vcpus.values()]
        for cpu in range(4):
            owners = alone.count(1 << cpu)
            users = [uuid for uuid, place in places.items() if place.cpus >> cpu & 1]
            in_conflict = owners > 1 or (owners == 1 and len(users) > 1)
            self.assertEqual(in_conflict, bool(seen >> cpu & 1))

    @hypothesis.given(PLACES)
    def test_order_does_not_matter(self, places: dict[str, Placement]) -> None:
        backwards = dict(reversed(places.items()))
        self.assertEqual(conflicts(places), conflicts(backwards))
