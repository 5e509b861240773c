# SPDX-License-Identifier: Apache-2.0
"""The form of what a wish leaves to choose: layout, policies, neighbours."""

import json
from typing import Any

from kongming.tests import base
from kongming.topology.layout import GuestNode
from kongming.topology.wish import Wish, WishError

ONE = "6f1b7d3e-0f52-4f0a-9a3e-3d1a3b1f0001"
OTHER = "6f1b7d3e-0f52-4f0a-9a3e-3d1a3b1f0002"
NODE: dict[str, Any] = {"vcpus": "0-1", "memory_mib": 1024}
FULL: dict[str, Any] = {
    "cpu_policy": "dedicated",
    "thread_policy": "isolate",
    "vcpus": {"0": "4"},
    "emulator": "isolate",
    "numa_nodes": [
        {"vcpus": "0,2", "memory_mib": 1024, "page_size_kib": 2048, "host_node": 0},
        {"vcpus": "1", "memory_mib": 1, "page_size_kib": "any"},
    ],
    "memory": {"nodes": "0-2"},
    "pci_device": "0000:3b:00.1",
    "avoid": [ONE],
    "near": OTHER,
}


def pair(**second: Any) -> dict[str, Any]:
    return {"numa_nodes": [NODE, NODE | {"vcpus": "2"} | second]}


class LayoutTest(base.TestCase):
    def test_everything(self) -> None:
        wish = Wish.from_dict(FULL)
        self.assertEqual(
            Wish(
                cpu_policy="dedicated",
                vcpus={0: 0b10000},
                memory_nodes=0b111,
                thread_policy="isolate",
                emulator_policy="isolate",
                numa_nodes=(GuestNode(0b101, 1024, 2048, 0), GuestNode(0b10, 1, "any")),
                pci_device="0000:3b:00.1",
                avoid=(ONE,),
                near=OTHER,
            ),
            wish,
        )
        self.assertEqual(FULL, wish.to_dict())
        self.assertEqual(wish, Wish.from_dict(json.loads(json.dumps(wish.to_dict()))))

    def test_count_of_nodes(self) -> None:
        data = {"cpu_policy": "shared", "numa_nodes": 2, "memory": {"page_size_kib": "large"}}
        wish = Wish.from_dict(data)
        self.assertEqual((2, "large"), (wish.numa_nodes, wish.page_size))
        self.assertEqual(data, wish.to_dict())

    def test_policies(self) -> None:
        self.assertEqual("prefer", Wish.from_dict({"cpu_policy": "dedicated"}).thread_policy)
        for policy in ("prefer", "isolate", "require"):
            data = {"cpu_policy": "dedicated", "thread_policy": policy}
            self.assertEqual(policy, Wish.from_dict(data).thread_policy)
        wish = Wish.from_dict({"emulator": "share"})
        self.assertEqual((None, "share"), (wish.emulator, wish.emulator_policy))

    def test_names_are_normal(self) -> None:
        wish = Wish.from_dict({"near": ONE.upper(), "pci_device": "0000:3B:00.1"})
        self.assertEqual((ONE, "0000:3b:00.1"), (wish.near, wish.pci_device))

    def test_malformed(self) -> None:
        thread = {"thread_policy": "require"}
        for data, field, reason in (
            ({"cpu_policy": "dedicated", "thread_policy": "x"}, "thread_policy", "one of prefer"),
            (thread, "thread_policy", "cpu_policy dedicated"),
            (thread | {"cpu_policy": "shared"}, "thread_policy", "cpu_policy dedicated"),
            ({"emulator": "isolate"}, "emulator", "cpu_policy dedicated"),
            ({"emulator": 7}, "emulator", "must be a CPU set"),
            ({"numa_nodes": 0}, "numa_nodes", "from 1 to 64"),
            ({"numa_nodes": 65}, "numa_nodes", "from 1 to 64"),
            ({"numa_nodes": True}, "numa_nodes", "an integer"),
            ({"numa_nodes": "2"}, "numa_nodes", "an integer"),
            ({"numa_nodes": []}, "numa_nodes", "1 to 64 guest nodes"),
            ({"numa_nodes": [NODE] * 65}, "numa_nodes", "1 to 64 guest nodes"),
            ({"numa_nodes": ["0-1"]}, "numa_nodes.0", "an object"),
            ({"numa_nodes": [{"memory_mib": 1}]}, "numa_nodes.0.vcpus", "must be a CPU set"),
            (pair(vcpus="4096"), "numa_nodes.1.vcpus", "above 4095"),
            (pair(vcpus="1-2"), "numa_nodes.1.vcpus", "vCPU 1 is in an earlier guest node"),
            (pair(vcpus="3-4"), "numa_nodes", "vCPU 2 is in no guest node"),
            (pair(memory_mib=0), "numa_nodes.1.memory_mib", "an integer from 1"),
            (pair(memory_mib=1 << 27), "numa_nodes.1.memory_mib", "an integer from 1"),
            (pair(memory_mib=1.5), "numa_nodes.1.memory_mib", "an integer from 1"),
            (pair(page_size_kib=8), "numa_nodes.1.page_size_kib", "one of 4, 2048"),
            (pair(page_size_kib=True), "numa_nodes.1.page_size_kib", "one of 4, 2048"),
            (pair(page_size_kib=[]), "numa_nodes.1.page_size_kib", "one of 4, 2048"),
            (
                pair(memory_mib=3, page_size_kib=2048),
                "numa_nodes.1.memory_mib",
                "no multiple of 2048 KiB",
            ),
            (pair(host_node=-1), "numa_nodes.1.host_node", "an integer from 0"),
            (
                {"numa_nodes": [NODE | {"host_node": 1}, {**NODE, "vcpus": "2", "host_node": 1}]},
                "numa_nodes.1.host_node",
                "an earlier guest node",
            ),
            (
                pair(host_node=3) | {"memory": {"nodes": "0-1"}},
                "numa_nodes.1.host_node",
                "not among memory.nodes",
            ),
            (pair() | {"memory": {"nodes": "0"}}, "memory.nodes", "2 guest nodes need"),
            ({"numa_nodes": 3, "memory": {"nodes": "0-1"}}, "memory.nodes", "3 guest nodes need"),
            (
                pair() | {"memory": {"page_size_kib": 4}},
                "memory.page_size_kib",
                "belongs to the guest nodes",
            ),
            ({"memory": {"page_size_kib": "huge"}}, "memory.page_size_kib", "one of 4, 2048"),
            ({"pci_device": "3b:00.1"}, "pci_device", "address of a PCI device"),
            ({"pci_device": 1}, "pci_device", "address of a PCI device"),
            ({"near": "vm-1"}, "near", "uuid"),
            ({"near": 3}, "near", "uuid"),
            ({"avoid": ONE}, "avoid", "a list"),
            ({"avoid": [ONE] * 257}, "avoid", "at most 256"),
            ({"avoid": [ONE, None]}, "avoid.1", "uuid"),
        ):
            error = self.assertRaises(WishError, Wish.from_dict, data)
            self.assertEqual(field, error.field)
            self.assertIn(reason, error.reason)
