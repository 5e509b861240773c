# SPDX-License-Identifier: Apache-2.0
"""The wish that a server's metadata carries: a CPU set for every vCPU, or JSON.

JSON may name a template, whose fields its own take the place of. Users write it, so ``override``
is not among its fields.
"""

import json
from typing import Any

from kongming.topology import cpuset, layout
from kongming.topology.wish import EVERY, Wish, WishError

#: What users may wish for there.
FIELDS = {
    "avoid",
    "cpu_policy",
    "emulator",
    "iothreads",
    "memory",
    "near",
    "numa_nodes",
    "pci_device",
    "qos",
    "template",
    "thread_policy",
    "vcpus",
}
_MEMORY_FIELDS = {"migrate", "nodes", "page_size_kib"}


def wish_of(text: str) -> Wish:
    """Return the wish that a value describes to those who cannot look templates up.

    :raises WishError: it describes none, or names a template
    """
    fields = fields_of(text)
    if "template" in fields:
        raise WishError("template", "only conductors know templates, and this agent is alone")
    return Wish.from_dict(fields)


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a wish in a value: ``0-3,^2``, or ``{"cpu_policy": "dedicated"}``.

    :raises WishError: it describes none
    """
    if not text.lstrip().startswith("{"):
        try:
            return {"vcpus": {EVERY: cpuset.to_text(cpuset.parse(text))}}
        except cpuset.CpuSetError as error:
            raise WishError("value", str(error)) from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WishError("value", f"is no JSON: {error}") from error
    return fields_in(data)


def fields_in(data: Any) -> dict[str, Any]:
    """Return the fields of a wish in an object of JSON; what they say is not checked.

    :raises WishError: it is none, or has a field that users may not give
    """
    _check("", data, FIELDS)
    for name in ("iothreads", "vcpus"):
        _check(name, data.get(name, {}))
    _check("memory", data.get("memory", {}), _MEMORY_FIELDS)
    layout.check_keys("numa_nodes", data.get("numa_nodes"))
    fields: dict[str, Any] = data
    return fields


def _check(name: str, data: Any, fields: set[str] | None = None) -> None:
    if not isinstance(data, dict):
        raise WishError(name, "must be an object")
    if fields is not None:
        for unknown in sorted(set(data) - fields):
            raise WishError(f"{name}.{unknown}".lstrip("."), "is not known")
