# SPDX-License-Identifier: Apache-2.0
"""Does a wish fit an instance and a host, and which placement does it become?

Exact parts go where the wish says. For the rest, each guest node gets a NUMA node of its own:
`packing` chooses inside one, `assignment` among them, both so that the fewest partly used cores are
left behind. doc/source/admin/fit.rst has the order of criteria and where Nova decides otherwise.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Sequence

from kongming.topology import cpuset, demand, exact, packing, seating
from kongming.topology.answer import MOST_REASONS, DoesNotFit, Fit, Reason, Score, Size
from kongming.topology.demand import Demand
from kongming.topology.host import Host, NumaNode
from kongming.topology.inventory import Inventory
from kongming.topology.placement import EMULATOR, MEMORY, MEMORY_AT_START, Part, Placement
from kongming.topology.room import Room, Seat
from kongming.topology.wish import Wish

__all__ = ["DoesNotFit", "Fit", "Reason", "Score", "Size", "covers", "place"]


def place(wish: Wish, size: Size, inventory: Inventory) -> Fit:
    """Return the best placement that ``wish`` asks for.

    :raises DoesNotFit: with every reason, when the instance lacks a part that the wish
        names, or the host lacks (or has offline) a place for it or has too little of it free
    """
    return Question(wish, size).place(inventory)


def covers(wish: Wish, size: Size, placement: Placement) -> bool:
    """Whether a placement, made for what may have been another size, has the vCPUs of this one.

    It does not if the wish places a vCPU that was plugged since, or one was unplugged.
    """
    wanted = cpuset.from_members(exact.place(wish, size).vcpus)
    layout = wish.numa_nodes if isinstance(wish.numa_nodes, tuple) else ()
    as_asked = Size(size.vcpus, sum(node.memory_mib for node in layout))
    try:
        for node in demand.guest_nodes(wish, as_asked):
            wanted |= node.vcpus
    except DoesNotFit:
        return False
    return wanted == cpuset.from_members(placement.vcpus)


class Question:
    """A wish for an instance of one size, to be put to many hosts.

    :raises DoesNotFit: the layout is not for an instance of this size
    """

    def __init__(self, wish: Wish, size: Size) -> None:
        self.wish = wish
        self._size = size
        self._exact = exact.place(wish, size)
        self._guest_nodes = demand.guest_nodes(wish, size)
        self._demands = demand.demands(wish, self._guest_nodes)
        # the vCPUs of each guest node that have no exact place; of a dictionary's keys another
        # one is made faster than of a list
        self._free = [
            dict.fromkeys(
                part for part in map(_vcpu, cpuset.members(node.vcpus)) if part not in self._exact
            )
            for node in self._guest_nodes
        ]
        self._names_places = bool(self._exact or wish.vcpus or wish.qos)
        # else the room for it is looked at with the choice
        self._only_binds_memory = MEMORY in self._exact and not any(
            node.memory_mib for node in self._guest_nodes
        )
        self._excludes_nodes = bool(self._exact or wish.near or isinstance(wish.numa_nodes, tuple))

    def place(self, inventory: Inventory) -> Fit:
        """Return the best placement on a host.

        :raises DoesNotFit: with every reason
        """
        wish = self.wish
        if self._names_places:
            problems = exact.problems(wish, self._size, inventory)
            # one more than are told, to know that there are more
            if reasons := list(itertools.islice(problems, MOST_REASONS + 1)):
                raise DoesNotFit(reasons)
        if self._only_binds_memory and (
            reasons := list(exact.memory_shortage(wish, self._size, inventory))
        ):
            raise DoesNotFit(reasons)
        placement = Placement(self._exact)
        demands = self._demands
        if self._excludes_nodes:
            allowed = _allowed(wish, placement, inventory)
            demands = [need._replace(nodes=need.nodes & allowed) for need in demands]
        device = None if wish.pci_device is None else _device_node(wish.pci_device, inventory)
        room = _room(wish, placement, inventory)
        host = inventory.host
        if host.isolated:
            room, seats, distance = _isolated_first(demands, host, room, device)
        else:
            seats, distance = seating.find(demands, host, room, device)
        memory: dict[int, dict[int, int]] = {}
        exclusive = _exclusive(wish, placement, inventory) if placement else 0
        used = fragments = 0
        for number, (node, seat) in enumerate(seats):
            choose, shared, _, memory_mib, _, _, emulator = demands[number]
            free = self._free[number]
            if shared:
                placement.update(dict.fromkeys(free, room.shared & node.cpus))
            elif choose or emulator:
                chosen = packing.select(
                    seat.packing, room.dedicated & node.cpus, emulator, wish.thread_policy
                )
                exclusive |= chosen.exclusive
                # as many as the guest node has; to have zip check that costs a fifth more
                placement.update(zip(free, chosen.vcpus))  # noqa: B905
                if emulator:
                    placement[EMULATOR] = chosen.emulator
                fragments += seat.packing.fragments
            if memory_mib:
                used |= 1 << node.id
                if seat.page_size:
                    memory[node.id] = {seat.page_size: memory_mib}
        if used:
            placement[MEMORY] = used
        if not wish.migrate:
            placement[MEMORY_AT_START] = placement.pop(MEMORY)
        if wish.emulator_policy == "share" and (
            shared := _shared_emulator(placement, inventory, exclusive, used)
        ):
            placement[EMULATOR] = shared
        nodes = tuple([node.id for node, _ in seats])
        return Fit(placement, exclusive, memory, nodes, Score(fragments, distance))


def _isolated_first(
    demands: Sequence[Demand], host: Host, room: Room, device: int | None
) -> tuple[Room, list[tuple[NumaNode, Seat]], int]:
    """Return `seating.find`'s answer, and the room that it was given.

    That is first the isolated pCPUs alone: shared instances cannot use these.
    """
    apart = room.dedicated & host.isolated
    if apart and apart != room.dedicated:
        narrow = dataclasses.replace(room, dedicated=apart)
        with contextlib.suppress(DoesNotFit):
            return narrow, *seating.find(demands, host, narrow, device)
    return room, *seating.find(demands, host, room, device)


def _device_node(address: str, inventory: Inventory) -> int | None:
    """Return the NUMA node that a PCI device is on, if it is on one."""
    node = inventory.devices.get(address)
    if node is None:
        text = f"the host has no PCI device {address}"
        raise DoesNotFit([Reason("pci_device", "pci_device_unknown", text)])
    return node if node >= 0 else None


def _allowed(wish: Wish, placement: Placement, inventory: Inventory) -> int:
    """Return the bitmask of the NUMA nodes that may be chosen."""
    allowed = inventory.host.node_ids
    if wish.memory_nodes is not None:
        allowed &= wish.memory_nodes
    if wish.near is not None:
        other = inventory.occupancy.get(wish.near)
        if other is None:
            text = f"instance {wish.near} is not on the host"
            raise DoesNotFit([Reason("near", "instance_elsewhere", text)])
        allowed &= other.nodes
    if wish.numa_nodes is None and (exact_cpus := placement.vcpu_cpus):
        # the chosen vCPUs stay with the exact ones
        allowed &= cpuset.from_members(
            node.id for node in inventory.host.nodes if node.cpus & exact_cpus
        )
    if isinstance(wish.numa_nodes, tuple):
        for number, guest in enumerate(wish.numa_nodes):
            if guest.host_node is not None and not inventory.host.node_ids >> guest.host_node & 1:
                field = f"numa_nodes.{number}.host_node"
                text = f"the host has no NUMA node {guest.host_node}"
                raise DoesNotFit([Reason(field, "numa_node_unknown", text)])
    return allowed


def _room(wish: Wish, placement: Placement, inventory: Inventory) -> Room:
    """Return what free choice may use: not what is exact, not the cores of avoided instances."""
    host = inventory.host
    if not placement and not wish.avoid:
        return Room(
            inventory.free_dedicated,
            inventory.free_shared & ~host.isolated,
            inventory.free_memory,
            wish.thread_policy,
        )
    taken = placement.cpus
    if taken and wish.thread_policy == "isolate":
        taken |= exact.whole_cores(host, placement.vcpu_cpus)
    avoided = 0
    for uuid in wish.avoid:
        if other := inventory.occupancy.get(uuid):
            avoided |= exact.whole_cores(host, other.cpus)
    return Room(
        inventory.free_dedicated & ~(taken | avoided),
        inventory.free_shared & ~(host.isolated | avoided),
        inventory.free_memory,
        wish.thread_policy,
    )


def _exclusive(wish: Wish, placement: Placement, inventory: Inventory) -> int:
    """Return the pCPUs that the exact vCPUs hold for themselves."""
    if wish.cpu_policy != "dedicated":
        return 0
    cpus = placement.vcpu_cpus
    if wish.thread_policy == "isolate":
        cpus |= exact.whole_cores(inventory.host, cpus)
    return cpus


@functools.cache
def _vcpu(number: int) -> Part:
    return Part("vcpu", number)


def _shared_emulator(placement: Placement, inventory: Inventory, exclusive: int, nodes: int) -> int:
    """Return where an emulator that shares runs: it never uses up a pCPU that may be claimed.

    That is on pCPUs which others share already, near the instance if there are such, or else
    where its own vCPUs run: on a single one of them if they are isolated. If these may run
    anywhere, so may the emulator, for which 0 stands.
    """
    host = inventory.host
    in_use = inventory.free_shared & ~(inventory.free_dedicated | exclusive | host.isolated)
    near = 0
    for node in host.nodes:
        if nodes >> node.id & 1:
            near |= node.cpus
    own = placement.vcpu_cpus
    return in_use & near or in_use or own & ~host.isolated or own & -own
