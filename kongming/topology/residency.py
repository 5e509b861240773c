# SPDX-License-Identifier: Apache-2.0
"""On which NUMA nodes the memory of an instance is, and where it goes when it moves."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset

#: MiB that an instance holds: ``{page size in KiB: {node id: MiB}}``.
Residency = Mapping[int, Mapping[int, int]]

#: Memory is on its nodes with this share of it, in per cent: a few pages cannot move, and the
#: guest takes new ones meanwhile.
LEAST_SHARE = 99.0

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

    @property
    def mib_per_s(self) -> float:
        """The rate so far; 0 before the first moment has passed."""
        return round(self.moved_mib / self.seconds, 1) if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Progress":
        """Return what `to_dict` described."""
        return cls(**data)


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


def outside(residency: Residency, mask: int) -> int:
    """Return how many MiB are not on the nodes in ``mask``."""
    return sum(mib for node, mib in per_node(residency).items() if not mask >> node & 1)


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
