# SPDX-License-Identifier: Apache-2.0
"""Have NUMA nodes room for the memory of an instance that shall move there?"""

from collections import defaultdict
from collections.abc import Mapping

from kongming.hypervisor.driver import HypervisorError
from kongming.topology import cpuset, residency
from kongming.topology.host import Host
from kongming.topology.residency import Residency

#: Memory that a move leaves free on each target node, where the operator reserves no more:
#: on a full node the next page fault of the instance ends in the kernel killing it.
HEADROOM_MIB = 256


def kept(mask: int, reserved: Mapping[int, int]) -> dict[int, int]:
    """Return the MiB in pages of the smallest size that stay free on each node in ``mask``.

    :param reserved: what the operator keeps, MiB by node id
    """
    return {node: max(HEADROOM_MIB, reserved.get(node, 0)) for node in cpuset.members(mask)}


def require(uuid: str, held: Residency, mask: int, host: Host, reserved: Mapping[int, int]) -> None:
    """Refuse to move the memory of an instance to where there is too little of it.

    :param held: what the instance has now
    :param mask: bitmask of the NUMA nodes that it shall move to
    :param host: with its present free pages
    :param reserved: MiB by node id that are to stay free in pages of the smallest size
    :raises HypervisorError: saying how much would move and how much is free
    """
    ways = residency.routes(held, mask)
    smallest = min((p.size_kib for node in host.nodes for p in node.pages), default=0)
    for size, on_nodes in held.items():
        arriving: dict[int, int] = defaultdict(int)  # MiB by bitmask of targets
        for node, mib in on_nodes.items():
            if node in ways:
                arriving[ways[node]] += mib
        for targets, moving in arriving.items():
            nodes = [node for node in host.nodes if targets >> node.id & 1]
            pools = [pages for node in nodes for pages in node.pages if pages.size_kib == size]
            free = sum(pages.free for pages in pools) * size // 1024
            keep = sum(kept(targets, reserved).values()) if size == smallest else 0
            if moving and moving + keep > free:
                raise HypervisorError(
                    f"{moving} MiB of instance {uuid} in pages of {size} KiB would move to NUMA"
                    f" node {cpuset.to_text(targets)}, which has {free} MiB of them free and"
                    f" must keep {keep} MiB"
                )
