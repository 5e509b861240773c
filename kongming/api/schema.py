# SPDX-License-Identifier: Apache-2.0
"""WSME types as JSON Schema: the bodies that are read strictly, the answers that are given.

In a body a field that is not mandatory may be absent, but not null. In an answer a mandatory
field is always there, and any other may be absent or null.
"""

from collections.abc import Mapping
from typing import Any

from wsme import types as wtypes

_SCALARS = {str: "string", int: "integer", bool: "boolean", float: "number"}


class Schemas:
    """The schemas of the types of one version, by name; a type enters when it is first met."""

    def __init__(self, version: Any) -> None:
        self._version = version
        self.named: dict[str, dict[str, Any]] = {}
        self._types: dict[str, type] = {}

    def of(self, datatype: Any, body: bool) -> dict[str, Any]:
        """Return the schema of a type, or a reference to it.

        :param body: the type is that of a request's body or of a part of one
        """
        if wtypes.isarray(datatype):
            return {"type": "array", "items": self.of(datatype.item_type, body)}
        if wtypes.isdict(datatype):
            values = self.of(datatype.value_type, body)
            return {"type": "object", "additionalProperties": values}
        if isinstance(datatype, wtypes.Enum):
            return {"type": "string", "enum": sorted(datatype.values)}
        if wtypes.isusertype(datatype):
            return dict(datatype.schema)
        if wtypes.iscomplex(datatype):
            return self._reference(datatype, body)
        if datatype is dict:
            return {"type": "object"}
        return {"type": _SCALARS[datatype]}

    def _reference(self, datatype: Any, body: bool) -> dict[str, Any]:
        module = datatype.__module__.rpartition(".")[2]
        name = f"{module}.{datatype.__name__}{'.body' if body else ''}"
        if self._types.setdefault(name, datatype) is not datatype:
            raise ValueError(f"two types have the name {name}")
        if name not in self.named:
            self.named[name] = {}
            self.named[name].update(self._complex(datatype, body))
        return {"$ref": f"#/components/schemas/{name}"}

    def _complex(self, datatype: Any, body: bool) -> dict[str, Any]:
        grammar: Mapping[str, Any] = getattr(datatype, "_grammar", {})
        since: Mapping[str, Any] = getattr(datatype, "_since", {}) if body else {}
        properties: dict[str, Any] = {}
        required = []
        for attribute in wtypes.list_attributes(datatype):
            name = attribute.name
            if since.get(name, self._version) > self._version:
                continue
            found = grammar.get(name) or self.of(attribute.datatype, body)
            if attribute.mandatory:
                required.append(name)
            elif not body and found:
                found = {"anyOf": [found, {"type": "null"}]}
            properties[name] = found
        schema = {
            "type": "object",
            "description": " ".join((datatype.__doc__ or "").split()),
            "properties": properties,
            "additionalProperties": False,
        }
        shape = getattr(datatype, "_shape", {}) if body else {}
        return schema | shape | ({"required": required} if required else {})
