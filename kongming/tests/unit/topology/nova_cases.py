# SPDX-License-Identifier: Apache-2.0
"""The cases that tools/record_nova_answers.py puts to Nova, as KongMing sees them.

A case is a regular host with CPUs numbered as in a simulated fleet, sets of pCPUs as
hexadecimal bitmasks as Nova's configuration and its instances make them (dedicated, shared,
pinned), memory ``{page size in KiB: [pages, free pages]}`` of each node, and a wish with the
size of the instance.
"""

from typing import Any

from kongming.topology import fit
from kongming.topology.host import Core, Host, NumaNode, Pages
from kongming.topology.inventory import Inventory
from kongming.topology.wish import Wish, WishError


def regular_host(
    nodes: int, cores: int, threads: int, pages: list[dict[int, tuple[int, int]]]
) -> Host:
    """Return a host; ``pages`` has total and free pages by size for each node."""
    found = []
    for node in range(nodes):
        sets = [
            sum(1 << thread * nodes * cores + node * cores + core for thread in range(threads))
            for core in range(cores)
        ]
        pools = tuple(Pages(size, *numbers) for size, numbers in sorted(pages[node].items()))
        found.append(
            NumaNode(
                id=node,
                cpus=sum(sets),
                memory_mib=sum(pool.size_kib * pool.total // 1024 for pool in pools),
                pages=pools,
                distances={other: 10 if other == node else 20 for other in range(nodes)},
                cores=tuple(Core(node, 0, number, mask) for number, mask in enumerate(sets)),
            )
        )
    return Host(tuple(found))


def inventory(case: dict[str, Any]) -> Inventory:
    """Return what the host of a case offers."""
    pages = [
        {int(size): (total, free) for size, (total, free) in node.items()} for node in case["pages"]
    ]
    host = regular_host(case["nodes"], case["cores"], case["threads"], pages)
    dedicated, shared, pinned = (int(case[key], 16) for key in ("dedicated", "shared", "pinned"))
    return Inventory(
        host=host,
        free_dedicated=dedicated & ~pinned,
        free_shared=shared & ~pinned,
        free_memory={
            node: {size: size * free // 1024 for size, (_, free) in pools.items()}
            for node, pools in enumerate(pages)
        },
    )


def placed(case: dict[str, Any]) -> fit.Fit | None:
    """Return KongMing's answer to a case, None if it does not fit."""
    try:
        return fit.place(Wish.from_dict(case["wish"]), fit.Size(*case["size"]), inventory(case))
    except (fit.DoesNotFit, WishError):
        return None
