# SPDX-License-Identifier: Apache-2.0
"""What the scheduler hint ``resource_pin`` means, and the wish in a pin as the API shows it."""

import dataclasses
import json
import uuid
from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset

NAME = "resource_pin"
_FORMS = "a CPU set such as 0-3,^2,8, a JSON object, template:NAME or pin:UUID"
#: What a pin shows beside its wish.
_NOT_WISHED = frozenset(
    (
        *("instance_uuid", "project_id", "user_id", "host", "generation", "status", "reason"),
        *("placement", "move", "template", "overrides", "created_at", "updated_at", "links"),
    )
)


class HintError(ValueError):
    """The hint has none of its forms; the message names the hint and what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{NAME}: {reason}")


@dataclasses.dataclass(frozen=True)
class PinOf:
    """The wish shall be that of the pin of this instance."""

    instance_uuid: str


def parse(value: Any) -> dict[str, Any] | PinOf:
    """Return the wish that a hint stands for, as JSON, or whose wish it shall be.

    Only the form is checked: what a wish may say, the API knows.

    :param value: text, or a list of texts that together are one CPU set
    :raises HintError: it has none of the forms
    """
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ",".join(value)
    if not isinstance(value, str):
        raise HintError(f"must be {_FORMS}")
    text = value.strip()
    if not text:
        raise HintError(f"is empty; it must be {_FORMS}")
    if text.startswith("{"):
        return _object(text)
    word, colon, rest = text.partition(":")
    rest = rest.strip()
    if colon and word == "template":
        if not rest:
            raise HintError("template: names no template")
        return {"template": rest}
    if colon and word == "pin":
        try:
            return PinOf(str(uuid.UUID(rest)))
        except ValueError:
            raise HintError(f"pin:{rest[:40]} does not name the UUID of an instance") from None
    try:
        cpuset.parse(text)
    except cpuset.CpuSetError as error:
        raise HintError(f"{error}; it must be {_FORMS}") from error
    return {"vcpus": {"*": text}}


def wish_of(pin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wish of a pin that the API has shown, as it is without the template."""
    return {name: value for name, value in pin.items() if name not in _NOT_WISHED}


def iothreads(wish: Mapping[str, Any]) -> int:
    """Return the highest number of an I/O thread that a wish names, 0 if it names none."""
    named = wish.get("iothreads")
    highest = 0
    for key in named if isinstance(named, Mapping) else ():
        try:
            highest = max(highest, cpuset.parse(key).bit_length() - 1)
        except cpuset.CpuSetError:
            # the API refuses it, and says why
            continue
    return highest


def _object(text: str) -> dict[str, Any]:
    try:
        wish: dict[str, Any] = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HintError(f"is not JSON: {reason[:120]}") from error
    return wish


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # the API refuses these as well, but would not see them any more
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("an object has the same key twice")
    return data


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
