# SPDX-License-Identifier: Apache-2.0
"""The best placement, as trying all of them finds it on small hosts."""

import itertools
from collections.abc import Iterable, Iterator

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.tests.unit.topology import hosts, nova_cases
from kongming.topology import assignment, fit
from kongming.topology.host import NumaNode
from kongming.topology.inventory import Inventory
from kongming.topology.layout import GuestNode
from kongming.topology.wish import Wish


def partly_used(node: NumaNode, free: int) -> int:
    return sum(0 < (core.cpus & free).bit_count() < core.cpus.bit_count() for core in node.cores)


def allowed(node: NumaNode, free: int, vcpus: Iterable[int], emulator: int, policy: str) -> int:
    """Return what a choice claims, 0 if its thread policy does not allow it."""
    cpus = sum(vcpus)
    claimed = cpus | emulator
    alone = 0
    for core in node.cores:
        mine = (core.cpus & cpus).bit_count()
        if not mine:
            continue
        if policy == "isolate":
            if mine > 1 or core.cpus & ~free or core.cpus & emulator:
                return 0
            claimed |= core.cpus
        elif policy == "require":
            if (core.cpus & free).bit_count() < 2:
                return 0
            alone += mine == 1
    return claimed if alone < 2 else 0


def fragments(node: NumaNode, free: int, vcpus: int, emulator: bool, policy: str) -> int | None:
    """Return the least growth of partly used cores over all choices of pCPUs."""
    bits = [1 << n for n in range(free.bit_length()) if free >> n & 1]
    growth = [
        partly_used(node, free & ~claimed) - partly_used(node, free)
        for chosen in itertools.combinations(bits, vcpus)
        for own in ([b for b in bits if b not in chosen] if emulator else [0])
        if (claimed := allowed(node, free, chosen, own, policy))
    ]
    return min(growth, default=None)


def every_score(
    offer: Inventory, guests: list[tuple[int, bool]], policy: str
) -> Iterator[tuple[int, int]]:
    nodes = offer.host.nodes
    cost = {
        (row, node.id): fragments(node, offer.free_dedicated & node.cpus, *guest, policy)
        for row, guest in enumerate(guests)
        for node in nodes
    }
    for chosen in itertools.permutations(nodes, len(guests)):
        costs = [cost[row, node.id] for row, node in enumerate(chosen)]
        if None not in costs:
            apart = sum(a.distances[b.id] for a, b in itertools.combinations(chosen, 2))
            yield sum(one for one in costs if one is not None), apart


class BruteForceTest(base.TestCase):
    @hypothesis.settings(max_examples=300, deadline=None)
    @hypothesis.given(strategies.data())
    def test_nothing_is_better(self, data: strategies.DataObject) -> None:
        host = data.draw(hosts.hosts(nodes=4, cores=3, threads=3))
        free = host.online & data.draw(
            strategies.integers(0, host.online) | strategies.just(host.online)
        )
        offer = Inventory(host, free, free, {node.id: {4: 1024} for node in host.nodes})
        policy = data.draw(strategies.sampled_from(("prefer", "isolate", "require")))
        emulator = data.draw(strategies.booleans())
        numbers = data.draw(strategies.lists(strategies.integers(1, 4), min_size=1, max_size=3))
        first = 0
        layout = []
        for number in numbers:
            layout.append(GuestNode((1 << number) - 1 << first, 1))
            first += number
        wish = Wish(
            "dedicated",
            thread_policy=policy,
            numa_nodes=tuple(layout),
            emulator_policy="isolate" if emulator else None,
        )
        guests = [(number, emulator and not row) for row, number in enumerate(numbers)]
        best = min(every_score(offer, guests, policy), default=None)
        try:
            found = fit.place(wish, fit.Size(first, len(numbers)), offer)
        except fit.DoesNotFit:
            self.assertIsNone(best)
            return
        self.assertEqual(best, found.score)
        # the score is not only claimed
        grown = sum(
            partly_used(node, free & ~found.exclusive) - partly_used(node, free)
            for node in host.nodes
        )
        self.assertEqual(found.score.fragments, grown)

    @hypothesis.settings(max_examples=300, deadline=None)
    @hypothesis.given(strategies.data())
    def test_assignment(self, data: strategies.DataObject) -> None:
        width = data.draw(strategies.integers(1, 6))
        height = data.draw(strategies.integers(1, width))
        entries = strategies.none() | strategies.integers(-3, 3)
        row = strategies.lists(entries, min_size=width, max_size=width)
        alike = row.map(lambda one: [one] * height)
        differing = strategies.lists(row, min_size=height, max_size=height)
        costs = data.draw(alike | differing)
        lengths = strategies.lists(strategies.integers(10, 40), min_size=width, max_size=width)
        apart = data.draw(strategies.lists(lengths, min_size=width, max_size=width))
        distances = [[apart[min(a, b)][max(a, b)] for b in range(width)] for a in range(width)]
        sums = []
        for columns in itertools.permutations(range(width), height):
            picked = [costs[at][column] for at, column in enumerate(columns)]
            if None not in picked:
                total = sum(one for one in picked if one is not None)
                sums.append((total, assignment.pairs(columns, distances)))
        rows, columns_seen = assignment.crowded(assignment.options(costs))
        self.assertEqual(not sums, bool(rows))
        self.assertTrue(not rows or columns_seen.bit_count() < rows.bit_count())
        if sums:
            rows_of, needed = assignment.cheapest(costs)
            column_of = assignment.nearest(rows_of, needed, height, distances)
            self.assertEqual(set(range(height)), set(column_of))
            picked = [costs[at][column] for at, column in column_of.items()]
            total = sum(one for one in picked if one is not None)
            found = (total, assignment.pairs(list(column_of.values()), distances))
            self.assertEqual(min(sums), found)


class BoundTest(base.TestCase):
    def test_search_for_near_nodes_ends(self) -> None:
        # 64 nodes whose distances give the bounds nothing to go by
        width = 64
        distances = [
            [10 if a == b else 11 + (a * b * 7919 + a + b) % 90 for b in range(width)]
            for a in range(width)
        ]
        rows_of, needed = assignment.cheapest([[0] * width for _ in range(8)])
        column_of = assignment.nearest(rows_of, needed, 8, distances)
        self.assertEqual(8, len(set(column_of.values())))

    def test_guest_nodes_keep_their_order_where_they_can(self) -> None:
        host = nova_cases.regular_host(4, 2, 2, [{4: (262144, 0)}] * 4)
        wish = Wish("dedicated", numa_nodes=3)
        found = fit.place(wish, fit.Size(6, 300), Inventory.of_empty(host))
        self.assertEqual((0, 1, 2), found.nodes)
