# SPDX-License-Identifier: Apache-2.0
"""A table of bad input: each row is a test, and none leaves a trace on database or hosts."""

import dataclasses
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import requests
from requests import structures

from kongming.db import models
from kongming.hypervisor.driver import Scope
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF, WISH

GENERATION = 1

PINS = "/v1/pins"
PIN = f"{PINS}/{VNF}"
MAPPINGS = "/v1/instance_cpu_mappings"
MAPPING = f"{MAPPINGS}/{VNF}"

SIZE = {"vcpus": 4, "memory_mib": 512}

BIG = 5 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Row:
    """A request and the error that it must meet.

    ``body`` is sent as JSON, ``content`` as it is; ``words`` must be in the message.
    """

    method: str
    path: str
    status: int
    code: str
    words: tuple[str, ...] = ()
    body: Any = None
    content: bytes | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def send(self, url: str) -> requests.Response:
        """Send the request, byte for byte as it stands here; return the answer."""
        host, port = url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        content = self.content
        if content is None and self.body is not None:
            content = json.dumps(self.body).encode()
        headers = {
            "OpenStack-API-Version": "resource_pin latest",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Content-Length": str(len(content or b"")),
            **self.headers,
        }
        try:
            # not through http.client, which refuses some of what is to be refused there
            lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}:{port}"]
            lines += [f"{name}: {value}" for name, value in headers.items() if value]
            connection.connect()
            connection.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
            if content:
                connection.send(content)
            answer = http.client.HTTPResponse(connection.sock, method=self.method)
            answer.begin()
            result = requests.Response()
            result.status_code = answer.status
            result.headers = structures.CaseInsensitiveDict(answer.getheaders())
            result._content = answer.read()
        finally:
            connection.close()
        return result


def chunked(content: bytes, size: int = 65536) -> bytes:
    """Return content in the chunks of HTTP."""
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def post(*words: str, code: str = "invalid_field", fields: Any = None, **more_fields: Any) -> Row:
    """POST a pin for OTHER with some fields."""
    body = {"instance_uuid": OTHER, **(fields or {}), **more_fields}
    return Row("POST", PINS, 400, code, words, body)


def taken(*words: str, **fields: Any) -> Row:
    """POST a pin for OTHER that wants what VNF has."""
    body = {"instance_uuid": OTHER, **fields}
    return Row("POST", PINS, 409, "cpu_already_claimed", (*words, VNF), body)


def put(*words: str, code: str = "invalid_field", fields: Any = None, **more_fields: Any) -> Row:
    """PUT a wish for VNF."""
    return Row("PUT", PIN, 400, code, words, {**(fields or {}), **more_fields})


def put_mapping(*words: str, code: str = "invalid_field", **fields: Any) -> Row:
    """PATCH the mapping of VNF."""
    return Row("PATCH", MAPPING, 400, code, words, fields)


def post_mapping(*words: str, code: str = "invalid_field", **fields: Any) -> Row:
    """POST a mapping for OTHER."""
    body = {"instance_uuid": OTHER, "cpu_mappings": "0-3", **fields}
    return Row("POST", MAPPINGS, 400, code, words, body)


def content(
    content: bytes,
    *words: str,
    status: int = 400,
    code: str = "invalid_field",
    path: str = PINS,
    method: str = "POST",
    **headers: str,
) -> Row:
    """Send a body as it is."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Row(method, path, status, code, words, content=content, headers=named)


def get(path: str, status: int, code: str, *words: str, **headers: str) -> Row:
    """GET."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Row("GET", path, status, code, words, headers=named)


def version(value: str, status: int, code: str) -> Row:
    """GET at some version."""
    word = value.split()[1] if status == 406 else "OpenStack-API-Version"
    return get(PINS, status, code, word, OpenStack_API_Version=value)


def method(name: str, path: str) -> Row:
    """Use a method that a path does not know."""
    return Row(name, path, 405, "method_not_allowed", (name,) if name != "HEAD" else ())


