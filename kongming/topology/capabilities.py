# SPDX-License-Identifier: Apache-2.0
"""The host model as libvirt's capabilities document tells it."""

from xml.etree import ElementTree  # nosec B405 # for its types

from kongming.topology import cpuset, markup
from kongming.topology.host import Core, Host, NumaNode, Pages


class CapabilitiesError(ValueError):
    """The document does not describe a host with NUMA nodes."""


def parse(
    document: str, offline: int = 0, free_pages: dict[int, dict[int, int]] | None = None
) -> Host:
    """Return the host that a capabilities document describes.

    :param document: XML as `virConnectGetCapabilities` gives it (libvirt's formatcaps:
        ``/capabilities/host/topology/cells/cell``)
    :param offline: bitmask of offline pCPUs, which the document cannot tell apart
    :param free_pages: ``{node id: {page size in KiB: free pages}}``
    :raises CapabilitiesError: not such a document, or it lists no NUMA node
    """
    try:
        root = markup.root(document)
        cells = root.findall("./host/topology/cells/cell")
        nodes = tuple(_node(cell, offline, free_pages or {}) for cell in cells)
    except (KeyError, TypeError, ValueError) as error:
        raise CapabilitiesError(f"unreadable capabilities: {error!r}") from error
    if not nodes:
        raise CapabilitiesError("the capabilities list no NUMA node")
    return Host(nodes=nodes, offline=offline)


def _node(
    cell: ElementTree.Element, offline: int, free_pages: dict[int, dict[int, int]]
) -> NumaNode:
    number = _number(cell.attrib["id"])
    free = free_pages.get(number, {})
    cores: dict[tuple[int, int, int], int] = {}
    cpus = 0
    for cpu in cell.findall("./cpus/cpu"):
        bit = 1 << _number(cpu.attrib["id"])
        if bit & offline or "siblings" not in cpu.attrib:
            continue
        cpus |= bit
        place = (
            int(cpu.attrib["socket_id"]),
            int(cpu.attrib.get("die_id", 0)),
            int(cpu.attrib["core_id"]),
        )
        cores[place] = cpuset.parse(cpu.attrib["siblings"]) & ~offline
    return NumaNode(
        id=number,
        cpus=cpus,
        memory_mib=int(cell.findtext("memory") or 0) // 1024,
        pages=tuple(
            Pages(size, int(pages.text or 0), free.get(size, 0))
            for pages in cell.findall("pages")
            for size in [int(pages.attrib["size"])]
        ),
        distances={
            int(sibling.attrib["id"]): int(sibling.attrib["value"])
            for sibling in cell.findall("./distances/sibling")
        },
        cores=tuple(Core(*place, cpus=mask) for place, mask in sorted(cores.items())),
    )


def _number(text: str) -> int:
    """Return the id of a pCPU or NUMA node; sets of ids are bitmasks, as long as the highest."""
    number = int(text)
    if not 0 <= number <= cpuset.MAX_NUMBER:
        raise ValueError(f"id {number} is not from 0 to {cpuset.MAX_NUMBER}")
    return number
