# SPDX-License-Identifier: Apache-2.0
"""Hosts and questions for tests of the fit, as hypothesis strategies."""

from typing import Any

from hypothesis import strategies

from kongming.topology import fit
from kongming.topology.host import Core, Host, NumaNode, Pages
from kongming.topology.inventory import Inventory, Occupancy
from kongming.topology.wish import Wish

NEIGHBOUR = "6f1b7d3e-0f52-4f0a-9a3e-3d1a3b1f0001"
DEVICE = "0000:3b:00.1"


@strategies.composite
def hosts(draw: Any, nodes: int = 4, cores: int = 4, threads: int = 4) -> Host:
    """Hosts whose cores differ in their number of siblings, which are numbered anyhow."""
    count = draw(strategies.integers(1, nodes))
    sizes = [
        draw(strategies.lists(strategies.integers(1, threads), max_size=cores))
        for _ in range(count)
    ]
    total = sum(map(sum, sizes))
    numbers = draw(strategies.permutations(range(total + 2)))
    distances: dict[int, dict[int, int]] = {node: {node: 10} for node in range(count)}
    for one in range(count):
        for other in range(one):
            apart = draw(strategies.sampled_from((12, 20, 21, 32)))
            distances[one][other] = distances[other][one] = apart
    found = []
    for node, of_node in enumerate(sizes):
        sets = [sum(1 << numbers.pop() for _ in range(size)) for size in of_node]
        pages = (Pages(4, 262144, 0), Pages(2048, 512, 0), Pages(1048576, 1, 0))
        found.append(
            NumaNode(
                id=node,
                cpus=sum(sets),
                memory_mib=3072,
                pages=pages[: draw(strategies.integers(1, 3))],
                distances=distances[node],
                cores=tuple(Core(0, node, at, mask) for at, mask in enumerate(sets)),
            )
        )
    return Host(tuple(found), offline=1 << numbers.pop())


@strategies.composite
def inventories(draw: Any, host: Host) -> Inventory:
    """Inventories of a host that is partly used."""

    def part(of: int) -> int:
        return of & draw(strategies.integers(0, host.online) | strategies.just(host.online))

    shared = part(host.online)
    return Inventory(
        host=host,
        free_dedicated=part(shared),
        free_shared=shared,
        free_memory={
            node.id: {
                pages.size_kib: draw(strategies.sampled_from((0, 512, 1024)))
                for pages in node.pages
            }
            for node in host.nodes
        },
        devices={DEVICE: draw(strategies.integers(-1, len(host.nodes) - 1))},
        occupancy={
            NEIGHBOUR: Occupancy(part(host.online), draw(strategies.integers(0, host.node_ids)))
        },
    )


@strategies.composite
def questions(draw: Any) -> tuple[Wish, fit.Size]:
    """Wishes that leave something to choose, for instances that they suit."""
    policy = draw(strategies.sampled_from(("dedicated", "dedicated", "shared")))
    data: dict[str, Any] = {"cpu_policy": policy}
    page_sizes = strategies.sampled_from((None, None, 4, 2048, "any", "large"))
    numbers = draw(strategies.lists(strategies.integers(1, 5), min_size=1, max_size=3))
    vcpus = sum(numbers)
    memory = 0
    if draw(strategies.booleans()):
        order = draw(strategies.permutations(range(vcpus)))
        data["numa_nodes"] = [
            {
                "vcpus": ",".join(str(order.pop()) for _ in range(number)),
                "memory_mib": draw(strategies.sampled_from((2, 512, 1024))),
                "page_size_kib": draw(page_sizes),
            }
            for number in numbers
        ]
        memory = sum(node["memory_mib"] for node in data["numa_nodes"])
    else:
        count = draw(strategies.none() | strategies.integers(1, 3))
        data["numa_nodes"] = count
        data["memory"] = {"page_size_kib": draw(page_sizes)}
        memory = 512 * (count or 1)
        vcpus = numbers[0] * (count or 1)
    if policy == "dedicated":
        data["thread_policy"] = draw(strategies.sampled_from(("prefer", "isolate", "require")))
    emulators = (None, "share", "isolate") if policy == "dedicated" else (None, "share")
    data["emulator"] = draw(strategies.sampled_from(emulators))
    if draw(strategies.integers(0, 3)) == 0:
        data["vcpus"] = {"0": str(draw(strategies.integers(0, 7)))}
    if draw(strategies.integers(0, 3)) == 0:
        data["avoid"] = [NEIGHBOUR]
    if draw(strategies.integers(0, 5)) == 0:
        data["near"] = NEIGHBOUR
    if draw(strategies.integers(0, 5)) == 0:
        data["pci_device"] = DEVICE
    return Wish.from_dict(data), fit.Size(vcpus, memory)
