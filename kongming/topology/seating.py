# SPDX-License-Identifier: Apache-2.0
"""Which NUMA node of the host each guest node gets, and why there is none for it."""

from collections.abc import Sequence

from kongming.topology import assignment, cpuset
from kongming.topology.answer import DoesNotFit, Reason
from kongming.topology.demand import Demand
from kongming.topology.host import Host, NumaNode
from kongming.topology.room import Room, Seat

#: The gain of using the NUMA node of the PCI device; no number of fragments comes near.
_AT_DEVICE = 1 << 20

Table = Sequence[Sequence[Seat | None]]


def find(
    demands: Sequence[Demand], host: Host, room: Room, device: int | None
) -> tuple[list[tuple[NumaNode, Seat]], int]:
    """Return node and seat of each guest node, and the sum of distances between the nodes.

    :param device: id of a NUMA node that must be among those used
    :raises DoesNotFit: a guest node fits nowhere, or they do not all fit at once
    """
    nodes = host.nodes
    if len(demands) == 1:
        return [_single(demands[0], nodes, room, device)], 0
    if not demands:
        return [], 0
    if len(demands) > len(nodes):
        text = f"{len(demands)} guest nodes need as many NUMA nodes, the host has {len(nodes)}"
        raise DoesNotFit([Reason("numa_nodes", "nodes_short", text)])
    # equal guest nodes fit alike
    rows: dict[Demand, list[Seat | None]] = {}
    for demand in demands:
        if demand not in rows:
            rows[demand] = room.seats(demand, nodes)
    table = [rows[demand] for demand in demands]
    at_device = None
    if device is not None:
        at_device = next((at for at, node in enumerate(nodes) if node.id == device), None)
    if not any(assignment.crowded(assignment.options(table))):
        columns, distance = _several(table, host.distances, at_device)
        if device is None or at_device in columns:
            found = []
            for row, column in zip(table, columns, strict=True):
                seat = row[column]
                assert seat is not None  # nosec B101 # for mypy
                found.append((nodes[column], seat))
            return found, distance
    raise DoesNotFit(_reasons(demands, table, nodes, room, device))


def _single(
    demand: Demand, nodes: Sequence[NumaNode], room: Room, device: int | None
) -> tuple[NumaNode, Seat]:
    """Seat the only guest node: this is `find` for the usual case, fast."""
    row = room.seats(demand, nodes)
    if not any(row):
        raise DoesNotFit(room.shortages(demand, nodes, ""))
    best: Seat | None = None
    for node, seat in zip(nodes, row, strict=True):
        if (
            seat is not None
            and (device is None or node.id == device)
            and (best is None or seat.packing.fragments < best.packing.fragments)
        ):
            best, its = seat, node
    if best is None:
        near = [node for node in nodes if node.id == device]
        raise DoesNotFit([_device_node_full(device), *room.shortages(demand, near, "")])
    return its, best


def _several(
    table: Table, distances: Sequence[Sequence[int]], device: int | None
) -> tuple[list[int], int]:
    costs = [[None if seat is None else seat.packing.fragments for seat in row] for row in table]
    if device is not None:
        for row in costs:
            if (cost := row[device]) is not None:
                row[device] = cost - _AT_DEVICE
    rows_of, needed = assignment.cheapest(costs)
    column_of = assignment.nearest(rows_of, needed, len(table), distances)
    columns = [column_of[row] for row in range(len(table))]
    return columns, assignment.pairs(columns, distances)


def _device_node_full(device: int | None) -> Reason:
    text = f"no guest node can be on NUMA node {device}, where the device is"
    return Reason("pci_device", "device_node_full", text)


def _reasons(
    demands: Sequence[Demand],
    table: Table,
    nodes: Sequence[NumaNode],
    room: Room,
    device: int | None,
) -> list[Reason]:
    reasons = []
    options = assignment.options(table)
    # every guest node that fits nowhere is told of, before those that only stand in each
    # other's way
    rows = cpuset.from_members(row for row, mask in enumerate(options) if not mask)
    if not rows:
        rows, columns = assignment.crowded(options)
        if rows:
            text = (
                f"guest nodes {cpuset.to_text(rows)} need {rows.bit_count()} NUMA nodes; those"
                f" with room for them are {_names(nodes, columns)}:"
                f" {rows.bit_count() - columns.bit_count()} short"
            )
            reasons.append(Reason("numa_nodes", "nodes_short", text))
        else:
            reasons.append(_device_node_full(device))
            rows = (1 << len(demands)) - 1
            nodes = [node for node in nodes if node.id == device]
    told: set[Demand] = set()
    for row in cpuset.members(rows):
        demand = demands[row]
        if demand not in told:
            told.add(demand)
            reasons += room.shortages(demand, nodes, f"numa_nodes.{row}.")
    return reasons


def _names(nodes: Sequence[NumaNode], columns: int) -> str:
    return cpuset.to_text(cpuset.from_members(nodes[at].id for at in cpuset.members(columns)))
