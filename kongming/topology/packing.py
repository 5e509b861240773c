# SPDX-License-Identifier: Apache-2.0
"""Which pCPUs of one NUMA node a guest node with dedicated vCPUs takes.

A core is *whole* while all its siblings are free, *used up* when none is, else *partly used*.
Of all ways that a thread policy allows, a packing leaves the fewest partly used cores; this
is exact for any number of siblings. It takes time linear in the pCPUs that it selects and in
the kinds of cores, not in the cores.

- ``prefer``: any free pCPU will do.
- ``require``: vCPUs use only cores of which at least two siblings are free, and fill these
  so that at most one vCPU of the guest node has no sibling beside it.
- ``isolate``: each vCPU has a whole core, whose other siblings are claimed and stay empty.

The pCPU of an isolated emulator is one more free pCPU of the same node; under ``isolate`` not
on a core of a vCPU.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from kongming.topology.cores import CoreGroup, lowest


# None of these is frozen or a tuple: they are made for every node of every host that is asked
# about, and a plain object with slots is what Python makes fastest.
@dataclasses.dataclass(slots=True)
class Bucket:
    """The cores of one group that have the same number of free siblings."""

    free: int
    size: int
    cores: int
    firsts: int
    group: CoreGroup


#: Take some free siblings (the last number) from each of so many cores of a bucket.
Take = tuple[Bucket, int, int]


@dataclasses.dataclass(slots=True)
class Packing:
    """What to take for the vCPUs, and for the emulator if that is not the last of these.

    ``fragments`` is by how much the number of partly used cores grows; it can be negative.
    ``emulator`` is the bucket that gives the emulator a pCPU, of its last core.
    """

    fragments: int
    takes: list[Take]
    emulator: Bucket | None = None


@dataclasses.dataclass(slots=True)
class Selection:
    """The pCPUs of a packing: one bit for each vCPU, the emulator's, and all that it claims."""

    vcpus: list[int]
    emulator: int
    exclusive: int


def pack(
    groups: Iterable[CoreGroup], free: int, vcpus: int, emulator: bool, policy: str
) -> Packing | None:
    """Return the packing of ``vcpus`` vCPUs into the free pCPUs of a node, None if none fits."""
    partly: list[Bucket] = []
    entire: list[Bucket] = []
    for group in groups:
        size = len(group.offsets)
        for number, firsts in enumerate(group.with_free(free), 1):
            if firsts:
                bucket = Bucket(number, size, firsts.bit_count(), firsts, group)
                (partly if number < size else entire).append(bucket)
    if len(partly) > 1:
        partly.sort(key=_order)
    if len(entire) > 1:
        entire.sort(key=_order)
    if policy == "isolate":
        return _isolate(partly, entire, vcpus, emulator)
    if policy == "require":
        return _require(partly, entire, vcpus, emulator)
    return _fill(partly, entire, vcpus + emulator)


def _order(bucket: Bucket) -> tuple[int, int, int, int]:
    return bucket.free, bucket.size, bucket.cores, bucket.firsts


def select(packing: Packing, free: int, emulator: bool, policy: str) -> Selection:
    """Return the pCPUs of a packing, neighbours in the list being siblings where they can."""
    chosen: list[int] = []
    exclusive = 0
    for bucket, cores, threads in packing.takes:
        group = bucket.group
        firsts, others = lowest(bucket.firsts, cores)
        if policy == "isolate":
            chosen += firsts
            exclusive |= group.siblings(bucket.firsts ^ others)
        elif threads == bucket.size:
            chosen += [first << offset for first in firsts for offset in group.offsets]
            exclusive |= group.siblings(bucket.firsts ^ others)
        else:
            for first in firsts:
                siblings = [first << offset for offset in group.offsets]
                some = [cpu for cpu in siblings if cpu & free][:threads]
                chosen += some
                exclusive |= sum(some)
    own = 0
    if packing.emulator is not None:
        # an isolated vCPU may have taken the lowest cores of the same bucket
        first = 1 << packing.emulator.firsts.bit_length() - 1
        siblings_free = packing.emulator.group.siblings(first) & free
        own = siblings_free & -siblings_free
    elif emulator:
        own = chosen.pop()
    return Selection(chosen, own, exclusive | own)


