# SPDX-License-Identifier: Apache-2.0
"""What each guest node of an instance needs from the NUMA node that it will be on."""

from collections.abc import Sequence
from typing import NamedTuple

from kongming.topology import cpuset
from kongming.topology.answer import DoesNotFit, Reason, Size
from kongming.topology.form import PageSize
from kongming.topology.layout import GuestNode
from kongming.topology.wish import Wish


class Demand(NamedTuple):
    """The needs of one guest node.

    - ``choose``: how many dedicated vCPUs need a pCPU of their own
    - ``shared``: how many shared vCPUs it has
    - ``within``: bitmask of the pCPUs of exact vCPUs, which the node must contain
    - ``memory_mib``, ``page_size``: its memory; 0 if that is left alone
    - ``nodes``: bitmask of the NUMA nodes that may be chosen; -1 for any
    - ``emulator``: whether the node has to give the emulator a pCPU, too
    """

    choose: int
    shared: int
    within: int
    memory_mib: int
    page_size: PageSize
    nodes: int
    emulator: bool


def guest_nodes(wish: Wish, size: Size) -> Sequence[GuestNode]:
    """Return the guest nodes that a wish gives an instance; none if it leaves that alone.

    :raises DoesNotFit: the layout is not for an instance of this size
    """
    asked = wish.numa_nodes
    if isinstance(asked, tuple):
        if reasons := _misfits(asked, size):
            raise DoesNotFit(reasons)
        return asked
    all_vcpus = (1 << size.vcpus) - 1
    if asked is None:
        if _asks_for_node(wish, size):
            return (GuestNode(all_vcpus, size.memory_mib, wish.page_size),)
        # the emulator's pCPU is chosen, memory is left alone
        return (GuestNode(all_vcpus, 0),) if wish.emulator_policy == "isolate" else ()
    if size.vcpus % asked or size.memory_mib % asked:
        text = f"{size.vcpus} vCPUs and {size.memory_mib} MiB do not split evenly into {asked}"
        raise DoesNotFit([Reason("numa_nodes", "uneven_nodes", text)])
    vcpus, memory = size.vcpus // asked, size.memory_mib // asked
    return [
        GuestNode((1 << vcpus) - 1 << number * vcpus, memory, wish.page_size)
        for number in range(asked)
    ]


def demands(wish: Wish, nodes: Sequence[GuestNode]) -> list[Demand]:
    """Return what each guest node needs."""
    dedicated = wish.cpu_policy == "dedicated"
    isolated = wish.emulator_policy == "isolate"
    named = cpuset.from_members(wish.vcpus)
    found = []
    for number, node in enumerate(nodes):
        free = node.vcpus & ~named if named else node.vcpus
        within = 0
        if named and wish.numa_nodes is not None:
            for vcpu in cpuset.members(node.vcpus & named):
                within |= wish.vcpus[vcpu]
        if wish.every_vcpu is not None:
            if free and wish.numa_nodes is not None:
                within |= wish.every_vcpu
            free = 0
        found.append(
            Demand(
                choose=free.bit_count() if dedicated else 0,
                shared=0 if dedicated else node.vcpus.bit_count(),
                within=within,
                memory_mib=node.memory_mib,
                page_size=node.page_size,
                nodes=-1 if node.host_node is None else 1 << node.host_node,
                emulator=isolated and not number,
            )
        )
    return found


def _asks_for_node(wish: Wish, size: Size) -> bool:
    """Tell whether the instance is to live on one NUMA node, though the wish lists none."""
    if wish.page_size is not None or wish.pci_device is not None or wish.near is not None:
        return True
    if wish.cpu_policy != "dedicated" or wish.every_vcpu is not None:
        return False
    return any(number not in wish.vcpus for number in range(size.vcpus))


def _misfits(nodes: Sequence[GuestNode], size: Size) -> list[Reason]:
    reasons = []
    vcpus = 0
    for number, node in enumerate(nodes):
        vcpus |= node.vcpus
        if absent := node.vcpus >> size.vcpus << size.vcpus:
            text = f"the instance has no vCPU {cpuset.to_text(absent)} (it has {size.vcpus})"
            reasons.append(Reason(f"numa_nodes.{number}.vcpus", "vcpu_unknown", text))
    if missing := ~vcpus & (1 << size.vcpus) - 1:
        text = f"vCPU {cpuset.to_text(missing)} of the instance is in no guest node"
        reasons.append(Reason("numa_nodes", "vcpu_unassigned", text))
    memory = sum(node.memory_mib for node in nodes)
    if memory != size.memory_mib:
        text = f"the guest nodes have {memory} MiB, the instance {size.memory_mib} MiB"
        reasons.append(Reason("numa_nodes", "memory_mismatch", text))
    return reasons
