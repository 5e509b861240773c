# SPDX-License-Identifier: Apache-2.0
"""What an agent reports, checked: what is stored of one host is read for all of them.

A compute host is easier to break into than a conductor. What it says of itself it may invent, but
that must not keep others from being placed, listed or looked at.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from kongming import exception, objects
from kongming.conductor import checks
from kongming.conductor.checks import HIGHEST, Check
from kongming.objects.base import KongMingObject
from kongming.rpc import Unreadable
from kongming.topology import cpuset, layout
from kongming.topology.host import Host
from kongming.topology.part import KINDS
from kongming.topology.placement import Placement
from kongming.topology.usage import Usage

LOG = logging.getLogger(__name__)

#: NUMA nodes of a host: no Linux is built for more.
_MOST_NODES = 1024
_HIGHEST_BIG = 2**63 - 1
#: By how much (in ms) the clock of a host may be ahead. The agent goes on from the highest
#: sequence of its host, which must not be so high that there is none above.
_CENTURY_MS = 100 * 366 * 24 * 60 * 60 * 1000

_count = checks.integer(0, _HIGHEST_BIG)


def report(field: str, value: Any) -> objects.Report:
    """Insist on a report; its agent repeats one that is refused, so that the log tells of it."""
    try:
        try:
            return _report(field, value)
        except (TypeError, OverflowError) as error:
            raise checks.wrong(field, f"is none: {error}") from error
    except exception.BadRequest as error:
        sent = value.fields.get("host") if isinstance(value, Unreadable) else None
        if isinstance(value, objects.Report) and value.obj_attr_is_set("host"):
            sent = value.host
        LOG.warning("The report of host %s is refused: %s", repr(sent)[:300], error.message)
        raise


def _report(field: str, value: Any) -> objects.Report:
    found = checks.fields(field, value, objects.Report, _REPORT)
    for name, kind, known in (
        ("instances", objects.Instance, _INSTANCE),
        ("moving", objects.Moving, _MOVING),
        ("outcomes", objects.Outcome, _OUTCOME),
    ):
        for each in getattr(found, name):
            _newer(f"{field}.{name}", checks.fields(f"{field}.{name}", each, kind, known))
    for instance in found.instances:
        if instance.host != found.host:
            raise checks.wrong(f"{field}.instances.host", "is not the host that reports")
    _newer(field, found)
    return found


def _newer(field: str, thing: KongMingObject) -> None:
    for name, check in _NEWER.items():
        told = name in thing.fields and thing.obj_attr_is_set(name)
        if told and (found := getattr(thing, name)) is not None:
            check(f"{field}.{name}", found)


def _sequence(field: str, value: Any) -> int:
    most = time.time_ns() // 1_000_000 + _CENTURY_MS
    found: int = checks.integer(0, most)(field, value)
    return found


def _text(field: str, value: Any) -> str:
    """Insist on what a column for text can hold."""
    if len(value) < 256:
        return _reason(field, value)
    raise checks.wrong(field, "must be at most 255 characters")


def _reason(field: str, value: Any) -> str:
    """Insist on text; what there is too much of is cut later."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise checks.wrong(field, "is no text") from error
    if "\0" in value:
        raise checks.wrong(field, "is no text")
    return str(value)


def _cause(field: str, value: Any) -> str:
    # as long as the column
    if len(value) > 32:
        raise checks.wrong(field, "must be a word")
    return _reason(field, value)


def _cpus(field: str, value: Any) -> str:
    try:
        if value:
            cpuset.parse(value)
    except cpuset.CpuSetError as error:
        raise checks.wrong(field, str(error)) from error
    return str(value)


def _iothreads(field: str, value: list[int]) -> list[int]:
    if len(value) > layout.MAX_VCPUS:
        raise checks.wrong(field, f"are more than {layout.MAX_VCPUS}")
    for number in value:
        checks.integer(0, HIGHEST)(field, number)
    return value


def _placement(field: str, value: Placement) -> Placement:
    for part, place in value.items():
        if part.kind not in KINDS or type(place) is not int:
            raise checks.wrong(field, f"{str(part.kind)[:32]} has no such place")
        checks.integer(0, HIGHEST)(f"{field}.{part.kind}", part.number)
        if part.is_number:
            checks.integer(-1, _HIGHEST_BIG)(f"{field}.{part.kind}", place)
    return value


