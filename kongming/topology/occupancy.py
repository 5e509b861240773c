# SPDX-License-Identifier: Apache-2.0
"""Who holds which pCPUs of a host, whoever gave them, and where two hold the same."""

from collections.abc import Iterable, Mapping

from kongming.topology import cpuset


def together(holding: Mapping[str, int]) -> int:
    """Return the bitmask of all that is held."""
    mask = 0
    for held in holding.values():
        mask |= held
    return mask


def conflicts(holdings: Iterable[Mapping[str, int]]) -> list[tuple[int, tuple[str, ...]]]:
    """Return the double-booked pCPUs: a bitmask, and the instances that all hold it.

    :param holdings: bitmask of pCPUs by instance uuid, from each of those who give them out
    """
    holders: dict[int, set[str]] = {}
    for holding in holdings:
        for uuid, mask in holding.items():
            for pcpu in cpuset.members(mask):
                holders.setdefault(pcpu, set()).add(uuid)
    found: dict[tuple[str, ...], int] = {}
    for pcpu, uuids in sorted(holders.items()):
        if len(uuids) > 1:
            who = tuple(sorted(uuids))
            found[who] = found.get(who, 0) | 1 << pcpu
    return [(mask, who) for who, mask in found.items()]
