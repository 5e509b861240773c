# SPDX-License-Identifier: Apache-2.0
"""What is left on a host once everybody has what is theirs."""

from kongming.tests import base
from kongming.topology.books import Books, Gift, Holding
from kongming.topology.host import Host, NumaNode, Pages

SMALL, LARGE = 4, 2048
HOST = Host(
    nodes=(
        NumaNode(0, 0x0F, 1024, pages=(Pages(SMALL, 262144, 0), Pages(LARGE, 256, 0))),
        NumaNode(1, 0xF0, 2048, reserved_mib=100),
    ),
    offline=0x100,
    unmanaged=0x01,
)


class BooksTest(base.BareTestCase):
    def test_nobody_has_anything(self) -> None:
        inventory = Books(HOST).inventory()
        self.assertEqual((0xFE, 0xFE), (inventory.free_dedicated, inventory.free_shared))
        self.assertEqual({0: {4: 1024, 2048: 512}, 1: {4: 1948}}, inventory.free_memory)

    def test_claimed_is_nobody_elses(self) -> None:
        books = Books(HOST, claims={1: "a", 2: "b"}, used={"a": 0x02, "b": 0x04})
        self.assertEqual(0xF8, books.inventory().free_shared)
        self.assertEqual(0xFA, books.inventory("a").free_dedicated)

    def test_used_may_be_shared_but_not_claimed(self) -> None:
        inventory = Books(HOST, used={"a": 0x06}).inventory("b")
        self.assertEqual((0xF8, 0xFE), (inventory.free_dedicated, inventory.free_shared))

    def test_memory(self) -> None:
        books = Books(HOST, memory={"a": {0: {LARGE: 512}, 1: {SMALL: 1948}}, "b": {0: {SMALL: 1}}})
        self.assertEqual({0: {4: 1023, 2048: 0}, 1: {4: 0}}, books.inventory().free_memory)
        self.assertEqual({0: {4: 1023, 2048: 512}, 1: {4: 1948}}, books.inventory("a").free_memory)

    def test_gifts_of_others(self) -> None:
        books = Books(HOST, gifts={"a": Gift(0x30, 0b11, 500)})
        inventory = books.inventory()
        self.assertEqual((0xCE, 0xCE), (inventory.free_dedicated, inventory.free_shared))
        self.assertEqual({0: {4: 774, 2048: 512}, 1: {4: 1698}}, inventory.free_memory)
        self.assertEqual(0xFE, books.inventory("a").free_shared)

    def test_holding_there_and_back(self) -> None:
        for holding in (Holding(), Holding(0b1010, {0: {LARGE: 512, SMALL: 3}, 7: {SMALL: 1}})):
            self.assertEqual(holding, Holding.from_dict(holding.to_dict()))
