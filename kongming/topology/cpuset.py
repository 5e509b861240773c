# SPDX-License-Identifier: Apache-2.0
"""Sets of CPUs (or NUMA nodes) as integer bitmasks, and their text form ``0-3,^2,8``."""

import functools
from collections.abc import Iterable, Iterator

#: Highest CPU number that text may name: Linux on x86-64 is built for at most
#: 8192 CPUs (CONFIG_NR_CPUS with MAXSMP). It bounds what one request can cost.
MAX_NUMBER = 8191
_MAX_TEXT = 65536


class CpuSetError(ValueError):
    """The text is not a CPU set; the message says which part and why."""


def parse(text: str) -> int:
    """Return the bitmask that ``text`` describes.

    Numbers and ranges are separated by commas; ``^`` excludes a number or range
    wherever it stands; white space around the parts is ignored.

    :raises CpuSetError: not of that form, a number above MAX_NUMBER, or an empty set
    """
    if len(text) > _MAX_TEXT:
        raise CpuSetError(f"longer than {_MAX_TEXT} characters")
    included = excluded = 0
    for part in text.split(","):
        token = part.strip()
        if token.startswith("^"):
            excluded |= _range(token[1:].strip(), token)
        else:
            included |= _range(token, token)
    mask = included & ~excluded
    if not mask:
        raise CpuSetError("the set is empty")
    return mask


# the same few sets are written again and again: an answer about a fleet has a text for each vCPU
@functools.lru_cache(maxsize=16384)
def to_text(mask: int) -> str:
    """Return the shortest text form of a bitmask, ascending: ``0-3,8``; ``""`` if empty."""
    parts = []
    while mask:
        first = (mask & -mask).bit_length() - 1
        run = mask >> first
        length = (~run & (run + 1)).bit_length() - 1
        parts.append(str(first) if length == 1 else f"{first}-{first + length - 1}")
        mask = run >> length << (first + length)
    return ",".join(parts)


def members(mask: int) -> Iterator[int]:
    """Yield the numbers in a bitmask, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def from_members(numbers: Iterable[int]) -> int:
    """Return the bitmask of some non-negative numbers."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def _range(text: str, token: str) -> int:
    first, dash, last = (piece.strip() for piece in text.partition("-"))
    low = _number(first, token)
    high = _number(last, token) if dash else low
    if high < low:
        raise CpuSetError(f"'{token[:32]}' is a range that runs backwards")
    return (1 << (high + 1)) - (1 << low)


def _number(text: str, token: str) -> int:
    # str.isdigit alone would let other scripts' digits through
    if not (text.isascii() and text.isdigit()):
        raise CpuSetError(f"'{token[:32]}' is neither a number nor a range")
    if len(text) > 6 or int(text) > MAX_NUMBER:
        raise CpuSetError(f"'{token[:32]}' is above {MAX_NUMBER}")
    return int(text)
