# SPDX-License-Identifier: Apache-2.0
"""The mappings of a QEMU process that are memory, and the NUMA nodes where their pages are.

The format of numa_maps is that of the kernel's admin-guide/mm/numa_memory_policy.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

_PAGES = re.compile(r" N(\d+)=(\d+)")
_PAGE_KIB = re.compile(r" kernelpagesize_kB=(\d+)")
_SMAPS = re.compile(
    r"^(?:([0-9a-f]+)-([0-9a-f]+) |(?:AnonHugePages|ShmemPmdMapped|FilePmdMapped): +[1-9])",
    re.MULTILINE,
)
# Mappings of a file are the binary and its libraries, unless the file is one of these.
_MEMORY_FILE = re.compile(r" file=(/memfd:|/dev/zero|/dev/shm/|\S*/libvirt/qemu/)| huge( |$)")


@dataclasses.dataclass(frozen=True)
class Region:
    """One mapping; ``start`` is its address, ``pages`` its pages of ``page_kib`` by node."""

    start: int
    policy: str
    page_kib: int
    pages: Mapping[int, int]


def parse(text: str) -> Iterator[Region]:
    """Yield the mappings in ``/proc/PID/numa_maps`` that have pages of memory.

    They are the guest's memory plus QEMU's own heap, without binaries and libraries.
    """
    for line in text.splitlines():
        size = _PAGE_KIB.search(line)
        if size and (" file=" not in line or _MEMORY_FILE.search(line)):
            start, policy, _ = line.split(" ", 2)
            pages = {int(node): int(count) for node, count in _PAGES.findall(line)}
            yield Region(int(start, 16), policy, int(size[1]), pages)


def residency(mappings: Iterable[Region]) -> dict[int, dict[int, int]]:
    """Return how much memory mappings have: ``{page size in KiB: {node: MiB}}``."""
    kib: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for mapping in mappings:
        for node, count in mapping.pages.items():
            kib[mapping.page_kib][node] += count * mapping.page_kib
    return {
        size: {node: total // 1024 for node, total in nodes.items()} for size, nodes in kib.items()
    }


def extents(text: str) -> dict[int, tuple[int, bool]]:
    """Return of each mapping in ``/proc/PID/smaps``, by start, its end and whether it has
    transparent huge pages, which numa_maps does not tell.
    """
    found = {}
    start = 0
    for line in _SMAPS.finditer(text):
        if line[1]:
            start = int(line[1], 16)
            found[start] = int(line[2], 16), False
        else:
            found[start] = found[start][0], True
    return found
