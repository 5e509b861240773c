# SPDX-License-Identifier: Apache-2.0
"""Options that describe a wish, and the size of an instance."""

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import yaml
from osc_lib import exceptions

from kongming.topology import cpuset
from kongming.topology.wish import CPU_POLICIES, THREAD_POLICIES

_KIB = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20, "TiB": 1 << 30}
_SIZE = re.compile(r"(\d+)(KiB|MiB|GiB|TiB)?")
#: What `unset` can take from a wish, by field.
FIELDS = {
    "cpu_policy": "the CPU policy: shared again",
    "thread_policy": "the thread policy: prefer again",
    "vcpus": "the places of the vCPUs",
    "emulator": "the place of the emulator",
    "iothreads": "the places of the I/O threads",
    "memory": "the NUMA nodes and page size of the memory",
    "numa_nodes": "the guest NUMA nodes",
    "near": "the instance to be near to",
    "avoid": "the instances to avoid",
    "pci_device": "the PCI device to be near to",
    "qos": "the limits of CPU time",
    "override": "the override of what others gave the instance",
    "enforce": "--no-enforce: drifts are repaired again",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the fields of a wish."""
    add = parser.add_argument_group("wish").add_argument
    add(
        "--file",
        metavar="<file>",
        help="JSON or YAML file with a wish, '-' for standard input; the options below go over it",
    )
    add("--cpu-policy", choices=CPU_POLICIES, help="Whether each vCPU has a pCPU of its own")
    add(
        "--thread-policy",
        choices=THREAD_POLICIES,
        help="How dedicated vCPUs use the siblings of a core",
    )
    add(
        "--vcpu",
        metavar="<vcpus>=<pcpus>",
        action="append",
        type=_pair,
        dest="vcpus",
        help="Where vCPUs run: 0=4, or 1-3=5-7; '*' stands for all that are not named"
        " (repeat for others)",
    )
    add("--emulator", metavar="<pcpus>", help="Where the emulator runs: pCPUs, share or isolate")
    add(
        "--iothread",
        metavar="<ids>=<pcpus>",
        action="append",
        type=_pair,
        dest="iothreads",
        help="Where I/O threads run (repeat for others)",
    )
    add("--memory-nodes", metavar="<nodes>", help="NUMA nodes for the memory")
    add(
        "--at-next-start",
        action="store_true",
        help="Leave the memory where it is until the instance starts next",
    )
    add(
        "--page-size",
        metavar="<size>",
        type=_page_size,
        help="Size of the memory pages: 4KiB, 2MiB, 1GiB, large or any",
    )
    add(
        "--numa-nodes",
        metavar="<count>",
        type=int,
        help="How many even NUMA nodes the guest has",
    )
    add(
        "--numa-node",
        metavar="vcpus=<vcpus>,memory=<size>[,page-size=<size>][,host-node=<node>]",
        action="append",
        type=_numa_node,
        help="A NUMA node of the guest, such as vcpus=0-3,memory=4GiB (repeat for each)",
    )
    add("--near", metavar="<instance>", help="UUID of an instance whose NUMA nodes to share")
    add(
        "--avoid",
        metavar="<instance>",
        action="append",
        help="UUID of an instance with which to share no core (repeat for others)",
    )
    add("--pci-device", metavar="<address>", help="PCI device to be near to, as 0000:3b:00.1")
    add_qos(add)
    add(
        "--override",
        action="store_true",
        default=None,
        help="Take the instance over though somebody else, such as Nova, gave it pCPUs (admins)",
    )
    add(
        "--no-enforce",
        dest="enforce",
        action="store_false",
        default=None,
        help="Leave drifts as they are",
    )


def add_qos(add: Callable[..., Any]) -> None:
    """Add the option for limits of CPU time, with the method of a parser or group."""
    add(
        "--qos",
        metavar="<name>=<number>",
        action="append",
        type=_number,
        help="Limit of CPU time: cpu_shares, global_quota, vcpu_quota, vcpu_period …; of single"
        " vCPUs: vcpus.0-3.quota (repeat for others)",
    )


def add_template(parser: argparse.ArgumentParser) -> None:
    """Add the option for a template to follow."""
    parser.add_argument(
        "--template",
        metavar="<template>[/<role>]",
        help="Template to follow, by name or id; the options of the wish differ from it",
    )


def add_fields(parser: argparse.ArgumentParser, fields: Mapping[str, str] = FIELDS) -> None:
    """Add an option for each field that may be left out; they are in ``fields``."""
    for name, what in fields.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest="fields",
            action="append_const",
            const=name,
            help=f"Leave out {what}",
        )


def from_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the wish that the options describe.

    :raises CommandError: the file is unreadable, or options contradict each other
    """
    wish = read("--file", args.file) if args.file else {}
    for name in ("cpu_policy", "thread_policy", "emulator", "near", "avoid", "pci_device"):
        _put(wish, name, getattr(args, name))
    _put(wish, "vcpus", _spread(args.vcpus, "--vcpu"))
    _put(wish, "iothreads", _spread(args.iothreads, "--iothread"))
    _put(wish, "override", args.override)
    _put(wish, "enforce", args.enforce)
    _put(wish, "qos", qos(args.qos))
    memory: dict[str, Any] = {}
    _put(memory, "nodes", args.memory_nodes)
    _put(memory, "migrate", False if args.at_next_start else None)
    _put(memory, "page_size_kib", args.page_size)
    _put(wish, "memory", memory or None)
    if args.numa_nodes is not None and args.numa_node:
        raise exceptions.CommandError("--numa-nodes and --numa-node exclude each other.")
    _put(wish, "numa_nodes", args.numa_node or args.numa_nodes)
    return wish


def merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wish with changes: entries of a mapping are replaced one by one, other fields
    as a whole.
    """
    wish = dict(present)
    for name, value in changes.items():
        before = wish.get(name)
        if not (isinstance(value, dict) and isinstance(before, dict)):
            wish[name] = value
        elif name == "memory" and "nodes" in value:
            # other nodes are for now, unless that is said anew
            wish[name] = merged(without(before, ["migrate"]), value)
        else:
            wish[name] = merged(before, value)
    return wish


def without(wish: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the fields of a wish but for some."""
    return {name: value for name, value in wish.items() if name not in names}


def size(text: str) -> dict[str, int]:
    """Return the size that text such as ``vcpus=4,memory=8GiB,iothreads=1`` describes."""
    found = _fields(text, {"vcpus": _count, "memory": mebibytes, "iothreads": _count})
    if not {"vcpus", "memory"} <= found.keys():
        raise argparse.ArgumentTypeError(f"'{text}' lacks vcpus or memory")
    found["memory_mib"] = found.pop("memory")
    return found


def mebibytes(text: str) -> int:
    """Return how many MiB a size such as ``8GiB`` or ``8192`` is."""
    number, unit = _size(text)
    kib = number * _KIB[unit or "MiB"]
    if kib % 1024:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of MiB")
    return kib // 1024


def _size(text: str) -> tuple[int, str | None]:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 4096 or 8GiB")
    return int(match[1]), match[2]


def _page_size(text: str) -> int | str:
    if text in ("any", "large"):
        return text
    number, unit = _size(text)
    return number * _KIB[unit or "KiB"]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form <numbers>=<pcpus>")
    return key, value


def _number(text: str) -> tuple[str, int]:
    key, value = _pair(text)
    try:
        return key, int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{value}' is not a number") from None


def _numa_node(text: str) -> dict[str, Any]:
    reads = {"vcpus": str, "memory": mebibytes, "page-size": _page_size, "host-node": _count}
    names = {"memory": "memory_mib", "page-size": "page_size_kib", "host-node": "host_node"}
    found = _fields(text, reads)
    return {names.get(key, key): value for key, value in found.items()}


def _fields(text: str, reads: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``a=1,b=2``; a part without ``=`` belongs to the value before it."""
    parts: list[str] = []
    for part in text.split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    found = {}
    for part in parts:
        key, value = _pair(part)
        if key not in reads:
            raise argparse.ArgumentTypeError(f"'{key}' is none of {', '.join(reads)}")
        found[key] = reads[key](value)
    return found


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        return
    before = fields.get(name)
    both = isinstance(before, dict) and isinstance(value, dict)
    fields[name] = merged(before, value) if both and before is not None else value


def _spread(pairs: list[tuple[str, str]] | None, option: str) -> dict[str, str] | None:
    """Return places by single number, so that a later one replaces an earlier one."""
    if pairs is None:
        return None
    places = {}
    for key, value in pairs:
        for number in _numbers(key, option):
            places[number] = value
    return places


def _numbers(key: str, option: str) -> list[str]:
    if key == "*":
        return [key]
    try:
        return [str(number) for number in cpuset.members(cpuset.parse(key))]
    except cpuset.CpuSetError as error:
        raise exceptions.CommandError(f"{option} {key}: {error}") from error


def qos(pairs: list[tuple[str, int]] | None) -> dict[str, Any] | None:
    """Return the limits that options name; None without options.

    :raises CommandError: a vCPU has no number
    """
    if pairs is None:
        return None
    limits: dict[str, Any] = {}
    for key, value in pairs:
        if not key.startswith("vcpus."):
            limits[key] = value
            continue
        _, numbers, measure = (key.split(".", 2) + [""])[:3]
        for number in _numbers(numbers, "--qos vcpus."):
            limits.setdefault("vcpus", {}).setdefault(number, {})[measure] = value
    return limits


def read(option: str, path: str) -> dict[str, Any]:
    """Return the content of a file of JSON or YAML, ``-`` for standard input.

    :raises CommandError: it cannot be read, or is not an object
    """
    try:
        text = sys.stdin.read() if path == "-" else pathlib.Path(path).read_text()
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise exceptions.CommandError(f"{option} {path}: {reason}") from error
    if not isinstance(found, dict):
        raise exceptions.CommandError(f"{option} {path}: is not an object")
    return found