ROWS: dict[str, Row] = {
    # instances, hosts and pins that are not there
    "unknown_instance": Row(
        "POST",
        PINS,
        404,
        "instance_not_found",
        ("instance_uuid", UNKNOWN),
        {"instance_uuid": UNKNOWN, "vcpus": {"*": "1"}},
    ),
    "unknown_instance_2018": Row(
        "POST",
        MAPPINGS,
        404,
        "instance_not_found",
        ("instance_uuid", UNKNOWN),
        {"instance_uuid": UNKNOWN, "cpu_mappings": "1"},
    ),
    "get_unknown_instance": get(f"/v1/instances/{UNKNOWN}", 404, "instance_not_found", UNKNOWN),
    "get_unknown_host": get("/v1/hosts/three", 404, "host_not_found", "three"),
    "get_unknown_pin": get(f"{PINS}/{OTHER}", 404, "pin_not_found", OTHER),
    "get_unknown_mapping": get(f"{MAPPINGS}/{OTHER}", 404, "pin_not_found", OTHER),
    "get_history_of_unknown_pin": get(f"{PINS}/{OTHER}/history", 404, "pin_not_found", OTHER),
    "put_unknown_pin": Row("PUT", f"{PINS}/{OTHER}", 404, "pin_not_found", (OTHER,), {}),
    "delete_unknown_pin": Row("DELETE", f"{PINS}/{OTHER}", 404, "pin_not_found", (OTHER,)),
    "patch_unknown_mapping": Row(
        "PATCH", f"{MAPPINGS}/{OTHER}", 404, "pin_not_found", (OTHER,), {"cpu_mappings": "1"}
    ),
    "delete_unknown_mapping": Row("DELETE", f"{MAPPINGS}/{OTHER}", 404, "pin_not_found"),
    # CPU sets
    "cpu_set_empty": post("vcpus.*", "neither a number nor a range", vcpus={"*": ""}),
    "cpu_set_of_nothing": post("vcpus.*", "empty", vcpus={"*": "3,^3"}),
    "cpu_set_letters": post("vcpus.*", "'x'", vcpus={"*": "0,x"}),
    "cpu_set_backwards": post("vcpus.*", "'5-3'", "backwards", vcpus={"*": "5-3"}),
    "cpu_set_open_range": post("emulator", "'3-'", emulator="3-"),
    "cpu_set_negative": post("emulator", "'-3'", emulator="-3"),
    "cpu_set_comma": post("iothreads.1", iothreads={"1": "1,,2"}),
    "cpu_set_float": post("vcpus.*", "'1.5'", vcpus={"*": "1.5"}),
    "cpu_set_hexadecimal": post("vcpus.*", "'0x3'", vcpus={"*": "0x3"}),
    "cpu_set_number_too_high": post("vcpus.*", "above", vcpus={"*": "8192"}),
    "cpu_set_number_huge": post("vcpus.*", "above", vcpus={"*": "9" * 5000}),
    "cpu_set_too_long": post("vcpus.*", "longer than", vcpus={"*": "1," * 40000 + "1"}),
    "cpu_set_other_digits": post("vcpus.*", vcpus={"*": "٣"}),
    "cpu_set_nul": post("emulator", emulator="1\0"),
    "cpu_set_lone_surrogate": post("emulator", emulator="\ud800"),
    "cpu_set_malformed_2018": post_mapping("cpu_mappings", "'x'", cpu_mappings="x"),
    "cpu_set_malformed_in_put_2018": put_mapping("cpu_mappings", "'5-3'", cpu_mappings="5-3"),
    "cpu_set_malformed_in_put": put("memory.nodes", "'a'", memory={"nodes": "a"}),
    "vcpu_malformed": post("vcpus.one", "'one'", vcpus={"one": "1"}),
    "vcpu_empty_key": post("vcpus.", vcpus={"": "1"}),
    "vcpu_named_twice": post("vcpus.", "0 is named twice", vcpus={"0-1": "1", "0": "2"}),
    "vcpu_key_nul": post("vcpus.0\0", vcpus={"0\0": "1"}),
    "vcpu_key_lone_surrogate": post("vcpus.\udfff", vcpus={"\udfff": "1"}),
    "vcpu_key_huge": post("vcpus.", vcpus={"1" * 100000: "1"}),
    # what the instance or the host lacks
    "vcpu_unknown": post("vcpus.2", "vCPU 2", vcpus={"2": "1"}, code="vcpu_unknown"),
    "vcpu_unknown_in_put": put("vcpus.4", vcpus={"0-4": "1"}, code="vcpu_unknown"),
    "iothread_unknown": post("iothreads.1", iothreads={"1": "1"}, code="iothread_unknown"),
    "iothread_zero": put("iothreads.0", iothreads={"0": "1"}, code="iothread_unknown"),
    "pcpu_unknown": post("vcpus.*", "pCPU 16", vcpus={"*": "3,16"}, code="pcpu_unknown"),
    "pcpu_unknown_for_emulator": post("emulator", "99", emulator="99", code="pcpu_unknown"),
    "pcpu_unknown_in_put": put("vcpus.*", "17", vcpus={"*": "17"}, code="pcpu_unknown"),
    "pcpu_unknown_2018": post_mapping(
        "vcpus.*", "pCPU 16-20", cpu_mappings="3-20,^15", code="pcpu_unknown"
    ),
    "pcpu_offline": post(
        "vcpus.1", "pCPU 15 is offline", vcpus={"1": "14-15"}, code="pcpu_offline"
    ),
    "pcpu_offline_in_put": put("emulator", "15", emulator="15", code="pcpu_offline"),
    "pcpu_offline_2018": put_mapping("15 is offline", cpu_mappings="15", code="pcpu_offline"),
    "numa_node_unknown": post(
        "memory.nodes", "2", memory={"nodes": "0,2"}, code="numa_node_unknown"
    ),
    "several_reasons_at_once": post(
        "vcpus.2",
        "iothreads.7",
        "emulator",
        "memory.nodes",
        vcpus={"2": "1"},
        iothreads={"7": "1"},
        emulator="16",
        memory={"nodes": "9"},
        code="numa_node_unknown",
    ),
    "thread_policy_unknown": post("thread_policy", cpu_policy="dedicated", thread_policy="x"),
    "thread_policy_without_dedicated": post("thread_policy", thread_policy="isolate"),
    "emulator_isolate_without_dedicated": post("emulator", emulator="isolate"),
    "numa_nodes_text": post("numa_nodes", numa_nodes="two"),
    "numa_nodes_none": post("numa_nodes", numa_nodes=[]),
    "numa_nodes_unknown_field": post(
        "numa_nodes.1.x: unknown field",
        numa_nodes=[{"vcpus": "0", "memory_mib": 512}, {"vcpus": "1", "memory_mib": 512, "x": 1}],
    ),
    "numa_nodes_infinity_in_unknown_field": content(
        b'{"instance_uuid": "%s", "numa_nodes": [{"x": 1e999}]}' % OTHER.encode(),
        "numa_nodes.0.x: unknown field",
    ),
    "numa_nodes_vcpu_twice": post(
        "numa_nodes.1.vcpus",
        numa_nodes=[{"vcpus": "0-1", "memory_mib": 512}, {"vcpus": "1", "memory_mib": 512}],
    ),
    "numa_nodes_uneven": post("numa_nodes", code="uneven_nodes", numa_nodes=3),
    "wish_of_candidates_pci_device": Row(
        "POST",
        "/v1/candidates",
        400,
        "invalid_field",
        ("wish.pci_device",),
        {"wish": {"pci_device": "3b"}, "size": {"vcpus": 1, "memory_mib": 1}},
    ),
    "page_size_unknown": post("memory.page_size_kib", memory={"page_size_kib": 3}),
    "near_no_uuid": post("near", near="vnf"),
    "avoid_no_list": post("avoid", avoid=OTHER),
    "pci_device_malformed": post("pci_device", "such as 0000:3b:00.1", pci_device="3b:00.1"),
    "pci_device_malformed_in_put": put("pci_device", pci_device=""),
    "pci_device_number": post("pci_device", "a string", pci_device=3),
    "pci_device_null": post("pci_device", "a string", pci_device=None),
    "pci_device_other_digits": post("pci_device", pci_device="0000:3b:0٣.1"),
    "pci_device_lone_surrogate": post("pci_device", pci_device="0000:3b:00.\ud800"),
    "pci_device_unknown": post(
        "pci_device", "0000:3b:00.1", pci_device="0000:3b:00.1", code="pci_device_unknown"
    ),
    "qos_null": post("qos", "must not be null", qos=None),
    "numa_nodes_null": post("numa_nodes", "must not be null", numa_nodes=None),
    "avoid_null": post("avoid", "must not be null", avoid=None),
    "avoid_empty_object": post("avoid", "must be a list", avoid={}),
    "avoid_false": post("avoid", "must be a list", avoid=False),
    "page_size_null": post(
        "memory.page_size_kib", "must not be null", memory={"page_size_kib": None}
    ),
    "qos_list": post("qos", "an object", qos=[]),
    "qos_empty": post("qos", "must name some quota", qos={}),
    "qos_unknown_field": post("qos.vcpu_shares", "unknown field", qos={"vcpu_shares": 5}),
    "qos_in_put": put("qos.cpu_shares", "from 20 to 102400", qos={"cpu_shares": 19}),
    **{
        f"qos_{name}_{value}": post(f"qos.{name}", f"from {low} to {high}", qos={name: value})
        for name, low, high in (
            ("cpu_shares", 20, 102400),
            ("global_quota", 1000, 17592186044415),
            ("global_period", 1000, 1000000),
            ("vcpu_quota", 1000, 17592186044415),
            ("vcpu_period", 1000, 1000000),
            ("emulator_quota", 1000, 17592186044415),
            ("emulator_period", 1000, 1000000),
            ("iothread_quota", 1000, 17592186044415),
            ("iothread_period", 1000, 1000000),
        )
        for value in (low - 1, high + 1, -2, "5000", 5000.5, True, None)
    },
    **{
        f"qos_vcpus_{name}_{value}": post(
            f"qos.vcpus.0-1.{name}",
            f"from {low} to {high}",
            qos={"vcpus": {"0-1": {name: value}}},
        )
        for name, low, high in (
            ("quota", 1000, 17592186044415),
            ("period", 1000, 1000000),
            ("weight", 1, 10000),
        )
        for value in (low - 1, high + 1, -2, "5000", None)
    },
    "qos_vcpus_list": post("qos.vcpus", "an object", qos={"vcpus": [1]}),
    "qos_vcpus_malformed": post("qos.vcpus.x", qos={"vcpus": {"x": {"quota": 5000}}}),
    "qos_vcpus_number": post("qos.vcpus.1", "an object", qos={"vcpus": {"1": 5000}}),
    "qos_vcpus_empty": post("qos.vcpus.1", "an object", qos={"vcpus": {"1": {}}}),
    "qos_vcpus_unknown_field": post(
        "qos.vcpus.1.shares", "unknown field", qos={"vcpus": {"1": {"shares": 5}}}
    ),
    "qos_vcpus_named_twice": post(
        "qos.vcpus.0", "0 is named twice", qos={"vcpus": {"0-1": {"weight": 5}, "0": {"weight": 5}}}
    ),
    "qos_vcpu_unknown": post(
        "qos.vcpus.2", "no vCPU 2", qos={"vcpus": {"1-2": {"weight": 5}}}, code="vcpu_unknown"
    ),
    "qos_iothread_unknown": post(
        "qos.iothread_quota",
        "no I/O threads",
        qos={"iothread_quota": 5000},
        code="iothread_unknown",
    ),
    "qos_above_the_whole": post(
        "qos.vcpus.1.quota",
        "more CPU time than global_quota",
        qos={"global_quota": 50000, "vcpus": {"1": {"quota": 50001}}},
    ),
    "wish_of_candidates_qos": Row(
        "POST",
        "/v1/candidates",
        400,
        "invalid_field",
        ("wish.qos.cpu_shares",),
        {"wish": {"qos": {"cpu_shares": 1}}, "size": {"vcpus": 1, "memory_mib": 1}},
    ),
    # types
    "instance_uuid_number": post("instance_uuid", "a string", instance_uuid=5),
    "instance_uuid_list": post("instance_uuid", "a string", instance_uuid=[OTHER]),
    "instance_uuid_no_uuid": post("instance_uuid", "UUID", instance_uuid="vnf"),
    "instance_uuid_without_dashes": post(
        "instance_uuid", "UUID", instance_uuid=OTHER.replace("-", "")
    ),
    "instance_uuid_in_braces": post("instance_uuid", instance_uuid=f"{{{OTHER}}}"),
    "instance_uuid_nul": post("instance_uuid", instance_uuid=f"{OTHER}\0"),
    "instance_uuid_lone_surrogate": post("instance_uuid", instance_uuid="\udc00"),
    "instance_uuid_huge": post("instance_uuid", instance_uuid="1" * 100000),
    "instance_uuid_missing": Row(
        "POST", PINS, 400, "invalid_field", ("instance_uuid", "missing"), {"vcpus": {"*": "1"}}
    ),
    "cpu_policy_number": post("cpu_policy", "dedicated, shared", cpu_policy=1),
    "cpu_policy_unknown": post("cpu_policy", cpu_policy="mixed"),
    "cpu_policy_object": post("cpu_policy", cpu_policy={}),
    "vcpus_list": post("vcpus", "an object", vcpus=["1"]),
    "vcpus_text": post("vcpus", "an object", vcpus="0-3"),
    "vcpus_value_number": post("vcpus.0", "a string", vcpus={"0": 1}),
    "vcpus_value_object": post("vcpus.0", "a string", vcpus={"0": {"cpus": "1"}}),
    "vcpus_value_true": post("vcpus.0", "a string", vcpus={"0": True}),
    "iothreads_text": post("iothreads", "an object", iothreads="1"),
    "iothreads_value_list": post("iothreads.1", "a string", iothreads={"1": ["1"]}),
    "emulator_number": post("emulator", "a string", emulator=1),
    "emulator_object": post("emulator", "a string", emulator={"0": "1"}),
    "memory_text": post("memory", "an object", memory="0"),
    "memory_list": post("memory", "an object", memory=["0"]),
    "memory_nodes_number": post("memory.nodes", "a string", memory={"nodes": 0}),
    "memory_without_nodes": post("memory", "nodes or page_size_kib", memory={}),
    "generation_text": put("generation", "an integer", generation="1"),
    "generation_float": put("generation", "an integer", generation=1.0),
    "generation_true": put("generation", "an integer", generation=True),
    "generation_in_post": post("generation", "unknown field", generation=1),
    "cpu_mappings_number_2018": post_mapping("cpu_mappings", "a string", cpu_mappings=3),
    "cpu_mappings_list_2018": put_mapping("cpu_mappings", "a string", cpu_mappings=["3"]),
    "cpu_mappings_missing_2018": put_mapping("cpu_mappings", "missing"),
    "instance_uuid_number_2018": post_mapping("instance_uuid", instance_uuid=1),
    "instance_uuid_no_uuid_2018": post_mapping("instance_uuid", "UUID", instance_uuid="x"),
    "wait_until_active_number_2018": post_mapping("wait_until_active", wait_until_active=1),
    "wait_until_active_text_2018": post_mapping("wait_until_active", wait_until_active="yes"),
    "wait_until_active_lower_2018": post_mapping("wait_until_active", wait_until_active="true"),
    "wait_until_active_list_2018": post_mapping("wait_until_active", wait_until_active=[]),
    "project_id_number_2018": post_mapping("project_id", project_id=1),
    "project_id_empty_2018": post_mapping("project_id", project_id=""),
    "project_id_nul_2018": post_mapping("project_id", project_id="a\0"),
    "project_id_lone_surrogate_2018": post_mapping("project_id", project_id="\ud800"),
    "project_id_too_long_2018": post_mapping("project_id", project_id="a" * 256),
    "user_id_object_2018": post_mapping("user_id", user_id={}),
    "user_id_too_long_2018": post_mapping("user_id", user_id="a" * 256),
    # fields that do not exist, or are not the caller's
    "unknown_field": post("colour", "unknown field", colour="red"),
    "unknown_field_in_put": put("colour", "unknown field", colour="red"),
    "unknown_field_nested": post("memory.move", "unknown", memory={"nodes": "0", "move": True}),
    "migrate_number": post("memory.migrate", "true or false", memory={"nodes": "0", "migrate": 1}),
    "migrate_null": put("memory.migrate", "true or false", memory={"nodes": "0", "migrate": None}),
    "migrate_without_nodes": put("memory.migrate", "memory.nodes", memory={"migrate": False}),
    "migrate_with_page_size": post(
        "memory.migrate", "memory.nodes", memory={"migrate": True, "page_size_kib": 4}
    ),
    "unknown_field_nul": post("\0", "unknown field", fields={"\0": 1}),
    "unknown_field_lone_surrogate": post("unknown field", fields={"\udead": 1}),
    "unknown_field_huge": post("unknown field", fields={"x" * 100000: 1}),
    "unknown_field_2018": post_mapping("vcpus", "unknown field", vcpus={}),
    "unknown_field_in_put_2018": put_mapping(
        "project_id", "unknown field", cpu_mappings="1", project_id="x"
    ),
    "field_of_python": post("__class__", "unknown field", fields={"__class__": "x"}),
    "instance_uuid_in_put": put("instance_uuid", "unknown field", instance_uuid=VNF),
    **{
        f"read_only_{name}": post(name, "unknown field", fields={name: value})
        for name, value in {
            "status": "applied",
            "reason": "x",
            "placement": {},
            "created_at": "2026-01-01T00:00:00Z",
            "links": [],
        }.items()
    },
    # an instance that is yet to come
    "host_without_size": post("size", "belongs to host", fields={"host": "one"}),
    "size_without_host": post("host", "belongs to size", fields={"size": SIZE}),
    "host_unknown": post("host", code="host_unknown", fields={"host": "nowhere", "size": SIZE}),
    "host_empty": post("host", "printable", fields={"host": "", "size": SIZE}),
    "size_without_memory": post("size.memory_mib", "missing", fields={"size": {"vcpus": 1}}),
    "project_id_empty": post("project_id", "printable", fields={"project_id": ""}),
    "user_id_number": post("user_id", "printable", fields={"user_id": 1}),
    **{
        f"size_{name}_{value}": post(
            f"size.{name}", "must be", fields={"host": "two", "size": SIZE | {name: value}}
        )
        for name, value in (
            ("vcpus", 0),
            ("vcpus", 10**9),
            ("vcpus", True),
            ("memory_mib", 0),
            ("memory_mib", 10**15),
            ("iothreads", -1),
            ("iothreads", "1"),
        )
    },
    "reservation_without_host": Row(
        "PUT", f"{PIN}/reservation", 400, "invalid_field", ("host", "missing"), {"size": SIZE}
    ),
    "reservation_without_size": Row(
        "PUT", f"{PIN}/reservation", 400, "invalid_field", ("size", "missing"), {"host": "two"}
    ),
    "reservation_with_a_wish": Row(
        "PUT",
        f"{PIN}/reservation",
        400,
        "invalid_field",
        ("cpu_policy", "unknown field"),
        {"host": "two", "size": SIZE, "cpu_policy": "shared"},
    ),
    "reservation_elsewhere": Row(
        "PUT",
        f"{PIN}/reservation",
        400,
        "host_unknown",
        ("host",),
        {"host": "nowhere", "size": SIZE},
    ),
    "reservation_that_does_not_fit": Row(
        "PUT",
        f"{PIN}/reservation",
        400,
        "vcpu_unknown",
        ("vcpus",),
        {"host": "two", "size": {"vcpus": 1, "memory_mib": 1}},
    ),
    "reservation_of_nobody": Row(
        "PUT",
        f"{PINS}/{UNKNOWN}/reservation",
        404,
        "pin_not_found",
        (UNKNOWN,),
        {"host": "two", "size": SIZE},
    ),
    "reservation_that_is_none": get(f"{PIN}/reservation", 404, "reservation_not_found", VNF),
    "reservation_in_2018": get(
        f"{PIN}/reservation", 404, "not_found", OpenStack_API_Version="resource_pin 1.1"
    ),
    "host_before_its_version": Row(
        "POST",
        PINS,
        400,
        "invalid_field",
        ("host", "unknown field"),
        {"instance_uuid": OTHER, "host": "one"},
        headers={"OpenStack-API-Version": "resource_pin 1.1"},
    ),
    # null
    **{
        f"null_{name}": put(name, fields={name: None})
        for name in ("cpu_policy", "vcpus", "emulator", "iothreads", "memory", "generation")
    },
    "null_instance_uuid": post("instance_uuid", instance_uuid=None),
    "null_vcpu": put("vcpus.0", vcpus={"0": None}),
    "null_memory_nodes": put("memory.nodes", memory={"nodes": None}),
    "null_cpu_mappings_2018": put_mapping("cpu_mappings", cpu_mappings=None),
    "null_wait_until_active_2018": post_mapping("wait_until_active", wait_until_active=None),
    "null_project_id_2018": post_mapping("project_id", project_id=None),
    # bodies
    "body_null": content(b"null", "body", "an object"),
    "body_list": content(b"[]", "body", "an object"),
    "body_text": content(b'"x"', "body", "an object"),
    "body_number": content(b"1", "body", "an object"),
    "body_empty": content(b"", "body", "not JSON"),
    "body_white": content(b" \r\n", "body", "not JSON"),
    "body_cut_off": content(b'{"instance_uuid": ', "body", "not JSON"),
    "body_twice": content(b"{}{}", "body", "not JSON"),
    "body_not_json": content(b"instance_uuid: x", "body", "not JSON"),
    "body_single_quotes": content(b"{'a': 1}", "body", "not JSON"),
    "body_xml": content(b"<pin/>", "body", "not JSON"),
    "body_binary": content(bytes(range(256)), "body", "not JSON"),
    "body_latin_1": content('{"emulator": "é"}'.encode("latin-1"), "body", "utf-8"),
    "body_utf_16": content('{"emulator": "1"}'.encode("utf-16"), "body", "not JSON"),
    "body_utf_8_with_mark": content('{"emulator": "1"}'.encode("utf-8-sig"), "body", "BOM"),
    "body_overlong_utf_8": content(b'{"\xc0\xaf": 1}', "body", "utf-8"),
    "body_deep_list": content(b"[" * 100000, "body", "deep"),
    "body_deep_object": content(b'{"vcpus":' * 10000, "body", "deep"),
    "body_deep_in_put": content(b"[" * 100000, "body", "deep", path=PIN, method="PUT"),
    "body_deep_2018": content(b"[" * 100000, "body", path=MAPPING, method="PATCH"),
    "body_duplicate_key": content(
        b'{"emulator": "1", "instance_uuid": "x", "emulator": "2"}', "body", "same key twice"
    ),
    "body_duplicate_key_nested": content(
        b'{"vcpus": {"0": "1", "0": "2"}}', "body", "same key twice"
    ),
    "body_nan": content(b'{"generation": NaN}', "body", "NaN", path=PIN, method="PUT"),
    "body_infinity": content(b'{"generation": -Infinity}', "body", "Infinity"),
    "body_many_digits": content(
        b'{"generation": %s}' % (b"9" * 10000), "body", path=PIN, method="PUT"
    ),
    "body_exponent": content(
        b'{"generation": 1e999}', "generation", "an integer", path=PIN, method="PUT"
    ),
    "body_empty_2018": content(b"", "body", path=MAPPINGS),
    "body_empty_in_put_2018": content(b"", "body", path=MAPPING, method="PATCH"),
    "body_5_mib": content(b"x" * BIG, status=413, code="body_too_large"),
    "body_2_mib_of_candidates": content(
        b" " * (BIG // 2), status=413, code="body_too_large", path="/v1/candidates"
    ),
    "body_113_kib": content(b" " * 115712, status=413, code="body_too_large"),
    "body_113_kib_chunked": content(
        chunked(b" " * 115712),
        status=413,
        code="body_too_large",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_113_kib_below_candidates": content(
        b" " * 115712, status=413, code="body_too_large", path="/v1/candidates/x"
    ),
    "body_5_mib_of_json": content(
        b'{"instance_uuid": "%s"}' % (b"x" * BIG), status=413, code="body_too_large"
    ),
    "body_5_mib_in_put": content(
        b" " * BIG, status=413, code="body_too_large", path=PIN, method="PUT"
    ),
    "body_5_mib_not_read": content(
        b" " * BIG, status=413, code="body_too_large", path="/nowhere", method="PUT"
    ),
    "body_5_mib_chunked": content(
        chunked(b" " * BIG),
        status=413,
        code="body_too_large",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_5_mib_in_one_chunk": content(
        chunked(b" " * BIG, BIG),
        status=413,
        code="body_too_large",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_5_mib_chunked_2018": content(
        chunked(b" " * BIG),
        status=413,
        code="body_too_large",
        path=MAPPING,
        method="PATCH",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_chunks_malformed": content(
        b"zz\r\n{}\r\n0\r\n\r\n",
        "chunk",
        code="bad_request",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_chunks_not_read": content(
        chunked(b"{}"),
        status=404,
        code="not_found",
        path="/nowhere",
        Content_Length="",
        Transfer_Encoding="chunked",
    ),
    "body_length_negative": content(
        b"{}", "Content-Length", code="bad_request", Content_Length="-1"
    ),
    "body_length_no_number": content(
        b"{}", "Content-Length", code="bad_request", Content_Length="two"
    ),
    "body_length_huge": content(b"{}", status=413, code="body_too_large", Content_Length="9" * 30),
    "body_coding_unknown": content(b"{}", status=501, code="error", Transfer_Encoding="gzip"),
    "body_form": content(
        b"instance_uuid=x",
        "Content-Type",
        status=415,
        code="unsupported_media_type",
        Content_Type="application/x-www-form-urlencoded",
    ),
    "body_multipart": content(
        b"x",
        "Content-Type",
        status=415,
        code="unsupported_media_type",
        Content_Type="multipart/form-data",
    ),
    "body_text_plain": content(
        b"{}",
        "Content-Type",
        status=415,
        code="unsupported_media_type",
        Content_Type="text/plain",
    ),
    "body_json_patch": content(
        b"{}",
        "Content-Type",
        status=415,
        code="unsupported_media_type",
        path=MAPPING,
        method="PATCH",
        Content_Type="application/json-patch+json",
    ),
    "body_type_malformed": content(
        b"{}", "Content-Type", status=415, code="unsupported_media_type", Content_Type="json"
    ),
    "body_charset_unknown": content(
        b"{}", "instance_uuid", Content_Type="application/json; charset=klingon"
    ),
    # conflicts
    "pcpu_claimed": taken("pCPU 7 of host one", vcpus={"*": "7-8"}, cpu_policy="dedicated"),
    "pcpu_claimed_against_shared": taken("pCPU 4 ", vcpus={"*": "3-4"}),
    "pcpu_claimed_against_emulator": taken("pCPU 5-6 ", emulator="5-6"),
    "pcpu_used": taken("pCPU 0-1 ", vcpus={"*": "0-1"}, cpu_policy="dedicated"),
    "pcpu_claimed_2018": Row(
        "POST",
        MAPPINGS,
        409,
        "cpu_already_claimed",
        ("pCPU 4-7 ", VNF),
        {"instance_uuid": OTHER, "cpu_mappings": "0-7"},
    ),
    "pcpu_claimed_for_stopped": Row(
        "POST",
        PINS,
        409,
        "cpu_already_claimed",
        ("pCPU 4-7", VNF),
        {"instance_uuid": OFF, "vcpus": {"*": "4-7"}},
    ),
    "pin_exists": Row(
        "POST", PINS, 409, "pin_exists", (VNF,), {"instance_uuid": VNF, "vcpus": {"*": "4"}}
    ),
    "pin_exists_in_capitals": Row(
        "POST", PINS, 409, "pin_exists", (VNF,), {"instance_uuid": VNF.upper()}
    ),
    "pin_exists_2018": Row(
        "POST",
        MAPPINGS,
        409,
        "pin_exists",
        (VNF,),
        {"instance_uuid": VNF, "cpu_mappings": "4", "wait_until_active": "True"},
    ),
    **{
        f"generation_{name}": Row(
            "PUT",
            PIN,
            409,
            "stale_generation",
            ("generation", str(value)[:30], "at generation 1"),
            {**WISH, "generation": value},
        )
        for name, value in {
            "zero": 0,
            "negative": -1,
            "future": 2,
            "huge": 10**4000,
        }.items()
    },
    # versions
    "version_to_come": version("resource_pin 1.99", 406, "version_not_supported"),
    "version_2": version("resource_pin 2.0", 406, "version_not_supported"),
    "version_before": version("resource-pin 1.2147483", 406, "version_not_supported"),
    "version_word": version("resource_pin newest", 400, "invalid_field"),
    "version_one_number": version("resource_pin 1", 400, "invalid_field"),
    "version_three_numbers": version("resource_pin 1.0.0", 400, "invalid_field"),
    "version_two": version("resource_pin 1.0 1.1", 400, "invalid_field"),
    "version_leading_zero": version("resource_pin 1.01", 400, "invalid_field"),
    "version_sign": version("resource_pin +1.0", 400, "invalid_field"),
    "version_negative": version("resource_pin 1.-1", 400, "invalid_field"),
    "version_underscore": version("resource_pin 1.0_1", 400, "invalid_field"),
    "version_huge": version("resource_pin 1." + "9" * 5000, 400, "invalid_field"),
    "version_binary": version("resource_pin \xff", 400, "invalid_field"),
    "version_at_root": get(
        "/", 406, "version_not_supported", OpenStack_API_Version="resource_pin 1.99"
    ),
    "accept_xml": get(PINS, 406, "not_acceptable", Accept="application/xml"),
    # lists
    **{
        f"list_{name}": get(f"{PINS}?{query}", 400, "invalid_field", query.split("=")[0])
        for name, query in {
            "limit_word": "limit=all",
            "limit_zero": "limit=0",
            "limit_negative": "limit=-1",
            "limit_float": "limit=1.5",
            "limit_empty": "limit=",
            "limit_huge": "limit=" + "9" * 99,
            "limit_twice": "limit=1&limit=2",
            "limit_other_digits": "limit=%D9%A3",
            "marker_unknown": f"marker={OTHER}",
            "marker_empty": "marker=",
            "marker_nul": "marker=%00",
            "marker_newline": "marker=a%0Ab",
            "marker_huge": "marker=" + "a" * 5000,
            "marker_emoji": "marker=%F0%9F%98%80",
            "sort_unknown": "sort=colour",
            "sort_column_of_no_concern": "sort=deleted",
            "sort_direction": "sort=status:up",
            "sort_twice": "sort=status,status:asc",
            "sort_empty": "sort=",
            "sort_nul": "sort=%00",
            "sort_method": "sort=metadata",
            "filter_unknown": "colour=red",
            "filter_deleted": "deleted=1",
            "filter_twice": "host=one&host=two",
            "filter_nul": "host=%00",
            "filter_huge": "host=" + "a" * 5000,
            "filter_empty_name": "=1",
            "filter_self": "self=1",
            "filter_method": "_method=delete",
        }.items()
    },
    "list_hosts_marker": get("/v1/hosts?marker=three", 400, "invalid_field", "marker"),
    "list_hosts_filter": get("/v1/hosts?status=up", 400, "invalid_field", "status"),
    "list_instances_sort": get("/v1/instances?sort=observed", 400, "invalid_field", "sort"),
    "list_instances_filter": get("/v1/instances?vcpus=1", 400, "invalid_field", "vcpus"),
    # paths
    "path_root_unknown": get("/v2", 404, "not_found"),
    "path_unknown": get("/v1/colours", 404, "not_found"),
    "path_unknown_post": Row("POST", "/v1/colours", 404, "not_found", body={}),
    "path_case": get("/V1/pins", 404, "not_found"),
    "path_not_of_root": get("/pins", 404, "not_found"),
    "path_double_slash": get("/v1//pins", 404, "not_found"),
    "path_two_slashes_at_end": get(f"{PINS}//", 404, "not_found"),
    "path_empty_id": get(f"{PINS}//history", 404, "not_found"),
    "path_history_of_all": get(f"{PINS}/history", 404, "pin_not_found"),
    "path_two_slashes_at_start": get(f"/{PINS}", 400, "bad_request"),
    "path_dots": get("/v1/../v1/pins", 404, "not_found"),
    "path_extra": get(f"{PIN}/x", 404, "not_found"),
    "path_extra_delete": Row("DELETE", f"{PIN}/x", 404, "not_found"),
    "path_extra_put": Row("PUT", f"{PIN}/x", 404, "not_found", body={"vcpus": {"*": "4"}}),
    "path_extra_after_history": get(f"{PIN}/history/1", 404, "not_found"),
    "path_extra_host": get("/v1/hosts/one/x", 404, "not_found"),
    "path_extra_mapping": Row("DELETE", f"{MAPPING}/x", 404, "not_found"),
    "path_action": Row("POST", f"{PIN}/delete", 404, "not_found"),
    "path_extension": get(f"{PIN}.json", 404, "pin_not_found"),
    **{
        f"path_attribute_{number}": get(path, 404, "not_found")
        for number, path in enumerate(
            [
                "/v1/show",
                "/v1/children",
                "/v1/_document",
                "/v1/__class__",
                "/_route",
                f"{PIN}/__class__",
                f"{PIN}/__class__/mro",
                f"{PIN}/__init__",
                f"{PIN}/children",
                f"{PIN}/get_all",
                "/v1/hosts/one/versions",
                f"{PINS}/history/{VNF}",
            ]
        )
    },
    "path_id_attribute": get(f"{PINS}/__dict__", 404, "pin_not_found"),
    "path_id_method": get("/v1/hosts/get_all", 404, "host_not_found"),
    "path_id_word": get(f"{PINS}/vnf", 404, "pin_not_found", "vnf"),
    "path_id_without_dashes": get(f"{PINS}/{VNF.replace('-', '')}", 404, "pin_not_found"),
    "path_id_wildcard": get(f"{PINS}/%25", 404, "pin_not_found"),
    "path_id_quote": get(f"{PINS}/'%20or%20'1'='1", 404, "pin_not_found"),
    "path_id_slash": get(f"{PINS}/%2F{VNF}", 404, "pin_not_found"),
    "path_id_nul": get(f"{PINS}/{VNF}%00", 404, "pin_not_found"),
    "path_id_nul_of_host": get("/v1/hosts/one%00", 404, "host_not_found"),
    "path_id_nul_of_instance": get("/v1/instances/%00", 404, "instance_not_found"),
    "path_id_nul_of_history": get(f"{PINS}/{VNF}%00/history", 404, "pin_not_found"),
    "path_id_newline": get("/v1/hosts/one%0Atwo", 404, "host_not_found"),
    "path_id_long": get(f"{PINS}/{'a' * 5000}", 404, "pin_not_found"),
    "path_id_long_of_host": get(f"/v1/hosts/{'a' * 5000}", 404, "host_not_found"),
    "path_id_huge": get(f"{PINS}/{'a' * 100000}", 414, "uri_too_long"),
    "path_not_utf_8": get(f"{PINS}/%ff", 400, "invalid_field", "URL"),
    "path_cut_utf_8": get("/v1/hosts/%F0%9F", 400, "invalid_field", "URL"),
    "path_surrogate": get("/v1/hosts/%ED%A0%80", 400, "invalid_field", "URL"),
    "path_not_hexadecimal": get(f"{PINS}/%zz", 404, "pin_not_found", "%zz"),
    "path_cut_percent": get(f"{PINS}/%", 404, "pin_not_found"),
    "path_raw_byte": get(f"{PINS}/\xff", 400, "bad_request"),
    "path_space": get(f"{PINS}/a b", 400, "bad_request"),
    "path_fragment": get(f"{PINS}#x", 400, "bad_request"),
    "path_relative": get("v1/pins", 400, "bad_request"),
    "path_absolute": get("http://example.org/v1/pins", 400, "bad_request"),
    "query_not_utf_8": get(f"{PINS}?limit=%ff", 400, "invalid_field", "URL"),
    "query_name_not_utf_8": get(f"{PINS}?%ff=1", 400, "invalid_field", "URL"),
    # the query string names no members
    "query_on_member": get(f"{PIN}?instance_uuid={OTHER}", 400, "invalid_field", "instance_uuid"),
    "query_on_host": get("/v1/hosts/two?host_name=one", 400, "invalid_field", "host_name"),
    "query_on_history": get(
        f"{PIN}/history?instance_uuid={OTHER}", 400, "invalid_field", "instance_uuid"
    ),
    "query_on_put": Row(
        "PUT", f"{PIN}?instance_uuid={VNF}", 400, "invalid_field", ("instance_uuid",), WISH
    ),
    "query_on_post": Row(
        "POST",
        f"{PINS}?emulator=1",
        400,
        "invalid_field",
        ("emulator",),
        {"instance_uuid": OTHER},
    ),
    "query_on_delete": Row("DELETE", f"{PIN}?force=1", 400, "invalid_field", ("force",)),
    "query_on_member_2018": Row("DELETE", f"{MAPPING}?x=1", 400, "invalid_field", ("x",)),
    "query_names_member_of_delete": method("DELETE", f"{PINS}?instance_uuid={VNF}"),
    "query_names_member_of_delete_2018": method("DELETE", f"{MAPPINGS}?instance_uuid={VNF}"),
    "query_names_member_of_put": method("PUT", f"{PINS}?instance_uuid={VNF}"),
    "query_names_member_of_patch": method("PATCH", f"{MAPPINGS}?instance_uuid={VNF}"),
    "query_names_member_of_get": get(
        f"{PINS}?instance_uuid={VNF}", 400, "invalid_field", "instance_uuid"
    ),
    "query_overrides_method": get(f"{PIN}?_method=patch", 400, "invalid_field", "_method"),
    "query_overrides_method_2018": get(f"{MAPPING}?_method=patch", 400, "invalid_field"),
    "query_overrides_method_with_inner": get(f"{PINS}?_method=lookup", 400, "invalid_field"),
    # methods
    "put_without_id": method("PUT", PINS),
    "put_without_id_slash": method("PUT", f"{PINS}/"),
    "delete_without_id": method("DELETE", PINS),
    "delete_without_id_but_in_body": Row(
        "DELETE", PINS, 405, "method_not_allowed", (), {"instance_uuid": VNF}
    ),
    "put_without_id_but_in_body": Row(
        "PUT", PINS, 405, "method_not_allowed", (), {"instance_uuid": VNF, "vcpus": {"*": "4"}}
    ),
    "patch_without_id_2018": method("PATCH", MAPPINGS),
    "put_without_id_2018": method("PUT", MAPPINGS),
    "delete_without_id_2018": method("DELETE", MAPPINGS),
    "patch_pin": method("PATCH", PIN),
    "post_to_pin": method("POST", PIN),
    "post_to_history": method("POST", f"{PIN}/history"),
    "delete_history": method("DELETE", f"{PIN}/history"),
    "post_to_mapping": method("POST", MAPPING),
    "post_host": method("POST", "/v1/hosts"),
    "put_host": method("PUT", "/v1/hosts/one"),
    "delete_host": method("DELETE", "/v1/hosts/one"),
    "post_instance": method("POST", "/v1/instances"),
    "delete_instance": method("DELETE", f"/v1/instances/{VNF}"),
    "post_root": method("POST", "/"),
    "delete_root": method("DELETE", "/"),
    "put_v1": method("PUT", "/v1"),
    "post_v1_slash": method("POST", "/v1/"),
    "head_pins": method("HEAD", PINS),
    "options_pins": method("OPTIONS", PINS),
    "trace_pins": method("TRACE", PINS),
    "method_of_python": method("GET_ALL", PINS),
    "method_of_routing": method("LOOKUP", PINS),
    "method_of_routing_2": method("CUSTOM_ACTION", PIN),
    "method_unknown": method("BREW", PIN),
    "method_lower_case": Row("get", PINS, 400, "bad_request"),
    "method_connect": Row("CONNECT", "/v1/pins", 405, "method_not_allowed"),
    "header_huge": get(PINS, 413, "body_too_large", X_Padding="a" * 100000),
    "header_malformed": get(PINS, 400, "bad_request", **{"X Padding": "a\r\nb"}),
}


def rows_are_tests(rows: dict[str, Row]) -> Callable[[type], type]:
    """Give a class one test for each row."""

    def test(row: Row) -> Callable[[Any], None]:
        return lambda self: self.check(row)

    def mark(cls: type) -> type:
        for name, row in rows.items():
            setattr(cls, f"test_{name}", test(row))
        return cls

    return mark


class RowsTestCase(base.SharedTestCase):
    """Every row is refused in the documented form; database and hosts stay as they are."""

    before: dict[str, Any]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.prepare()
        cls.before = cls.state()

    @classmethod
    def prepare(cls) -> None:
        """Make what the rows are about."""
        raise NotImplementedError

    @classmethod
    def tearDownClass(cls) -> None:
        # what comes late is seen here at last
        time.sleep(0.2)
        after = cls.state()
        super().tearDownClass()
        if cls.before != after:
            raise AssertionError(f"{after} differs from {cls.before}")

    def check(self, row: Row) -> None:
        answer = row.send(self.kongming.url)
        if row.method == "HEAD":
            self.assertEqual((row.status, b""), (answer.status_code, answer.content))
        else:
            self.assert_error(answer, row.status, row.code, *row.words)
        if row.status == 405 and row.method != "CONNECT":
            self.assertNotIn(row.method, answer.headers["Allow"].split(", "))
        before, after = self.before, self.state()
        # the rows to come are not to blame
        type(self).before = after
        self.assertEqual(before, after)

    @classmethod
    def state(cls) -> dict[str, Any]:
        """Return all tables but for the times of reports, and all that the fleet knows."""
        state: dict[str, Any] = {}
        for table in models.Base.metadata.tables:
            state[table] = base.rows(table)
            for row in state[table]:
                row.pop("reported_at", None)
                row.pop("report_sequence", None)
        for name in cls.kongming.fleet.host_names:
            host, driver = cls.kongming.fleet.host(name), cls.kongming.driver(name)
            state[f"host {name}"] = driver.host()
            for uuid, instance in host.instances.items():
                scopes = list(Scope) if instance.running else []
                state[uuid] = (
                    instance.state,
                    instance.writes,
                    dict(instance.memory),
                    [driver.read(uuid, scope) for scope in scopes],
                )
        return state


@rows_are_tests(ROWS)
class BadInputTest(RowsTestCase):
    @classmethod
    def prepare(cls) -> None:
        """Make the one pin that there is."""
        cls.kongming.create_pin({"instance_uuid": VNF, **WISH})

    def test_answers_have_an_end_however_much_is_wrong(self) -> None:
        scattered = ",".join(str(pcpu) for pcpu in range(0, 8192, 2))
        size = {"vcpus": 4096, "memory_mib": 1024}
        for path, asked in (
            (PINS, {"instance_uuid": OTHER, "vcpus": {"0-8191": "0"}}),
            (PINS, {"instance_uuid": OTHER, "iothreads": {"0-8191": "0"}}),
            (PINS, {"instance_uuid": OTHER, "qos": {"vcpus": {"0-8191": {"weight": 100}}}}),
            ("/v1/candidates", {"wish": {"vcpus": {"0-4095": scattered}}, "size": size}),
        ):
            answer = self.request("POST", path, json=asked)
            self.assertIn("and more", answer.text[:20000])
            self.assertLess(len(answer.content), 50_000)
