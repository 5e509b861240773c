# SPDX-License-Identifier: Apache-2.0
"""Checks of single arguments that come over RPC, and of fields of objects among them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kongming import exception
from kongming.objects.base import KongMingObject, is_uuid
from kongming.rpc import Unreadable

Object = TypeVar("Object", bound=KongMingObject)
#: Returns the value of an argument or field that has the name, or raises BadRequest.
Check = Callable[[str, Any], Any]

#: What a column for integers can hold.
HIGHEST = 2**31 - 1


def wrong(field: str, reason: str) -> exception.BadRequest:
    """Return the error for an argument or field."""
    return exception.BadRequest.field(field, reason)


def uuid(field: str, value: Any) -> str:
    """Insist on a UUID in its one form."""
    if not is_uuid(value):
        raise wrong(field, "must be a UUID")
    return str(value)


def identifier(field: str, value: Any) -> str:
    """Insist on the id of something, or the name of a host."""
    if not (isinstance(value, str) and 0 < len(value) < 256 and value.isprintable()):
        raise wrong(field, "must be 1 to 255 printable characters")
    return value


def integer(low: int, high: int) -> Check:
    """Return the check for an integer between two others."""

    def check(field: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise wrong(field, f"must be an integer from {low} to {high}")
        return value

    return check


def fields(field: str, value: Any, kind: type[Object], checks: Mapping[str, Check]) -> Object:
    """Insist on an object of some kind of which these fields are set and pass their checks."""
    if not isinstance(value, kind):
        reason = f": {value.reason}" if isinstance(value, Unreadable) else ""
        raise wrong(field, f"is none{reason}")
    for name, check in checks.items():
        if not value.obj_attr_is_set(name):
            raise wrong(f"{field}.{name}", "is missing")
        # that a field must not be None, the object itself insists on
        if (found := getattr(value, name)) is not None:
            check(f"{field}.{name}", found)
    return value


def anything(field: str, value: Any) -> Any:
    """Let a field through whose type says enough, or which is bound to others."""
    return value
