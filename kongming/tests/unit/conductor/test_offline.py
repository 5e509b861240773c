# SPDX-License-Identifier: Apache-2.0
"""What a report of pCPUs that went offline means for pins."""

import dataclasses

from kongming.conductor.reports import Answer
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, outcome
from kongming.topology import cpuset
from kongming.topology.host import Host
from kongming.topology.placement import MEMORY, Placement


class OfflineTest(base.ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A)

    def placed(self) -> Placement:
        """Return the placement of the pin."""
        found = self.row(A).placement
        assert found is not None
        return found

    def offline(self, cpus: int) -> Answer:
        """Let the host report that it lost pCPUs."""
        nodes = tuple(
            dataclasses.replace(node, cpus=node.cpus & ~cpus) for node in base.TOPOLOGY.nodes
        )
        topology = Host(nodes, offline=base.TOPOLOGY.offline | cpus)
        return self.report(self.instance(A), full=True, topology=topology)

    def test_chosen_pcpus_are_chosen_anew(self) -> None:
        self.create(A, cpu_policy="dedicated")
        self.confirm(A)
        before = self.placed()
        answer = self.offline(0b01)
        self.assertTrue(answer.placements_changed)
        now = self.row(A)
        self.assertEqual(("pending", 2), (now.status, now.generation))
        self.assertEqual(0b01, before.cpus & ~self.placed().cpus)
        self.assertEqual(before, now.in_force)
        self.confirm(A)
        self.assertEqual({A: cpuset.to_text(self.placed().cpus)}, self.claims())

    def test_exact_pcpus_are_kept(self) -> None:
        self.create(A, "4-5")
        self.confirm(A)
        answer = self.offline(1 << 4)
        self.assertFalse(answer.placements_changed)
        self.assertEqual(("applied", None), self.status(A))  # the agent is to say otherwise
        self.report(outcomes=[outcome(A, 1, "failed", "pCPU 4 is offline", self.row(A).placement)])
        self.offline(1 << 4)
        self.assertEqual(("failed", "pCPU 4 is offline"), self.status(A))
        self.assertEqual({A: "4-5"}, self.claims())
        self.assertEqual(["created", "applied", "failed"], self.events(A))

    def test_memory_is_not_moved_for_that(self) -> None:
        self.create(A, cpu_policy="dedicated")
        self.confirm(A)
        before = self.row(A)
        self.assertEqual(0b01, self.placed()[MEMORY])
        answer = self.offline(0xFE)
        self.assertFalse(answer.placements_changed)
        now = self.row(A)
        self.assertEqual((before.placement, 1), (now.placement, now.generation))
