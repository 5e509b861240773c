# SPDX-License-Identifier: Apache-2.0
"""Have NUMA nodes room for the memory of an instance that shall move there?"""

from collections.abc import Mapping

from kongming.hypervisor.driver import HypervisorError
from kongming.topology import cpuset
from kongming.topology.host import Host

#: Memory that a move leaves free on each target node, where the operator reserves no more:
#: on a full node the next page fault of the instance ends in the kernel killing it.
HEADROOM_MIB = 256


def require(
    uuid: str,
    held: Mapping[int, Mapping[int, int]],
    mask: int,
    host: Host,
    reserved: Mapping[int, int],
) -> None:
    """Refuse to move the memory of an instance to where there is too little of it.

    :param held: MiB that the instance has now, ``{page size in KiB: {node id: MiB}}``
    :param mask: bitmask of the NUMA nodes that it shall move to
    :param host: with its present free pages
    :param reserved: MiB by node id that are to stay free in pages of the smallest size
    :raises HypervisorError: saying how much would move and how much is free
    """
    targets = [node for node in host.nodes if mask >> node.id & 1]
    smallest = min((p.size_kib for node in host.nodes for p in node.pages), default=0)
    for size, on_nodes in held.items():
        moving = sum(mib for node, mib in on_nodes.items() if not mask >> node & 1)
        pools = [pages for node in targets for pages in node.pages if pages.size_kib == size]
        free = sum(pages.free for pages in pools) * size // 1024
        kept = 0
        if size == smallest:
            kept = sum(max(HEADROOM_MIB, reserved.get(node.id, 0)) for node in targets)
        if moving and moving + kept > free:
            raise HypervisorError(
                f"{moving} MiB of instance {uuid} in pages of {size} KiB would move to NUMA"
                f" node {cpuset.to_text(mask)}, which has {free} MiB of them free and"
                f" must keep {kept} MiB"
            )
