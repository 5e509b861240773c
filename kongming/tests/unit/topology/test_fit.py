# SPDX-License-Identifier: Apache-2.0
"""Wish, instance and host brought together."""

import dataclasses
from typing import Any

from kongming.tests import base
from kongming.topology import cpuset
from kongming.topology.fit import DoesNotFit, Size, covers, place
from kongming.topology.host import Host, NumaNode, Pages
from kongming.topology.inventory import Inventory
from kongming.topology.placement import EMULATOR, MEMORY, MEMORY_AT_START, Part, Placement
from kongming.topology.wish import Wish

#: pCPUs 0-7 on two NUMA nodes, 7 offline, and a third node with memory alone.
HOST = Host(
    nodes=(
        NumaNode(id=0, cpus=0b1111, memory_mib=1024),
        NumaNode(id=1, cpus=0b111_0000, memory_mib=1024),
        NumaNode(id=2, cpus=0, memory_mib=1024),
    ),
    offline=0b1000_0000,
)
INVENTORY = Inventory.of_empty(HOST)
SIZE = Size(vcpus=4, memory_mib=512, iothreads=(1, 3))


def asked(**wish: Any) -> Placement:
    return place(Wish.from_dict(wish), SIZE, INVENTORY).placement


class CoversTest(base.TestCase):
    def covers(self, size: int, **wish: Any) -> bool:
        """Whether what an instance of four vCPUs was given is enough for so many."""
        asked_for = Wish.from_dict(wish)
        placement = place(asked_for, SIZE, INVENTORY).placement
        return covers(asked_for, Size(size, 512, (1, 3)), placement)

    def test_one_more_and_one_less(self) -> None:
        dedicated = {"cpu_policy": "dedicated"}
        for wish, expected in (
            ({"emulator": "0"}, (True, True, True)),
            ({"vcpus": {"0": "1"}}, (True, True, True)),
            ({"vcpus": {"3": "1"}}, (False, True, True)),
            ({"vcpus": {"*": "1"}}, (False, True, False)),
            ({"cpu_policy": "shared"}, (True, True, True)),
            ({"cpu_policy": "shared", "numa_nodes": 1}, (False, True, False)),
            ({"cpu_policy": "shared", "numa_nodes": 2}, (False, True, False)),
            (dedicated | {"vcpus": {"0": "1"}}, (False, True, False)),
            (dedicated | {"vcpus": {"0": "4", "1-3": "5"}}, (False, True, False)),
        ):
            found = tuple(self.covers(vcpus, **wish) for vcpus in (3, 4, 5))
            self.assertEqual(expected, found, str(wish))

    def test_memory_does_not_matter(self) -> None:
        layout = [{"vcpus": "0-1", "memory_mib": 256}, {"vcpus": "2-3", "memory_mib": 256}]
        for numa_nodes in (layout, 2):
            wish = Wish.from_dict({"cpu_policy": "dedicated", "numa_nodes": numa_nodes})
            placement = place(wish, SIZE, INVENTORY).placement
            self.assertTrue(covers(wish, Size(4, 769), placement))
            self.assertFalse(covers(wish, Size(5, 512), placement))


