# SPDX-License-Identifier: Apache-2.0
"""A request's JSON body as a WSME type, strictly: nothing is guessed or coerced."""

import json
from typing import Any, ClassVar

import webob
from webob import exc
from wsme import types as wtypes

from kongming import exception


def read(request: webob.Request, datatype: type) -> Any:
    """Return the body as an instance of a WSME type.

    :raises BadRequest: naming the field that is malformed, unknown, read-only or missing
    """
    if request.content_type.lower() != "application/json":
        raise exc.HTTPUnsupportedMediaType("Content-Type: must be application/json")
    try:
        content = request.body
    except OSError as error:
        raise exception.BadRequest.field("body", f"ended early: {error}") from error
    try:
        data = json.loads(
            content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise exception.BadRequest.field("body", f"is not JSON: {reason[:200]}") from error
    return _convert(datatype, data, "")


def has(asked: Any, name: str) -> bool:
    """Whether a body has a field; the field may be unknown to the type at that version."""
    return getattr(asked, name, wtypes.Unset) is not wtypes.Unset


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("an object has the same key twice")
    return data


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _convert(datatype: Any, value: Any, path: str) -> Any:
    if isinstance(datatype, wtypes.DictType):
        _expect(dict, value, path)
        return {
            key: _convert(datatype.value_type, item, f"{path}.{key[:32]}")
            for key, item in value.items()
        }
    if wtypes.iscomplex(datatype):
        return _complex(datatype, value, path)
    if isinstance(datatype, wtypes.Enum):
        if not isinstance(value, str) or value not in datatype.values:
            allowed = ", ".join(sorted(map(str, datatype.values)))
            raise exception.BadRequest.field(path, f"must be one of {allowed}")
        return value
    if wtypes.isusertype(datatype):
        return datatype.read(value, path)
    _expect(datatype, value, path)
    return value


def _complex(datatype: Any, value: Any, path: str) -> Any:
    _expect(dict, value, path)
    result = datatype()
    prefix = f"{path}." if path else ""
    attributes = {attribute.name: attribute for attribute in wtypes.list_attributes(datatype)}
    for key in value:
        if key not in attributes:
            raise exception.BadRequest.field(f"{prefix}{key[:64]}", "unknown field")
    for name, attribute in attributes.items():
        if name not in value:
            if attribute.mandatory:
                raise exception.BadRequest.field(f"{prefix}{name}", "is missing")
        elif attribute.readonly:
            raise exception.BadRequest.field(f"{prefix}{name}", "is read-only")
        else:
            converted = _convert(attribute.datatype, value[name], f"{prefix}{name}")
            setattr(result, attribute.key, converted)
    return result


class Identifier(wtypes.UserType):
    """The id of something of another service: what a column for ids can hold."""

    basetype = str
    name = "identifier"
    schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "description": "printable characters",
        "minLength": 1,
        "maxLength": 255,
    }

    def read(self, value: Any, path: str) -> str:
        """Return the id.

        :raises BadRequest: it is none
        """
        if not (isinstance(value, str) and 0 < len(value) < 256 and value.isprintable()):
            raise exception.BadRequest.field(path, "must be 1 to 255 printable characters")
        return value


_NAMES = {dict: "an object", str: "a string", int: "an integer", bool: "true or false"}


def _expect(kind: type, value: Any, path: str) -> None:
    # True is an int to Python, not to JSON
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise exception.BadRequest.field(path or "body", f"must be {_NAMES[kind]}")
