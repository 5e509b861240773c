# SPDX-License-Identifier: Apache-2.0
"""What is chosen where a wish leaves it open, by example."""

import dataclasses
from typing import Any

from kongming.tests import base
from kongming.tests.unit.topology import nova_cases
from kongming.topology import cpuset
from kongming.topology.fit import DoesNotFit, Fit, Size, place
from kongming.topology.inventory import Inventory, Occupancy
from kongming.topology.wish import Wish

#: 2 nodes x 4 cores x 2 threads: node 0 has pCPUs 0-3 and 8-11, node 1 4-7 and 12-15.
GIB = 1 << 18
HOST = nova_cases.regular_host(2, 4, 2, [{4: (4 * GIB, 0), 2048: (1024, 0)}] * 2)
EMPTY = Inventory.of_empty(HOST)
OTHER = "6f1b7d3e-0f52-4f0a-9a3e-3d1a3b1f0001"
NIC = "0000:3b:00.1"


def without(taken: str, offer: Inventory = EMPTY, **changes: Any) -> Inventory:
    free = offer.free_dedicated & ~cpuset.parse(taken)
    return dataclasses.replace(offer, free_dedicated=free, **changes)


def asked(offer: Inventory, count: int, mib: int = 1024, /, **wish: Any) -> Fit:
    return place(Wish.from_dict({"cpu_policy": "dedicated"} | wish), Size(count, mib), offer)


