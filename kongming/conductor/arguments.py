# SPDX-License-Identifier: Apache-2.0
"""What callers over RPC say, checked: not only the API can publish to the broker."""

import uuid as uuidlib
from collections.abc import Mapping
from typing import Any

from kongming import exception
from kongming.db.quotas import RESOURCES, UNLIMITED
from kongming.topology import layout
from kongming.topology.answer import Size
from kongming.topology.wish import Wish, WishError

_HIGHEST = 2**31 - 1


def instance(value: Any) -> str:
    """Return the uuid of an instance.

    :raises BadRequest: it is none in its one form
    """
    try:
        if isinstance(value, str) and str(uuidlib.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise exception.BadRequest.field("instance_uuid", "must be a UUID")


def size(value: Any) -> Size:
    """Return the size that a mapping describes.

    :raises BadRequest: it describes none
    """
    try:
        found = Size(value["vcpus"], value["memory_mib"], tuple(value["iothreads"]))
    except (LookupError, TypeError) as error:
        raise exception.BadRequest.field(
            "size", "must have vcpus, memory_mib, iothreads"
        ) from error
    _integer("size.vcpus", found.vcpus, 1, layout.MAX_VCPUS)
    _integer("size.memory_mib", found.memory_mib, 1, layout.MAX_MEMORY_MIB)
    for number in found.iothreads:
        _integer("size.iothreads", number, 1, layout.MAX_VCPUS)
    return found


def wish(value: Any) -> Wish:
    """Return the wish that a mapping describes.

    :raises BadRequest: it describes none
    """
    try:
        return Wish.from_dict(value)
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise exception.BadRequest.field("wish", "is none") from error


def fields(value: Any, template_id: str | None) -> Mapping[str, Any]:
    """Return the fields of a wish, or those that differ from a template's.

    :raises BadRequest: they are none
    """
    if not isinstance(value, Mapping):
        raise exception.BadRequest.field("wish", "is none")
    if template_id is None:
        wish(value)
    return value


def limits(value: Any) -> Mapping[str, int]:
    """Return limits by resource.

    :raises BadRequest: they are none
    """
    if not isinstance(value, Mapping) or not set(value) <= set(RESOURCES):
        raise exception.BadRequest.field("limits", f"must be of {', '.join(RESOURCES)}")
    for name, limit in value.items():
        _integer(name, limit, UNLIMITED, _HIGHEST)
    return value


def _integer(field: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise exception.BadRequest.field(field, f"must be an integer from {low} to {high}")
