# SPDX-License-Identifier: Apache-2.0
"""What `topology.form` and `topology.layout` accept, as JSON Schema.

A schema says what one field looks like. What the fields of a wish mean together, and that a set
of numbers must neither run backwards nor be empty, only the parsers know.
"""

from typing import Any

from kongming.topology import cpuset, form, layout, qos, template
from kongming.topology.part import UNLIMITED

# no number is above cpuset.MAX_NUMBER or longer than six digits
_NUMBER = "0{0,2}(?:[0-7]?[0-9]{1,3}|80[0-9]{2}|81[0-8][0-9]|819[01])"
_ITEM = rf" *(?:\^ *)?{_NUMBER} *(?:- *{_NUMBER} *)?"
_SET = rf"{_ITEM}(?:,{_ITEM})*"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

#: A set of pCPUs, vCPUs or NUMA nodes.
CPU_SET: dict[str, Any] = {"type": "string", "pattern": f"^{_SET}$", "maxLength": 65536}
UUID: dict[str, Any] = {"type": "string", "pattern": f"^{_UUID}$"}
#: The name of a template or of a role, and how a pin names them.
NAME: dict[str, Any] = {"type": "string", "pattern": f"^{template.NAME}$"}
TEMPLATE: dict[str, Any] = {"type": "string", "pattern": f"^{template.NAME}(?:/{template.NAME})?$"}
_PAGE_SIZE: dict[str, Any] = {"enum": [*form.PAGE_SIZES, *form.PAGE_WORDS]}


def _places(keys: str) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^(?:{keys})$"},
        "additionalProperties": CPU_SET,
    }


_GUEST_NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "vcpus": CPU_SET,
        "memory_mib": {"type": "integer", "minimum": 1, "maximum": layout.MAX_MEMORY_MIB},
        "page_size_kib": _PAGE_SIZE,
        "host_node": {"type": "integer", "minimum": 0, "maximum": cpuset.MAX_NUMBER},
    },
    "required": ["vcpus", "memory_mib"],
    "additionalProperties": False,
}

_TIMES: dict[str, Any] = {
    kind: {"type": "integer", "minimum": low, "maximum": high}
    for kind, (low, high) in {**qos.LIMITS, "quota": qos.QUOTA}.items()
}
_TIMES["quota"] = {"anyOf": [{"const": UNLIMITED}, _TIMES["quota"]]}
_OWN_TIMES = {kind: _TIMES[kind] for kind in ("quota", "period", "weight")}

#: The schemas of fields of ``memory`` in a wish.
MEMORY: dict[str, dict[str, Any]] = {"nodes": CPU_SET, "page_size_kib": _PAGE_SIZE}

#: The schema of each field of a wish that has more to it than its type.
WISH: dict[str, dict[str, Any]] = {
    "vcpus": _places(rf"\*|{_SET}"),
    "emulator": {"anyOf": [{"enum": ["share", "isolate"]}, CPU_SET]},
    "iothreads": _places(_SET),
    "numa_nodes": {
        "oneOf": [
            {"type": "integer", "minimum": 1, "maximum": layout.MAX_NODES},
            {
                "type": "array",
                "items": _GUEST_NODE,
                "minItems": 1,
                "maxItems": layout.MAX_NODES,
            },
        ]
    },
    "qos": {
        "type": "object",
        "properties": {
            **{name: _TIMES[name.partition("_")[2]] for name in qos.NAMES},
            "vcpus": {
                "type": "object",
                "propertyNames": {"pattern": f"^(?:{_SET})$"},
                "minProperties": 1,
                "additionalProperties": {
                    "type": "object",
                    "properties": _OWN_TIMES,
                    "minProperties": 1,
                    "additionalProperties": False,
                },
            },
        },
        "minProperties": 1,
        "additionalProperties": False,
    },
    "near": UUID,
    "avoid": {"type": "array", "items": UUID, "maxItems": form.MAX_AVOID},
    "pci_device": {
        "type": "string",
        "pattern": "^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]$",
    },
}
