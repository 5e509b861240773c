# SPDX-License-Identifier: Apache-2.0
"""The guest NUMA nodes that a wish lists, checked for their form."""

import dataclasses
from typing import Any

from kongming.topology import cpuset, form
from kongming.topology.form import PageSize, WishError

MAX_NODES = 64
MAX_VCPUS = 4096
#: 64 TiB, what one x86-64 guest can address (46 bits).
MAX_MEMORY_MIB = 1 << 26
#: What a list may say of each guest node.
KEYS = ("vcpus", "memory_mib", "page_size_kib", "host_node")


@dataclasses.dataclass(frozen=True)
class GuestNode:
    """One NUMA node as the guest sees it.

    ``vcpus`` is a bitmask of vCPU numbers, ``page_size`` is in KiB or a word for it,
    ``host_node`` the id of the NUMA node of the host that it shall be on, if any.
    """

    vcpus: int
    memory_mib: int
    page_size: PageSize = None
    host_node: int | None = None


def parse(field: str, value: Any) -> int | tuple[GuestNode, ...]:
    """Return a number of even guest nodes, or the nodes that a list describes.

    :raises WishError: malformed, a vCPU in no or in two guest nodes, two guest nodes on one
        NUMA node of the host, or memory that its pages cannot make up
    """
    if not isinstance(value, list):
        return form.integer(field, value, 1, MAX_NODES)
    if not 1 <= len(value) <= MAX_NODES:
        raise WishError(field, f"must list 1 to {MAX_NODES} guest nodes")
    nodes = tuple(_node(f"{field}.{number}", item) for number, item in enumerate(value))
    vcpus = host_nodes = 0
    for number, node in enumerate(nodes):
        if twice := vcpus & node.vcpus:
            raise WishError(
                f"{field}.{number}.vcpus",
                f"vCPU {cpuset.to_text(twice)} is in an earlier guest node too",
            )
        vcpus |= node.vcpus
        if node.host_node is not None:
            if host_nodes >> node.host_node & 1:
                raise WishError(
                    f"{field}.{number}.host_node", "an earlier guest node is on this node"
                )
            host_nodes |= 1 << node.host_node
    if absent := ~vcpus & (1 << vcpus.bit_length()) - 1:
        raise WishError(field, f"vCPU {cpuset.to_text(absent)} is in no guest node")
    return nodes


def check_keys(field: str, value: Any) -> None:
    """Insist that the guest nodes of a list have no other keys than those that are read.

    What is stored is not checked for that: it may have come in before it was.

    :raises WishError: naming the first that one has
    """
    for number, node in enumerate(value if isinstance(value, list) else ()):
        for key in node if isinstance(node, dict) else ():
            if key not in KEYS:
                raise WishError(f"{field}.{number}.{key[:64]}", "unknown field")


def to_list(nodes: tuple[GuestNode, ...]) -> list[dict[str, Any]]:
    """Return JSON's form of guest nodes; `parse` reads it back."""
    return [
        {
            key: value
            for key, value in (
                ("vcpus", cpuset.to_text(node.vcpus)),
                ("memory_mib", node.memory_mib),
                ("page_size_kib", node.page_size),
                ("host_node", node.host_node),
            )
            if value is not None
        }
        for node in nodes
    ]


def _node(field: str, data: Any) -> GuestNode:
    if not isinstance(data, dict):
        raise WishError(field, "must be an object with vcpus and memory_mib")
    vcpus = form.mask(f"{field}.vcpus", data.get("vcpus"))
    if vcpus >> MAX_VCPUS:
        raise WishError(f"{field}.vcpus", f"a vCPU is above {MAX_VCPUS - 1}")
    memory = form.integer(f"{field}.memory_mib", data.get("memory_mib"), 1, MAX_MEMORY_MIB)
    page_size = form.page_size(f"{field}.page_size_kib", data.get("page_size_kib"))
    if isinstance(page_size, int) and memory * 1024 % page_size:
        raise WishError(f"{field}.memory_mib", f"is no multiple of {page_size} KiB")
    host_node = data.get("host_node")
    if host_node is not None:
        host_node = form.integer(f"{field}.host_node", host_node, 0, cpuset.MAX_NUMBER)
    return GuestNode(vcpus, memory, page_size, host_node)