def _fill(partly: Sequence[Bucket], entire: Sequence[Bucket], threads: int) -> Packing | None:
    """Use partly used cores up, those with the fewest free siblings first, then whole cores.

    Each core used up is one fragment less, and costs least where little of it is free; so no
    other choice uses up more of them. Only if that consumes them all, whole cores are needed,
    and one must be broken if no number of whole cores makes up the rest.
    """
    fragments = 0
    takes: list[Take] = []
    for bucket in partly:
        if not threads:
            break
        cores = min(threads // bucket.free, bucket.cores)
        if cores:
            takes.append((bucket, cores, bucket.free))
            fragments -= cores
            threads -= cores * bucket.free
        if threads and cores < bucket.cores:
            takes.append(_next(bucket, cores, threads))
            threads = 0
    if not threads:
        return Packing(fragments, takes)
    if len(entire) == 1:
        return _fill_alike(entire[0], threads, fragments, takes)
    if threads > sum([bucket.size * bucket.cores for bucket in entire]):
        return None
    numbers = _whole_cores(entire, threads)
    for bucket, cores in zip(entire, numbers, strict=True):
        if cores:
            takes.append((bucket, cores, bucket.size))
            threads -= cores * bucket.size
    if threads:
        fragments += 1
        takes.append(_broken(entire, numbers, threads))
    return Packing(fragments, takes)


def _fill_alike(bucket: Bucket, threads: int, fragments: int, takes: list[Take]) -> Packing | None:
    """Finish `_fill` where all whole cores are of one size, as on most hosts."""
    cores, rest = divmod(threads, bucket.size)
    if cores + bool(rest) > bucket.cores:
        return None
    if cores:
        takes.append((bucket, cores, bucket.size))
    if rest:
        fragments += 1
        takes.append(_next(bucket, cores, rest))
    return Packing(fragments, takes)


def _next(bucket: Bucket, skip: int, threads: int) -> Take:
    """Take some threads of the first core of a bucket after those already taken."""
    _, firsts = lowest(bucket.firsts, skip)
    rest = Bucket(bucket.free, bucket.size, bucket.cores - skip, firsts, bucket.group)
    return rest, 1, threads


def _whole_cores(entire: Sequence[Bucket], threads: int) -> list[int]:
    """Return how many cores of each bucket are used up by ``threads``.

    They make up all of it if any choice does; else what is left over is fewer threads than
    some unused core has.
    """
    # sums[i]: bitmask of the numbers of threads that the buckets from i on can make up
    sums = [1]
    for bucket in reversed(entire):
        reach = 0
        for cores in range(bucket.cores + 1):
            reach |= sums[-1] << cores * bucket.size
        sums.append(reach)
    sums.reverse()
    if sums[0] >> threads & 1:
        numbers = []
        for bucket, reach in zip(entire, sums[1:], strict=True):
            cores = min(bucket.cores, threads // bucket.size)
            while not reach >> (threads - cores * bucket.size) & 1:
                cores -= 1
            numbers.append(cores)
            threads -= cores * bucket.size
        return numbers
    counts: list[int] = []
    for bucket in reversed(entire):
        counts.append(min(bucket.cores, threads // bucket.size))
        threads -= counts[-1] * bucket.size
    return counts[::-1]


def _broken(entire: Sequence[Bucket], numbers: Sequence[int], threads: int) -> Take:
    for bucket, cores in zip(entire, numbers, strict=True):
        if cores < bucket.cores and threads < bucket.size:
            return _next(bucket, cores, threads)
    raise AssertionError("whole cores have room for the rest")


def _require(
    partly: Sequence[Bucket], entire: Sequence[Bucket], vcpus: int, emulator: bool
) -> Packing | None:
    some = [bucket for bucket in partly if bucket.free > 1]
    threaded = [bucket for bucket in entire if bucket.size > 1]
    alone = _fill(some, threaded, vcpus)
    if alone is None or not emulator:
        return alone
    # one thread more ends at most one fragment: the last free sibling of a core always does
    if len(some) < len(partly):
        return Packing(alone.fragments - 1, alone.takes, partly[0])
    together = _fill(some, threaded, vcpus + 1)
    if len(threaded) < len(entire) and (together is None or alone.fragments <= together.fragments):
        return Packing(alone.fragments, alone.takes, entire[0])
    return together


def _isolate(
    partly: Sequence[Bucket], entire: Sequence[Bucket], vcpus: int, emulator: bool
) -> Packing | None:
    spare = sum([bucket.cores for bucket in entire]) - vcpus
    if spare < 0:
        return None
    own: Bucket | None = None
    fragments = 0
    if emulator and partly:
        own, fragments = partly[0], -(partly[0].free == 1)
    elif emulator and spare:
        own = entire[0] if entire[0].size == 1 else entire[-1]
        fragments = int(own.size > 1)
    elif emulator:
        return None
    takes = []
    # small cores first: fewer pCPUs stay empty
    for bucket in entire:
        room = bucket.cores - (own is bucket)
        if cores := min(room, vcpus):
            takes.append((bucket, cores, 1))
            vcpus -= cores
    return Packing(fragments, takes, own)


def whole_cores(groups: Iterable[CoreGroup], free: int) -> int:
    """Return how many cores have all their siblings free."""
    return sum(group.with_free(free)[-1].bit_count() for group in groups)


def with_siblings(groups: Iterable[CoreGroup], free: int) -> int:
    """Return how many free pCPUs are on a core with another free one."""
    return sum(
        number * firsts.bit_count()
        for group in groups
        for number, firsts in enumerate(group.with_free(free), 1)
        if number > 1
    )
