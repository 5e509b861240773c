# SPDX-License-Identifier: Apache-2.0
"""A running instance moves between NUMA nodes, threads and memory, or it does not at all."""

from typing import Any

from kongming.tests.numa import base
from kongming.tests.numa.fixtures import guest

MEMORY_MIB = 256
#: Moves in two chunks of its own size: each of many steps takes its time.
STEPS_MIB = 128
#: Nodes 0 and 1 have pCPUs 0-1 and 2-3.
PLACES = [
    {"vcpus": {"0": "0", "1": "1"}, "emulator": "0-1", "iothreads": {"1": "0"}},
    {"vcpus": {"0": "2", "1": "3"}, "emulator": "2-3", "iothreads": {"1": "2"}},
]
NODES = [place | {"memory": {"nodes": str(node)}} for node, place in enumerate(PLACES)]
#: By part, as the program ``where`` has them.
CPUS = [
    {"vcpu0": {"0"}, "vcpu1": {"1"}, "emulator": {"0-1"}, "iothread1": {"0"}},
    {"vcpu0": {"2"}, "vcpu1": {"3"}, "emulator": {"2-3"}, "iothread1": {"2"}},
]
LEAST_SHARE = 0.99


class OnV2(base.NumaCase):
    """With control groups of version 2."""

    cgroup: guest.Cgroup = "v2"

    def setUp(self) -> None:
        super().setUp()
        self.lab = self.guest(self.cgroup)

    def carry_out(self, uuid: str, *placements: dict[str, Any], **kw: Any) -> list[dict[str, Any]]:
        """Have placements carried out; return what came of them."""
        # what the guest has read from its disk is not to take the room
        self.lab.run("sync; echo 3 > /proc/sys/vm/drop_caches")
        answers: list[dict[str, Any]] = self.lab.run_program(
            "relocate", seconds=900, uuid=uuid, placements=placements, **kw
        )["answers"]
        return answers

    def assert_on(self, where: dict[str, Any], node: int, mib: int = MEMORY_MIB) -> None:
        """Check that all of it is on a node."""
        held = base.mib_by_node(where)
        self.assertLessEqual(LEAST_SHARE * sum(held.values()), held.get(node, 0), held)
        self.assertIn(sum(held.values()), range(mib - 3, mib + 1))
        cpus = {p: {each["cpus"] for each in found} for p, found in where["threads"].items()}
        self.assertEqual(CPUS[node], cpus)
        nodes = {each["nodes"] for found in where["threads"].values() for each in found}
        self.assertEqual({str(node)}, nodes)

    def assert_alive(self, uuid: str, before: int) -> None:
        """The guest has gone through its memory since."""
        self.eventually(lambda: self.lab.run_program("where", uuid=uuid)["alive"] > before, 300)

    def assert_begun(self, uuid: str, kind: str, page_kib: str) -> None:
        """Check that the instance has all its memory on node 0, in such pages, bound as asked."""
        where = self.lab.run_program("where", uuid=uuid)
        self.assertEqual([page_kib], list(where["memory_mib"]))
        ((node, mib),) = base.mib_by_node(where).items()
        self.assertEqual(0, node)
        # The guest leaves the lower two MiB alone.
        self.assertIn(mib, range(MEMORY_MIB - 2, MEMORY_MIB + 1))
        strict = base.KINDS[kind].get("mode") == "strict"
        self.assertEqual(["bind:0" if strict else "default"], where["policies"])

    def check_there_and_back(self, kind: str, page_kib: str = "4") -> None:
        uuid = self.start(self.lab, memory_mib=MEMORY_MIB, iothreads=1, **base.KINDS[kind])
        self.assert_begun(uuid, kind, page_kib)
        there, back = self.carry_out(uuid, NODES[1], NODES[0])
        for answer, node in ((there, 1), (back, 0)):
            self.assertNotIn("error", answer)
            self.assertLessEqual(LEAST_SHARE * (MEMORY_MIB - 2), answer["receipt"]["moved_mib"])
            self.assert_on(answer["where"], node)
        self.assert_alive(uuid, back["where"]["alive"])

    def check_every_step(self, kind: str) -> None:
        """Whatever fails, everything is as it was."""
        uuid = self.start(self.lab, memory_mib=STEPS_MIB, iothreads=1, **base.KINDS[kind])
        if kind != "default":
            self.carry_out(uuid, NODES[0])
        *failed, done = self.carry_out(uuid, NODES[1], fail=True)
        self.assertIsNotNone(done["receipt"])
        # Chunks of memory, parts live, parts in the definition.
        self.assertLessEqual(2 + 5 + 5, len(failed))
        for number, answer in enumerate(failed, 1):
            self.assertIn("out of luck", answer["error"])
            self.assertNotIn("could not be undone", answer["error"])
            self.assertEqual({}, answer["differs"], f"step {number}")
        self.assert_on(done["where"], 1, STEPS_MIB)
        self.assert_alive(uuid, done["where"]["alive"])

    def test_default(self) -> None:
        self.check_there_and_back("default")

    def test_restrictive(self) -> None:
        self.check_there_and_back("restrictive")

    def test_strict(self) -> None:
        self.check_there_and_back("strict")

    def test_hugepages(self) -> None:
        self.check_there_and_back("hugepages", "2048")

    def test_hugepages_strict(self) -> None:
        self.check_there_and_back("hugepages-strict", "2048")

    def test_memfd(self) -> None:
        self.check_there_and_back("memfd")

    #: Memory that nothing has bound so far, and memory that libvirt would not move.
    steps_of = "default"

    def test_every_step_may_fail(self) -> None:
        self.check_every_step(self.steps_of)

    def test_node_that_is_too_full(self) -> None:
        uuid = self.start(self.lab, memory_mib=MEMORY_MIB, iothreads=1, **base.KINDS["strict"])
        self.start(self.lab, memory_mib=384, mode="strict", nodes="1", allocate=True)
        placed, refused, again = self.carry_out(uuid, NODES[0], NODES[1], NODES[0])
        self.assertIn("would move to NUMA node 1", refused["error"])
        # There is nothing to repair.
        self.assertIsNone(again["receipt"])
        self.assertEqual(placed["where"]["memory_mib"], again["where"]["memory_mib"])
        self.assert_on(again["where"], 0)
        self.assert_alive(uuid, again["where"]["alive"])


class OnV1(OnV2):
    """With control groups of version 1."""

    cgroup = "v1"
    steps_of = "strict"
