# SPDX-License-Identifier: Apache-2.0
"""The size of an instance, and the answer to whether it fits: a placement, or the reasons."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from kongming.topology.placement import Placement

#: How many reasons are told, and how much of each.
MOST_REASONS = 16
_MOST_CHARACTERS = 500


@dataclasses.dataclass(frozen=True)
class Size:
    """How large an instance is; ``iothreads`` are the ids of its I/O threads."""

    vcpus: int
    memory_mib: int
    iothreads: tuple[int, ...] = ()


class Score(NamedTuple):
    """How good a placement is: the lower, the better, the first number first.

    ``fragments`` is by how much the free choice makes the number of partly used cores on
    the host grow (negative if it uses such cores up), ``distance`` the sum of the distances
    between each two of the NUMA nodes chosen.
    """

    fragments: int = 0
    distance: int = 0


# Not frozen, as `Reason` is not: for a fleet, most of the time would go into making them.
@dataclasses.dataclass(slots=True)
class Fit:
    """The placement that a wish gets, and what it has to claim.

    - ``exclusive``: bitmask of the pCPUs that nobody else may use: those of dedicated vCPUs,
      of an isolated emulator, and the siblings that ``isolate`` keeps empty.
    - ``memory``: MiB to claim, ``{node id: {page size in KiB: MiB}}``. Memory of shared
      instances that name no page size may be overcommitted, so it is not claimed.
    - ``nodes``: the NUMA node of each guest node; empty if the wish left that alone.
    """

    placement: Placement
    exclusive: int
    memory: Mapping[int, Mapping[int, int]]
    nodes: tuple[int, ...]
    score: Score


@dataclasses.dataclass(slots=True)
class Reason:
    """Why a wish does not fit: the field of the wish, a stable code, a sentence."""

    field: str
    code: str
    detail: str


class DoesNotFit(ValueError):
    """The wish cannot be had on this host; ``reasons`` is never empty, nor endless.

    A few words of a wish can be about thousands of vCPUs, and there are as many hosts.
    """

    def __init__(self, reasons: list[Reason]) -> None:
        self.reasons = [
            dataclasses.replace(reason, detail=shortened(reason.detail, _MOST_CHARACTERS))
            for reason in reasons[:MOST_REASONS]
        ]
        if len(reasons) > MOST_REASONS:
            self.reasons[-1].detail += "; and more"

    def __str__(self) -> str:
        return "; ".join(f"{reason.field}: {reason.detail}" for reason in self.reasons)


def shortened(text: str, most: int) -> str:
    """Return a text of so many characters at most; of a longer one the first words, whole."""
    if len(text) <= most:
        return text
    return f"{text[: most - 3].rpartition(' ')[0]}..."
