# SPDX-License-Identifier: Apache-2.0
"""The wish that a server's metadata carries: a CPU set for every vCPU, or JSON.

Users write it, so ``override`` is not among its fields.
"""

import json
from typing import Any

from kongming.topology import cpuset
from kongming.topology.wish import Wish, WishError

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
    "thread_policy",
    "vcpus",
}
_MEMORY_FIELDS = {"migrate", "nodes", "page_size_kib"}


def wish_of(text: str) -> Wish:
    """Return the wish that a value describes: ``0-3,^2``, or ``{"cpu_policy": "dedicated"}``.

    :raises WishError: it describes none
    """
    if not text.lstrip().startswith("{"):
        try:
            return Wish(every_vcpu=cpuset.parse(text))
        except cpuset.CpuSetError as error:
            raise WishError("value", str(error)) from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WishError("value", f"is no JSON: {error}") from error
    return wish_in(data)


def wish_in(data: Any) -> Wish:
    """Return the wish that an object of JSON describes.

    :raises WishError: it describes none, or has a field that users may not give
    """
    _check("", data, FIELDS)
    for name in ("iothreads", "vcpus"):
        _check(name, data.get(name, {}))
    _check("memory", data.get("memory", {}), _MEMORY_FIELDS)
    return Wish.from_dict(data)


def _check(name: str, data: Any, fields: set[str] | None = None) -> None:
    if not isinstance(data, dict):
        raise WishError(name, "must be an object")
    if fields is not None:
        for unknown in sorted(set(data) - fields):
            raise WishError(f"{name}.{unknown}".lstrip("."), "is not known")
