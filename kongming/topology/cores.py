# SPDX-License-Identifier: Apache-2.0
"""The cores of one NUMA node, kept so that questions about all of them are bitmask operations."""

from collections.abc import Iterable
from typing import NamedTuple


class CoreGroup(NamedTuple):
    """Cores whose siblings are numbered alike.

    ``firsts`` is the bitmask of the lowest pCPU of each core, ``offsets`` (the first is 0)
    are added to that number to get its siblings. Linux numbers so regularly that a node
    has one group, or a few where cores differ or a sibling is offline.
    """

    firsts: int
    offsets: tuple[int, ...]

    def with_free(self, free: int) -> list[int]:
        """Return, for each number of siblings that are in ``free``, the cores with just that.

        Cores are named by their lowest pCPU; the list goes from 1 to all siblings.
        """
        firsts, offsets = self
        if len(offsets) == 2:
            low, high = free & firsts, free >> offsets[1] & firsts
            return [low ^ high, low & high]
        exactly = [firsts] + [0] * len(offsets)
        for offset in offsets:
            lane = free >> offset & firsts
            for number in range(len(offsets), 0, -1):
                exactly[number] = exactly[number] & ~lane | exactly[number - 1] & lane
            exactly[0] &= ~lane
        return exactly[1:]

    def siblings(self, firsts: int) -> int:
        """Return the bitmask of all pCPUs of the cores named."""
        cpus = 0
        for offset in self.offsets:
            cpus |= firsts << offset
        return cpus


def group(cpus: int, cores: Iterable[int]) -> tuple[CoreGroup, ...]:
    """Return the groups that make up a node.

    :param cpus: bitmask of the node's pCPUs; one that no core names is a core of its own
    :param cores: bitmask of the pCPUs of each core
    """
    firsts: dict[tuple[int, ...], int] = {}
    alone = cpus
    for core in cores:
        if core := core & cpus:
            alone &= ~core
            first = core & -core
            pattern = core >> first.bit_length() - 1
            offsets = tuple(bit for bit in range(pattern.bit_length()) if pattern >> bit & 1)
            firsts[offsets] = firsts.get(offsets, 0) | first
    if alone:
        firsts[(0,)] = firsts.get((0,), 0) | alone
    return tuple(CoreGroup(mask, offsets) for offsets, mask in sorted(firsts.items()))


def whole(groups: Iterable[CoreGroup], cpus: int) -> int:
    """Return the bitmask of all pCPUs of the cores of which ``cpus`` has a part."""
    mask = 0
    for one in groups:
        touched = 0
        for offset in one.offsets:
            touched |= cpus >> offset & one.firsts
        mask |= one.siblings(touched)
    return mask


def lowest(mask: int, count: int) -> tuple[list[int], int]:
    """Return the ``count`` lowest members of a bitmask as bits (1, 2, 4, …), and the others."""
    bits = []
    for _ in range(count):
        others = mask & mask - 1
        bits.append(mask ^ others)
        mask = others
    return bits, mask
