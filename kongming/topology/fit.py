# SPDX-License-Identifier: Apache-2.0
"""Does a wish fit an instance and a host, and which placement does it become?"""

import dataclasses
from collections.abc import Iterator

from kongming.topology import cpuset
from kongming.topology.host import Host
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.wish import EVERY, Wish


@dataclasses.dataclass(frozen=True)
class Size:
    """How large an instance is; ``iothreads`` are the ids of its I/O threads."""

    vcpus: int
    memory_mib: int
    iothreads: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a wish does not fit: the field of the wish, a stable code, a sentence."""

    field: str
    code: str
    detail: str


class DoesNotFit(ValueError):
    """The wish cannot be had on this host; ``reasons`` is never empty."""

    def __init__(self, reasons: list[Reason]) -> None:
        super().__init__("; ".join(f"{reason.field}: {reason.detail}" for reason in reasons))
        self.reasons = reasons


def place(wish: Wish, size: Size, host: Host) -> Placement:
    """Return the placement that ``wish`` asks for.

    :raises DoesNotFit: with every reason, when the instance lacks a part that the wish
        names or the host lacks (or has offline) a place for it
    """
    reasons = [*_missing_parts(wish, size), *_missing_places(wish, host)]
    if reasons:
        raise DoesNotFit(reasons)
    placement = Placement()
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
    return placement


def _missing_parts(wish: Wish, size: Size) -> Iterator[Reason]:
    for number in sorted(wish.vcpus):
        if number >= size.vcpus:
            yield Reason(
                f"vcpus.{number}",
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


def _missing_places(wish: Wish, host: Host) -> Iterator[Reason]:
    asked: list[tuple[str, int]] = [(f"vcpus.{n}", mask) for n, mask in sorted(wish.vcpus.items())]
    if wish.every_vcpu is not None:
        asked.append((f"vcpus.{EVERY}", wish.every_vcpu))
    if wish.emulator is not None:
        asked.append(("emulator", wish.emulator))
    asked += [(f"iothreads.{n}", mask) for n, mask in sorted(wish.iothreads.items())]
    for field, mask in asked:
        if offline := mask & host.offline:
            yield Reason(field, "pcpu_offline", f"pCPU {cpuset.to_text(offline)} is offline")
        if absent := mask & ~host.offline & ~host.online:
            yield Reason(field, "pcpu_unknown", f"the host has no pCPU {cpuset.to_text(absent)}")
        if unmanaged := mask & host.online & host.unmanaged:
            yield Reason(
                field,
                "pcpu_unmanaged",
                f"pCPU {cpuset.to_text(unmanaged)} is not among those that the host offers",
            )
    if wish.memory_nodes is not None and (absent := wish.memory_nodes & ~host.node_ids):
        yield Reason(
            "memory.nodes",
            "numa_node_unknown",
            f"the host has no NUMA node {cpuset.to_text(absent)}",
        )
