# SPDX-License-Identifier: Apache-2.0
"""The parts of a wish that name exact places."""

from collections.abc import Iterator

from kongming.topology import cores, cpuset
from kongming.topology.answer import Reason, Size
from kongming.topology.host import Host
from kongming.topology.inventory import Inventory
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.wish import EVERY, Wish


def place(wish: Wish, size: Size) -> Placement:
    """Return the placement of the parts that have an exact place, and the numbers of QoS."""
    placement = Placement()
    if wish.vcpus or wish.every_vcpu is not None:
        for number in range(size.vcpus):
            mask = wish.vcpus.get(number, wish.every_vcpu)
            if mask is not None:
                placement[Part("vcpu", number)] = mask
    for number, mask in wish.iothreads.items():
        placement[Part("iothread", number)] = mask
    if wish.emulator is not None:
        placement[EMULATOR] = wish.emulator
    if wish.memory_nodes is not None:
        placement[MEMORY] = wish.memory_nodes
    if wish.qos is not None:
        placement.update(wish.qos.parts(size.vcpus, size.iothreads))
    return placement


def problems(wish: Wish, size: Size, inventory: Inventory) -> Iterator[Reason]:
    """Yield why exact places cannot be had: instance or host lacks what they name."""
    yield from _missing_parts(wish, size)
    asked = _asked(wish)
    yield from _missing_places(wish, asked, inventory.host)
    for uuid in wish.avoid if asked else ():
        if other := inventory.occupancy.get(uuid):
            taken = whole_cores(inventory.host, other.cpus)
            for field, mask in asked:
                if common := mask & taken:
                    yield Reason(
                        field,
                        "core_avoided",
                        f"pCPU {cpuset.to_text(common)} is on a core of instance {uuid}",
                    )
    if wish.thread_policy == "isolate":
        yield from _shared_cores(asked, inventory.host)


def memory_shortage(wish: Wish, size: Size, inventory: Inventory) -> Iterator[Reason]:
    """Yield why exact NUMA nodes cannot hold the memory of an instance that keeps its pages.

    These may be of any size that the nodes have, so what is short of each size is refused.
    """
    mask = wish.memory_nodes or 0
    free: dict[int, int] = {}
    for node in inventory.host.nodes:
        if mask >> node.id & 1:
            # as everywhere: only pinned instances cannot be overcommitted
            dedicated = wish.cpu_policy == "dedicated"
            here = inventory.free_memory.get(node.id, {}) if dedicated else node.offered_memory
            for page_size, mib in here.items():
                free[page_size] = free.get(page_size, 0) + mib
    need, have = size.memory_mib, max(free.values(), default=0)
    if need > have:
        name = f"NUMA node {cpuset.to_text(mask)}"
        text = f"{name} has {have} of the {need} MiB needed: {need - have} short"
        yield Reason("memory.nodes", "memory_short", text)


def whole_cores(host: Host, cpus: int) -> int:
    """Return the bitmask of all pCPUs of the cores of which ``cpus`` has a part."""
    mask = 0
    for node in host.nodes:
        if part := cpus & node.cpus:
            mask |= cores.whole(node.core_groups, part)
    return mask


def _asked(wish: Wish) -> list[tuple[str, int]]:
    asked: list[tuple[str, int]] = [(f"vcpus.{n}", mask) for n, mask in sorted(wish.vcpus.items())]
    if wish.every_vcpu is not None:
        asked.append((f"vcpus.{EVERY}", wish.every_vcpu))
    if wish.emulator is not None:
        asked.append(("emulator", wish.emulator))
    asked += [(f"iothreads.{n}", mask) for n, mask in sorted(wish.iothreads.items())]
    return asked


def _missing_parts(wish: Wish, size: Size) -> Iterator[Reason]:
    named = [(f"vcpus.{number}", number) for number in sorted(wish.vcpus)]
    if wish.qos is not None:
        named += [(f"qos.vcpus.{number}", number) for number in sorted(wish.qos.vcpus)]
    for field, number in named:
        if number >= size.vcpus:
            yield Reason(
                field,
                "vcpu_unknown",
                f"the instance has no vCPU {number} (it has {size.vcpus})",
            )
    for number in sorted(wish.iothreads):
        if number not in size.iothreads:
            yield Reason(
                f"iothreads.{number}",
                "iothread_unknown",
                f"the instance has no I/O thread {number}",
            )
    if wish.qos is not None and not size.iothreads:
        for name in wish.qos.numbers:
            if name.startswith("iothread_"):
                yield Reason(f"qos.{name}", "iothread_unknown", "the instance has no I/O threads")


def _missing_places(wish: Wish, asked: list[tuple[str, int]], host: Host) -> Iterator[Reason]:
    online = host.online if asked else 0
    for field, mask in asked:
        if offline := mask & host.offline:
            yield Reason(field, "pcpu_offline", f"pCPU {cpuset.to_text(offline)} is offline")
        if absent := mask & ~host.offline & ~online:
            yield Reason(field, "pcpu_unknown", f"the host has no pCPU {cpuset.to_text(absent)}")
        if unmanaged := mask & online & host.unmanaged:
            yield Reason(
                field,
                "pcpu_unmanaged",
                f"pCPU {cpuset.to_text(unmanaged)} is not among those that the host offers",
            )
        if mask.bit_count() > 1 and (isolated := mask & host.isolated):
            yield Reason(
                field,
                "pcpu_isolated",
                f"pCPU {cpuset.to_text(isolated)} is isolated: a thread must have it as its only"
                " one, as the kernel moves none from there to another pCPU",
            )
    if wish.memory_nodes is not None and (absent := wish.memory_nodes & ~host.node_ids):
        yield Reason(
            "memory.nodes",
            "numa_node_unknown",
            f"the host has no NUMA node {cpuset.to_text(absent)}",
        )


def _shared_cores(asked: list[tuple[str, int]], host: Host) -> Iterator[Reason]:
    """Yield the exact places on a core that an exact vCPU shall have for itself."""
    for field, mask in asked:
        if field.startswith("vcpus."):
            own = whole_cores(host, mask)
            for other, cpus in asked:
                if other != field and (common := cpus & own):
                    yield Reason(
                        other,
                        "core_isolated",
                        f"pCPU {cpuset.to_text(common)} is on a core that {field} has for itself",
                    )
