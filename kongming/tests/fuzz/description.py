# SPDX-License-Identifier: Apache-2.0
"""The description of the API as it is to one who knows the fleet: what is made up hits something.

Bodies that fit the schema contradict themselves for the most part, and ids name nothing. So there
is for each body one that is carried out, and where an answer leads with what of it in the body.
"""

import json
from typing import Any

from kongming.api import openapi
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF

#: What there is in the simulated fleet, by the names of parameters and fields.
KNOWN = {
    **dict.fromkeys(("instance_uuid", "uuid", "near"), [VNF, OTHER, OFF, UNKNOWN]),
    **dict.fromkeys(("host_name", "host"), ["one", "two", "nowhere"]),
    "project_id": ["telco", "shop"],
}
_SIZE = {"vcpus": 1, "memory_mib": 64}
_WHEN = {"name": "nights", "cron": "0 22 * * *", "timezone": "UTC", "duration_s": 3600}
_QOS = {"qos": {"vcpu_quota": 50000}}
_CALENDARS = [
    {**_WHEN, **_QOS, "pins": [VNF], "on_collision": "skip"},
    {**_WHEN, **_QOS, "pins": [OFF], "on_collision": "skip"},
    # whose project it is not: who may do everything
    {**_WHEN, **_QOS, "pins": [VNF], "on_collision": "skip", "all_projects": True},
    {**_WHEN, "template": "gold", "following": "gold", "on_collision": "skip"},
]
_TEMPLATES: list[dict[str, Any]] = [
    {"wish": {}},
    {"wish": _QOS},
    {"roles": {"db": {}, "web": _QOS}},
]
_NAMES = ["gold", *(f"gold-{number}" for number in range(20))]
_MAPPINGS = [{"cpu_mappings": "1-2"}, {"cpu_mappings": "4-7"}]
_WISHES: list[dict[str, Any]] = [
    {},
    _QOS,
    {"vcpus": {"*": "4-7"}},
    {"cpu_policy": "dedicated"},
    {"template": "gold"},
]
#: Bodies that are carried out when what they are about is there.
BODIES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("post", "/v1/pins"): [{"instance_uuid": u, **w} for u in (VNF, OFF, OTHER) for w in _WISHES],
    ("put", "/v1/pins/{instance_uuid}"): _WISHES,
    ("put", "/v1/pins/{instance_uuid}/reservation"): [{"host": "two", "size": _SIZE}],
    ("post", "/v1/candidates"): [{"wish": wish, "size": _SIZE} for wish in _WISHES],
    ("post", "/v1/templates"): [{"name": n, **t} for n in _NAMES for t in _TEMPLATES],
    ("put", "/v1/templates/{template_id}"): _TEMPLATES,
    ("post", "/v1/rollouts"): [{"template": "gold", "version": 1}],
    ("post", "/v1/calendars"): _CALENDARS,
    ("put", "/v1/calendars/{calendar_id}"): _CALENDARS,
    ("post", "/v1/instance_cpu_mappings"): [{"instance_uuid": VNF, **m} for m in _MAPPINGS],
    ("put", "/v1/instance_cpu_mappings/{instance_uuid}"): _MAPPINGS,
    ("patch", "/v1/instance_cpu_mappings/{instance_uuid}"): _MAPPINGS,
    ("put", "/v1/quotas/{project_id}"): [{}, {"pins": 9}, {"dedicated_pcpus": -1}],
}
#: What of an answer is for the body of another request, by the name of the answer's type.
_THEN: dict[str, dict[str, dict[str, Any]]] = {
    "pins.Pin": {
        "put_v1_pins_instance_uuid": {"generation": "$response.body#/generation"},
    },
    "calendars.Calendar": {
        "put_v1_calendars_calendar_id": {
            **_CALENDARS[0],
            "generation": "$response.body#/generation",
        },
    },
    "templates.Template": {
        "put_v1_templates_template_id": {**_TEMPLATES[1], "version": "$response.body#/version"},
        "post_v1_pins": {"instance_uuid": OFF, "template": "$response.body#/id"},
        "put_v1_pins_instance_uuid": {"template": "$response.body#/id"},
        "post_v1_rollouts": {
            "template": "$response.body#/id",
            "version": "$response.body#/version",
        },
        "post_v1_calendars": {**_CALENDARS[-1], "template": "$response.body#/id"},
    },
    "instances.Instance": {
        "post_v1_pins": {"instance_uuid": "$response.body#/uuid"},
        "post_v1_candidates": {"wish": {}, "instance_uuid": "$response.body#/uuid"},
    },
}


def document() -> dict[str, Any]:
    """Return the description at the newest version, which requests then need not name."""
    told: dict[str, Any] = json.loads(json.dumps(openapi.document(Root(), MAX_VERSION)))
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            parameters = [p for p in operation["parameters"] if p["in"] != "header"]
            for parameter in parameters:
                _suggest(parameter, "schema", KNOWN.get(parameter["name"]))
            operation["parameters"] = parameters
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                _suggest(content, "schema", BODIES[method, path])
            _lead_on(next(iter(operation["responses"].values())))
    for name, schema in told["components"]["schemas"].items():
        if name.endswith(".body"):
            for field in schema["properties"]:
                _suggest(schema["properties"], field, KNOWN.get(field))
    return told


def of_sequences() -> dict[str, Any]:
    """Return the description for sequences: what begins one is carried out, if it can be.

    There is nothing in it that none of their answers has: where a request names what is found
    nowhere, no sequence is begun with it. That is so of users, whom Keystone has, and would be of
    instances under the full name of their type.
    """
    text = json.dumps(document()).replace("instances.Instance", "Instance")
    told: dict[str, Any] = json.loads(text)
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            operation["parameters"] = [p for p in operation["parameters"] if p["name"] != "user_id"]
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                content["schema"] = {"enum": BODIES[method, path]}
    for name, schema in told["components"]["schemas"].items():
        if name.endswith(".body"):
            schema["properties"].pop("user_id", None)
    return told


def _suggest(where: dict[str, Any], key: str, values: list[Any] | None) -> None:
    if values is not None:
        where[key] = {"anyOf": [{"enum": values}, where[key]]}


def _lead_on(answer: dict[str, Any]) -> None:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    shown = schema.get("$ref", "").rpartition("/")[2]
    for name, body in _THEN.get(shown, {}).items():
        link = answer["links"].setdefault(name, {"operationId": name})
        link |= {"requestBody": body, "x-schemathesis": {"merge_body": False}}
