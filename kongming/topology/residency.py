# SPDX-License-Identifier: Apache-2.0
"""On which NUMA nodes the memory of an instance is, and where it goes when it moves."""

import dataclasses
from collections.abc import Mapping

from kongming.topology import cpuset

#: MiB that an instance holds: ``{page size in KiB: {node id: MiB}}``.
Residency = Mapping[int, Mapping[int, int]]

# A node with less than this of an instance's memory has strays of it, and is no home.
_HOME_PER_CENT = 1


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a move of memory is; ``total_mib`` is what was to move when it began.

    More may move than that, since the instance goes on taking memory.
    """

    moved_mib: int
    total_mib: int
    seconds: float


def per_node(residency: Residency) -> dict[int, int]:
    """Return the MiB on each node, of all page sizes."""
    total: dict[int, int] = {}
    for nodes in residency.values():
        for node, mib in nodes.items():
            total[node] = total.get(node, 0) + mib
    return total


def share(residency: Residency, mask: int) -> float:
    """Return how many per cent of the memory are on the nodes in ``mask``; 100 if there is none."""
    total = per_node(residency)
    everywhere = sum(total.values())
    there = sum(mib for node, mib in total.items() if mask >> node & 1)
    return 100 * there / everywhere if everywhere else 100.0


def routes(residency: Residency, mask: int) -> dict[int, int]:
    """Return for each node outside ``mask`` the bitmask of nodes to which its memory goes.

    As many nodes to leave as new ones to fill: each in turn goes to one, as migrate_pages(2)
    does it, so that what was apart stays apart. Otherwise all share the nodes in ``mask``.
    """
    total = per_node(residency)
    least = sum(total.values()) * _HOME_PER_CENT / 100
    homes = [node for node, mib in sorted(total.items()) if mib and mib >= least]
    leaving = [node for node in homes if not mask >> node & 1]
    new = [node for node in cpuset.members(mask) if node not in homes]
    found = {node: mask for node in total if not mask >> node & 1}
    if len(leaving) == len(new):
        found |= {node: 1 << there for node, there in zip(leaving, new, strict=True)}
    return found