def _topology(field: str, host: Host) -> Host:
    if len(host.nodes) > _MOST_NODES or len({node.id for node in host.nodes}) < len(host.nodes):
        raise checks.wrong(field, f"must have at most {_MOST_NODES} NUMA nodes, none of them twice")
    node_id = checks.integer(0, cpuset.MAX_NUMBER)
    for node in host.nodes:
        where = f"{field}.nodes"
        node_id(f"{where}.id", node.id)
        _counts(where, (node.memory_mib, node.reserved_mib))
        for pages in node.pages:
            _counts(f"{where}.pages", (pages.total, pages.free))
            checks.integer(1, HIGHEST)(f"{where}.pages.size_kib", pages.size_kib)
        for other, distance in node.distances.items():
            node_id(f"{where}.distances", other)
            _counts(f"{where}.distances", (distance,))
        for core in node.cores:
            # libvirt reads them unsigned, also where the kernel says -1
            for number in (core.socket, core.die, core.core):
                checks.integer(-1, _HIGHEST_BIG)(f"{where}.cores", number)
    if not isinstance(host.devices, Mapping):
        raise checks.wrong(f"{field}.devices", "must be an object")
    for address, near in host.devices.items():
        _text(f"{field}.devices", address)
        checks.integer(-1, cpuset.MAX_NUMBER)(f"{field}.devices", near)
    return host


def _usage(field: str, usage: Usage) -> Usage:
    """Insist on numbers that JSON has; no decision depends on them."""
    for load in usage.cpus.values():
        _amounts(field, (load.busy_percent, load.iowait_percent, load.steal_percent))
    for conflict in usage.conflicts:
        for word in (conflict.kind, *conflict.instances):
            _word(field, word)
    for used in usage.instances.values():
        for thread in used.threads:
            _word(field, thread.name)
            _amounts(field, (thread.run_seconds, thread.wait_seconds))
            _counts(field, (thread.part.number, thread.tid))
            checks.integer(-1, HIGHEST)(field, thread.last_cpu)
            if thread.part.kind not in KINDS:
                raise checks.wrong(field, "has a thread of no kind")
        for vcpu in used.vcpus.values():
            _amounts(field, (vcpu.run_seconds, vcpu.wait_seconds))
            _amounts(field, _known(vcpu.run_percent, vcpu.wait_percent))
        _residency(field, used.memory)
        _amounts(field, _known(used.locality_percent))
    return usage


def _receipt(field: str, value: Any) -> Any:
    _residency(field, value.before)
    _residency(field, value.after)
    _counts(field, (value.moved_mib,))
    _amounts(field, (value.seconds,))
    for warning in value.warnings:
        _word(field, warning)
    return value


def _progress(field: str, value: Any) -> Any:
    _counts(field, (value.moved_mib, value.total_mib))
    _amounts(field, (value.seconds,))
    return value


def _residency(field: str, memory: Mapping[int, Mapping[int, int]]) -> None:
    for nodes in memory.values():
        _counts(field, nodes.values())


def _counts(field: str, values: Iterable[Any]) -> None:
    for value in values:
        _count(field, value)


def _amounts(field: str, values: Iterable[Any]) -> None:
    for value in values:
        # neither infinite nor no number at all, which are floats, too
        if not (type(value) in (int, float) and abs(value) <= _HIGHEST_BIG):
            raise checks.wrong(field, "must be of numbers")


def _known(*values: Any) -> list[Any]:
    return [value for value in values if value is not None]


def _word(field: str, value: Any) -> None:
    if not isinstance(value, str):
        raise checks.wrong(field, "must be of strings")


_REPORT: Mapping[str, Check] = {
    "host": checks.identifier,
    "sequence": _sequence,
    "interval": checks.integer(1, HIGHEST),
    "gone": lambda field, value: [checks.uuid(field, uuid) for uuid in value],
    "topology": _topology,
    **dict.fromkeys(("full", "instances", "outcomes"), checks.anything),
}
_INSTANCE: Mapping[str, Check] = {
    "uuid": checks.uuid,
    "host": checks.identifier,
    "name": _text,
    "project_id": _text,
    "user_id": _text,
    "vcpus": checks.integer(0, layout.MAX_VCPUS),
    "memory_mib": checks.integer(0, layout.MAX_MEMORY_MIB),
    "iothreads": _iothreads,
    "observed": _placement,
}
_MOVING: Mapping[str, Check] = {"instance_uuid": checks.uuid, "progress": _progress}
_OUTCOME: Mapping[str, Check] = {
    "instance_uuid": checks.uuid,
    "reason": _reason,
    "in_force": _placement,
}
#: What agents of a version before do not tell.
_NEWER: Mapping[str, Check] = {
    "holds": _cpus,
    "started_ms": checks.integer(0, _HIGHEST_BIG),
    "cause": _cause,
    "receipt": _receipt,
    "usage": _usage,
}
