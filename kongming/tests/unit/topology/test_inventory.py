# SPDX-License-Identifier: Apache-2.0
"""What a host offers."""

import dataclasses

from kongming.tests import base
from kongming.topology.host import Host, NumaNode, Pages
from kongming.topology.inventory import Inventory

HOST = Host(
    (
        NumaNode(0, 0b0011, 1024, (Pages(4, 131072, 7), Pages(2048, 256, 0))),
        NumaNode(1, 0b0100, 512),
    ),
    offline=0b1000,
)


class InventoryTest(base.TestCase):
    def test_empty_host_offers_everything_that_is_online(self) -> None:
        offer = Inventory.of_empty(HOST)
        self.assertEqual((0b111, 0b111), (offer.free_dedicated, offer.free_shared))
        self.assertEqual({0: {4: 512, 2048: 512}, 1: {4: 512}}, offer.free_memory)
        self.assertEqual(({}, {}), (offer.devices, offer.occupancy))

    def test_devices_are_those_of_the_host(self) -> None:
        devices = {"0000:3b:00.1": 1, "0000:00:03.0": -1}
        offer = Inventory.of_empty(dataclasses.replace(HOST, devices=devices))
        self.assertEqual(devices, offer.devices)

    def test_what_the_operator_keeps_is_not_offered(self) -> None:
        nodes = tuple(
            dataclasses.replace(node, reserved_mib=reserved)
            for node, reserved in zip(HOST.nodes, (100, 9999), strict=True)
        )
        offer = Inventory.of_empty(Host(nodes, unmanaged=0b10))
        self.assertEqual((0b101, 0b101), (offer.free_dedicated, offer.free_shared))
        self.assertEqual({0: {4: 412, 2048: 512}, 1: {4: 0}}, offer.free_memory)

    def test_total_memory_is_not_what_is_free(self) -> None:
        self.assertEqual({4: 512, 2048: 512}, HOST.nodes[0].memory_of)

    def test_immutable(self) -> None:
        offer = Inventory.of_empty(HOST)
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, offer, "free_shared", 0)
