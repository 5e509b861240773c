# SPDX-License-Identifier: Apache-2.0
"""Where an answer leads: the links of the description of the API.

Keys in paths are named after what they are of, such as ``template_id``. An answer leads wherever
each key of the path is in it, or was in the path of the request itself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_REFERENCE = "#/components/schemas/"
#: A schema by its name.
Named = Mapping[str, Mapping[str, Any]]


def add(paths: Mapping[str, Mapping[str, Any]], named: Named) -> None:
    """Add the links to the answers of all operations.

    :param paths: as OpenAPI has them
    :param named: what their schemas refer to
    """
    operations = [told for methods in paths.values() for told in methods.values()]
    for told in operations:
        answer = next(iter(told["responses"].values()))
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        known = {key: f"$request.path.{key}" for key in _keys(told)}
        if shown := _name(schema):
            pointers = list(_pointers(shown, named))
            # the nearest is meant
            known |= {key: f"$response.body#{pointer}" for key, pointer in reversed(pointers)}
        links = {
            other["operationId"]: {
                "operationId": other["operationId"],
                "parameters": {key: known[key] for key in keys},
            }
            for other in operations
            if (keys := _keys(other)) and known.keys() >= set(keys)
        }
        if links:
            answer["links"] = links


def _keys(told: Mapping[str, Any]) -> list[str]:
    return [parameter["name"] for parameter in told["parameters"] if parameter["in"] == "path"]


def _pointers(shown: str, named: Named) -> Iterator[tuple[str, str]]:
    """Yield each key that an answer of some type may have, and where in it; the nearest first."""
    fields: Mapping[str, Any] = named[shown].get("properties", {})
    noun = shown.rpartition(".")[2].lower()
    parts, lists = [], []
    for field, schema in fields.items():
        if (part := _name(schema)) is not None:
            parts.append((field, part))
        elif (item := _name(_some(schema).get("items", {}))) is not None:
            lists.append((field, item))
        else:
            # an instance's uuid is an instance_uuid, and that is a uuid; a host is its name
            for key in (field, f"{noun}_{field}", field.rpartition("_")[2], f"{field}_name"):
                yield key, f"/{field}"
    for field, part in parts:
        for inner in named[part].get("properties", {}):
            yield f"{field}_{inner}", f"/{field}/{inner}"
    for field, item in lists:
        for key, pointer in _pointers(item, named):
            yield key, f"/{field}/0{pointer}"


def _some(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of what may also be null."""
    options: Any = schema.get("anyOf", [schema])
    found: Mapping[str, Any] = options[0]
    return found


def _name(schema: Mapping[str, Any]) -> str | None:
    """Return the name of the type to which a schema refers, if it does."""
    name: str = _some(schema).get("$ref", "").removeprefix(_REFERENCE)
    return name or None