class PlaceTest(base.TestCase):
    def test_everything(self) -> None:
        self.assertEqual(
            Placement(
                {
                    Part("vcpu", 0): 0b1_0000,
                    **{Part("vcpu", number): 0b110_0000 for number in (1, 2, 3)},
                    Part("iothread", 3): 0b100,
                    EMULATOR: 0b11,
                    MEMORY: 0b110,
                }
            ),
            asked(
                vcpus={"0": "4", "1-3": "5-6"},
                emulator="0-1",
                iothreads={"3": "2"},
                memory={"nodes": "1-2"},
            ),
        )

    def test_memory_of_the_next_start(self) -> None:
        for wish, page_size in (
            ({}, {}),
            ({"cpu_policy": "dedicated", "numa_nodes": 1}, {}),
            ({"cpu_policy": "dedicated"}, {"page_size_kib": 4}),
        ):
            memory: dict[str, Any] = {"nodes": "0", **page_size}
            found = [
                place(
                    Wish.from_dict(wish | {"memory": memory | {"migrate": migrate}}),
                    SIZE,
                    INVENTORY,
                )
                for migrate in (True, False)
            ]
            moved, kept = (Placement(fit.placement) for fit in found)
            self.assertEqual(moved.pop(MEMORY), kept.pop(MEMORY_AT_START))
            self.assertEqual(moved, kept)
            self.assertEqual(found[0].memory, found[1].memory)

    def test_what_is_not_asked_is_not_placed(self) -> None:
        self.assertEqual({Part("vcpu", 2): 1}, asked(vcpus={"2": "0"}))
        self.assertEqual({}, asked())

    def test_every_vcpu_means_those_not_named(self) -> None:
        self.assertEqual({0: 0b1, 1: 0b1, 2: 0b10, 3: 0b1}, asked(vcpus={"*": "0", "2": "1"}).vcpus)

    def test_every_vcpu_follows_the_size(self) -> None:
        wish = Wish.from_dict({"vcpus": {"*": "0"}})
        self.assertEqual({0: 1}, place(wish, Size(1, 512), INVENTORY).placement.vcpus)
        self.assertEqual(
            dict.fromkeys(range(8), 1), place(wish, Size(8, 512), INVENTORY).placement.vcpus
        )

    def test_what_does_not_fit(self) -> None:
        no_thread = "the instance has no I/O thread"
        for wish, expected in (
            (
                {"vcpus": {"4": "0"}},
                [("vcpus.4", "vcpu_unknown", "the instance has no vCPU 4 (it has 4)")],
            ),
            ({"iothreads": {"2": "0"}}, [("iothreads.2", "iothread_unknown", f"{no_thread} 2")]),
            ({"iothreads": {"0": "0"}}, [("iothreads.0", "iothread_unknown", f"{no_thread} 0")]),
            ({"emulator": "6-7"}, [("emulator", "pcpu_offline", "pCPU 7 is offline")]),
            ({"emulator": "8-9"}, [("emulator", "pcpu_unknown", "the host has no pCPU 8-9")]),
            ({"vcpus": {"*": "8"}}, [("vcpus.*", "pcpu_unknown", "the host has no pCPU 8")]),
            ({"vcpus": {"1": "7"}}, [("vcpus.1", "pcpu_offline", "pCPU 7 is offline")]),
            ({"iothreads": {"1": "7"}}, [("iothreads.1", "pcpu_offline", "pCPU 7 is offline")]),
            (
                {"memory": {"nodes": "2-4"}},
                [("memory.nodes", "numa_node_unknown", "the host has no NUMA node 3-4")],
            ),
        ):
            error = self.assertRaises(DoesNotFit, asked, **wish)
            self.assertEqual(expected, [(r.field, r.code, r.detail) for r in error.reasons])

    def test_every_reason_is_told(self) -> None:
        error = self.assertRaises(
            DoesNotFit,
            asked,
            vcpus={"0": "6-8", "5": "0"},
            iothreads={"2": "99"},
            emulator="7",
            memory={"nodes": "3"},
        )
        self.assertEqual(
            [
                ("vcpus.5", "vcpu_unknown"),
                ("iothreads.2", "iothread_unknown"),
                ("vcpus.0", "pcpu_offline"),
                ("vcpus.0", "pcpu_unknown"),
                ("emulator", "pcpu_offline"),
                ("iothreads.2", "pcpu_unknown"),
                ("memory.nodes", "numa_node_unknown"),
            ],
            [(reason.field, reason.code) for reason in error.reasons],
        )
        self.assertEqual(
            "; ".join(f"{reason.field}: {reason.detail}" for reason in error.reasons), str(error)
        )

    def test_node_without_pcpus_takes_memory(self) -> None:
        self.assertEqual({MEMORY: 0b100}, asked(memory={"nodes": "2"}))

    def test_exact_nodes_without_room(self) -> None:
        def short(inventory: Inventory, nodes: str, mib: int, **wish: Any) -> str | None:
            asked = Wish.from_dict({"memory": {"nodes": nodes}} | wish)
            try:
                place(asked, Size(4, mib), inventory)
            except DoesNotFit as error:
                [reason] = error.reasons
                self.assertEqual(("memory.nodes", "memory_short"), (reason.field, reason.code))
                return reason.detail
            return None

        dedicated: dict[str, Any] = {"cpu_policy": "dedicated", "vcpus": {"*": "0-3"}}
        reserved = dataclasses.replace(HOST.nodes[1], reserved_mib=1000)
        kept = Inventory.of_empty(dataclasses.replace(HOST, nodes=(HOST.nodes[0], reserved)))
        for wish in ({}, dedicated, {"emulator": "share"}):
            self.assertIsNone(short(kept, "1", 24, **wish))
            self.assertEqual(
                "NUMA node 1 has 24 of the 25 MiB needed: 1 short", short(kept, "1", 25, **wish)
            )
            self.assertIsNone(short(kept, "0-1", 1024 + 24, **wish))
            self.assertEqual(
                "NUMA node 0-1 has 1048 of the 1049 MiB needed: 1 short",
                short(kept, "0-1", 1049, **wish),
            )
        # what others claim counts for those that cannot be overcommitted
        claimed = dataclasses.replace(kept, free_memory={0: {4: 10}, 1: {4: 5}})
        self.assertIsNone(short(claimed, "1", 24))
        self.assertIsNone(short(claimed, "0-1", 15, **dedicated))
        self.assertIn("has 15 of the 16 MiB", short(claimed, "0-1", 16, **dedicated) or "")

    def test_exact_nodes_may_have_room_in_pages_of_any_size(self) -> None:
        pages = (Pages(4, 256 * 600, 0), Pages(2048, 400, 0))
        node = NumaNode(id=0, cpus=0b1111, memory_mib=1400, pages=pages, reserved_mib=500)
        inventory = Inventory.of_empty(Host((node,)))
        wish = Wish.from_dict({"memory": {"nodes": "0"}})
        self.assertEqual({MEMORY: 1}, place(wish, Size(1, 800), inventory).placement)
        error = self.assertRaises(DoesNotFit, place, wish, Size(1, 801), inventory)
        self.assertIn("has 800 of the 801 MiB", str(error))

    def test_a_shared_choice_does_not_count_on_what_is_reserved(self) -> None:
        nodes = tuple(dataclasses.replace(node, reserved_mib=1000) for node in HOST.nodes)
        inventory = Inventory.of_empty(dataclasses.replace(HOST, nodes=nodes))
        wish = Wish.from_dict({"numa_nodes": 1})
        self.assertEqual((0,), place(wish, Size(1, 24), inventory).nodes)
        error = self.assertRaises(DoesNotFit, place, wish, Size(1, 25), inventory)
        self.assertIn("NUMA node 0 has 24 of the 25 MiB needed: 1 short", str(error))

    def test_offline_pcpu_beside_online_ones_is_refused(self) -> None:
        # the kernel would silently leave it out
        error = self.assertRaises(DoesNotFit, asked, vcpus={"0": "0-7"})
        self.assertEqual("vcpus.0: pCPU 7 is offline", str(error))
        self.assertEqual("7", cpuset.to_text(HOST.offline))