class ChoiceTest(base.TestCase):
    def check(self, found: Fit, **expected: Any) -> None:
        self.assertEqual(expected, found.placement.to_dict())

    def refused(self, *args: Any, **wish: Any) -> list[tuple[str, str, str]]:
        error = self.assertRaises(DoesNotFit, asked, *args, **wish)
        return [(reason.field, reason.code, reason.detail) for reason in error.reasons]

    def test_siblings_and_memory_of_one_node(self) -> None:
        found = asked(EMPTY, 4)
        self.check(found, vcpus={"0": "0", "1": "8", "2": "1", "3": "9"}, memory={"nodes": "0"})
        self.assertEqual("0-1,8-9", cpuset.to_text(found.exclusive))
        self.assertEqual(({0: {4: 1024}}, (0,), (0, 0)), (found.memory, found.nodes, found.score))

    def test_half_cores_are_used_up_first(self) -> None:
        found = asked(without("0,5"), 1)
        self.assertEqual({"0": "8"}, found.placement.to_dict()["vcpus"])
        self.assertEqual(-1, found.score.fragments)
        found = asked(without("5,6"), 2)
        self.assertEqual({"0": "13", "1": "14"}, found.placement.to_dict()["vcpus"])

    def test_isolate_claims_the_siblings(self) -> None:
        found = asked(without("0"), 2, thread_policy="isolate", emulator="isolate")
        self.check(found, vcpus={"0": "1", "1": "2"}, emulator="8", memory={"nodes": "0"})
        self.assertEqual("1-2,8-10", cpuset.to_text(found.exclusive))

    def test_isolate_keeps_siblings_of_exact_vcpus_empty(self) -> None:
        found = asked(EMPTY, 2, thread_policy="isolate", vcpus={"1": "4"})
        self.check(found, vcpus={"0": "5", "1": "4"}, memory={"nodes": "1"})
        self.assertEqual("4-5,12-13", cpuset.to_text(found.exclusive))
        reasons = self.refused(EMPTY, 2, thread_policy="isolate", vcpus={"0": "4", "1": "12"})
        self.assertEqual(
            [("vcpus.1", "core_isolated"), ("vcpus.0", "core_isolated")],
            [reason[:2] for reason in reasons],
        )

    def test_require_wants_siblings(self) -> None:
        offer = without("0-3,4-6")
        self.assertEqual((1,), asked(offer, 2, thread_policy="require").nodes)
        self.assertEqual(
            [
                ("thread_policy", "siblings_short"),
                ("thread_policy", "siblings_short"),
            ],
            [reason[:2] for reason in self.refused(offer, 3, thread_policy="require")],
        )

    def test_exact_and_free_vcpus_stay_together(self) -> None:
        found = asked(EMPTY, 3, vcpus={"1": "6"}, iothreads={})
        self.check(found, vcpus={"0": "14", "1": "6", "2": "4"}, memory={"nodes": "1"})

    def test_all_exact_leaves_memory_alone(self) -> None:
        found = asked(EMPTY, 2, vcpus={"*": "4-5"})
        self.check(found, vcpus={"0": "4-5", "1": "4-5"})
        self.assertEqual(
            ((1 << 4) + (1 << 5), {}, ()), (found.exclusive, found.memory, found.nodes)
        )

    def test_layout(self) -> None:
        nodes = [
            {"vcpus": "0,3", "memory_mib": 100, "host_node": 1},
            {"vcpus": "1-2", "memory_mib": 2000, "page_size_kib": "large"},
        ]
        found = asked(EMPTY, 4, 2100, numa_nodes=nodes)
        self.check(found, vcpus={"0": "4", "3": "12", "1": "0", "2": "8"}, memory={"nodes": "0-1"})
        self.assertEqual({1: {4: 100}, 0: {2048: 2000}}, found.memory)
        self.assertEqual(((1, 0), 20), (found.nodes, found.score.distance))

    def test_layout_must_suit_the_instance(self) -> None:
        nodes = [{"vcpus": "0", "memory_mib": 1}, {"vcpus": "1-2", "memory_mib": 1}]
        self.assertEqual(
            [
                (
                    "numa_nodes.1.vcpus",
                    "vcpu_unknown",
                    "the instance has no vCPU 2 (it has 2)",
                ),
                (
                    "numa_nodes",
                    "memory_mismatch",
                    "the guest nodes have 2 MiB, the instance 3 MiB",
                ),
            ],
            self.refused(EMPTY, 2, 3, numa_nodes=nodes),
        )
        self.assertEqual("vcpu_unassigned", self.refused(EMPTY, 4, 2, numa_nodes=nodes)[0][1])
        self.assertEqual("uneven_nodes", self.refused(EMPTY, 3, 2, numa_nodes=2)[0][1])
        self.assertEqual("uneven_nodes", self.refused(EMPTY, 2, 3, numa_nodes=2)[0][1])

    def test_shortages_in_numbers(self) -> None:
        self.assertEqual(
            [
                (
                    "vcpus",
                    "cpus_short",
                    "NUMA node 0 has 8 of the 9 dedicated pCPUs needed: 1 short",
                ),
                (
                    "vcpus",
                    "cpus_short",
                    "NUMA node 1 has 7 of the 9 dedicated pCPUs needed: 2 short",
                ),
            ],
            self.refused(without("4"), 9),
        )
        self.assertEqual(
            [
                (
                    "memory",
                    "memory_short",
                    f"NUMA node {node} has 2048 of the 4096 MiB in pages of 2048 KiB needed:"
                    " 2048 short",
                )
                for node in (0, 1)
            ],
            self.refused(EMPTY, 1, 4096, memory={"page_size_kib": 2048}),
        )
        self.assertEqual(
            [("memory", "page_size_unknown", f"NUMA node {n} has no 1048576 KiB pages")
             for n in (0, 1)],
            self.refused(EMPTY, 1, 1024, memory={"page_size_kib": 1048576}),
        )  # fmt: skip

    def test_guest_nodes_in_each_others_way(self) -> None:
        reasons = self.refused(without("4-7,12"), 8, numa_nodes=2)
        self.assertEqual(
            (
                "numa_nodes",
                "nodes_short",
                "guest nodes 0-1 need 2 NUMA nodes; those with room for them are 0: 1 short",
            ),
            reasons[0],
        )
        self.assertEqual(("numa_nodes.0.vcpus", "cpus_short"), reasons[1][:2])
        self.assertEqual("nodes_short", self.refused(EMPTY, 3, 3, numa_nodes=3)[0][1])

    def test_avoid(self) -> None:
        offer = without("0-2", occupancy={OTHER: Occupancy(0b111, 1)})
        found = asked(offer, 2, avoid=[OTHER], memory={"nodes": "0"})
        self.assertEqual({"0": "3", "1": "11"}, found.placement.to_dict()["vcpus"])
        self.assertEqual(
            [("vcpus.0", "core_avoided", f"pCPU 9 is on a core of instance {OTHER}")],
            self.refused(offer, 1, vcpus={"0": "9"}, avoid=[OTHER]),
        )
        # one that is not here needs no avoiding
        self.assertEqual((0,), asked(EMPTY, 1, avoid=[OTHER]).nodes)

    def test_near(self) -> None:
        offer = dataclasses.replace(EMPTY, occupancy={OTHER: Occupancy(1 << 6, 0b10)})
        self.assertEqual((1,), asked(offer, 2, near=OTHER).nodes)
        self.assertEqual("instance_elsewhere", self.refused(EMPTY, 2, near=OTHER)[0][1])
        found = asked(offer, 2, near=OTHER, cpu_policy="shared")
        self.check(found, vcpus={"0": "4-7,12-15", "1": "4-7,12-15"}, memory={"nodes": "1"})
        self.assertEqual((0, {}), (found.exclusive, found.memory))

    def test_pci_device(self) -> None:
        offer = dataclasses.replace(EMPTY, devices={NIC: 1})
        self.assertEqual((1,), asked(offer, 2, pci_device=NIC).nodes)
        self.assertEqual("pci_device_unknown", self.refused(EMPTY, 2, pci_device=NIC)[0][1])
        reasons = self.refused(without("4-7", offer), 8, pci_device=NIC)
        self.assertEqual(
            [("pci_device", "device_node_full"), ("vcpus", "cpus_short")],
            [reason[:2] for reason in reasons],
        )
        anywhere = dataclasses.replace(EMPTY, devices={NIC: -1})
        self.assertEqual((0,), asked(anywhere, 2, pci_device=NIC).nodes)

    def test_emulator_shares_what_is_shared_already(self) -> None:
        self.assertEqual("0,8", asked(EMPTY, 2, emulator="share").placement.to_dict()["emulator"])
        found = asked(without("0,4"), 2, emulator="share", memory={"nodes": "1"})
        self.assertEqual("4", found.placement.to_dict()["emulator"])
        found = asked(without("0"), 2, emulator="share", memory={"nodes": "1"})
        self.assertEqual("0", found.placement.to_dict()["emulator"])

    def test_emulator_that_shares_where_nothing_is_shared(self) -> None:
        wish: dict[str, Any] = {"emulator": "share", "cpu_policy": "shared"}
        self.check(asked(EMPTY, 2, **wish))
        self.check(asked(EMPTY, 2, **wish, memory={"nodes": "1"}), memory={"nodes": "1"})
        self.check(asked(without("0"), 2, **wish), emulator="0")

    def test_nodes_that_the_wish_excludes(self) -> None:
        offer = dataclasses.replace(EMPTY, occupancy={OTHER: Occupancy(1, 0b1)})
        reasons = self.refused(offer, 2, near=OTHER, vcpus={"0": "4"})
        self.assertEqual([("numa_nodes", "nodes_excluded")], [r[:2] for r in reasons])
