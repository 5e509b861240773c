# SPDX-License-Identifier: Apache-2.0
"""Fields of a wish checked for their form: each function returns the value or names the field."""

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from kongming.topology import cpuset

#: Page sizes that a wish may name, in KiB, and the words for a choice among those of a host:
#: ``large`` is any but the smallest.
PAGE_SIZES = (4, 2048, 1048576)
PAGE_WORDS = ("any", "large")
#: How many instances a wish may keep away from.
MAX_AVOID = 256
#: What a wish asks of the page size: KiB, a word, or nothing.
PageSize = int | str | None

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class WishError(ValueError):
    """A field of a wish is malformed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def mask(field: str, text: Any) -> int:
    """Return the bitmask that a CPU set's text describes."""
    if not isinstance(text, str):
        raise WishError(field, "must be a CPU set such as 0-3,8")
    try:
        return cpuset.parse(text)
    except cpuset.CpuSetError as error:
        raise WishError(field, str(error)) from error


def numbered(field: str, data: Mapping[str, str]) -> dict[int, int]:
    """Return ``{number: bitmask}`` of a mapping whose keys are sets of numbers."""
    masks: dict[int, int] = {}
    for key, text in data.items():
        where = f"{field}.{key[:32]}"
        cpus = mask(where, text)
        for number in cpuset.members(mask(where, key)):
            if number in masks:
                raise WishError(where, f"{number} is named twice")
            masks[number] = cpus
    return masks


def integer(field: str, value: Any, low: int, high: int) -> int:
    """Return ``value``, an integer from ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise WishError(field, f"must be an integer from {low} to {high}")
    return value


def choice(field: str, value: Any, choices: Iterable[str]) -> str:
    """Return ``value``, one of some words."""
    for word in choices:
        if value == word:
            return word
    raise WishError(field, f"must be one of {', '.join(choices)}")


def page_size(field: str, value: Any) -> PageSize:
    """Return a page size in KiB or the word for it; None if there is none."""
    known: tuple[object, ...] = (None, *PAGE_SIZES, *PAGE_WORDS)
    if isinstance(value, (int, str, type(None))) and value in known and value is not True:
        return value
    raise WishError(field, f"must be one of {', '.join(map(str, known[1:]))}")


def instance(field: str, value: Any) -> str:
    """Return the uuid of an instance as Nova writes it."""
    try:
        return str(uuid.UUID(value))
    except (AttributeError, TypeError, ValueError) as error:
        raise WishError(field, "must be the uuid of an instance") from error


def pci_address(field: str, value: Any) -> str:
    """Return the address of a PCI device in lower case: ``0000:3b:00.1``."""
    if isinstance(value, str) and _PCI_ADDRESS.fullmatch(value.lower()):
        return value.lower()
    raise WishError(field, "must be the address of a PCI device such as 0000:3b:00.1")
