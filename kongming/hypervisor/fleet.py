# SPDX-License-Identifier: Apache-2.0
"""The fleet file: simulated hosts and their instances, in YAML."""

import dataclasses
import pathlib
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from kongming.topology import cpuset, form
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

MAX_HOSTS = 10000
MAX_INSTANCES = 100000
STATES = ("running", "paused", "shutoff")
_DEFAULT_FILE = pathlib.Path(__file__).with_name("default_fleet.yaml")
_MAX_MIB = 1 << 24
_HUGE_PAGES_KIB = (2048, 1048576)
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# Whatever is made up follows from this, so that a fleet is the same after a restart.
_NAMESPACE = uuid.UUID("6f2a3c8e-1d0b-5b7e-9a54-c1e7d20f8b36")


class FleetError(ValueError):
    """The fleet cannot be had; the message begins with the path of the field at fault."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)


@dataclasses.dataclass(frozen=True)
class InstanceSpec:
    """One instance as Nova made it.

    ``vcpu_pins`` maps a vCPU to the bitmask of the pCPUs that Nova gave it,
    ``memory_nodes`` is the bitmask of the NUMA nodes to which Nova bound its memory.
    """

    uuid: str
    name: str
    project_id: str
    user_id: str
    vcpus: int
    memory_mib: int
    iothreads: int
    state: str
    dedicated: bool
    vcpu_pins: Mapping[int, int]
    memory_nodes: int | None

    @property
    def iothread_ids(self) -> list[int]:
        """The ids of the I/O threads."""
        return list(range(1, self.iothreads + 1))

    def given(self) -> Placement:
        """Return the entries that Nova writes into the definition of the instance."""
        placement = Placement({Part("vcpu", n): mask for n, mask in self.vcpu_pins.items()})
        if self.dedicated and self.vcpu_pins:
            placement[EMULATOR] = placement.vcpu_cpus
        if self.memory_nodes is not None:
            placement[MEMORY] = self.memory_nodes
        return placement


@dataclasses.dataclass(frozen=True)
class HostSpec:
    """One host; ``huge_pages`` maps a page size in KiB to the pages on each NUMA node.

    ``devices`` maps the address of a PCI device to its NUMA node, -1 for none.
    ``move_mib_per_s`` is how fast memory moves between NUMA nodes, None for at once.
    """

    name: str
    nodes: int
    cores_per_node: int
    threads_per_core: int
    memory_mib_per_node: int
    huge_pages: Mapping[int, int]
    offline: int = 0
    isolated: int = 0
    devices: Mapping[str, int] = dataclasses.field(default_factory=dict)
    move_mib_per_s: int | None = None
    instances: tuple[InstanceSpec, ...] = ()

    @property
    def cpus(self) -> int:
        """Bitmask of all pCPUs, online or not."""
        return (1 << self.nodes * self.cores_per_node * self.threads_per_core) - 1

    @property
    def node_ids(self) -> int:
        """Bitmask of all NUMA nodes."""
        return (1 << self.nodes) - 1

    @property
    def small_pages_mib(self) -> int:
        """What each NUMA node has in pages of 4 KiB."""
        huge_kib = sum(size * pages for size, pages in self.huge_pages.items())
        return self.memory_mib_per_node - huge_kib // 1024

    def core_cpus(self, node: int, core: int) -> int:
        """Return the bitmask of the sibling pCPUs of one core, as Linux on x86 numbers them."""
        first = node * self.cores_per_node + core
        step = self.nodes * self.cores_per_node
        return cpuset.from_members(first + t * step for t in range(self.threads_per_core))


def allocate(free: Mapping[int, int], nodes: int, mib: int) -> dict[int, int] | None:
    """Return how many MiB to take of each node in the bitmask ``nodes``, lowest first.

    :param free: free MiB by node id
    :returns: None when these nodes have less than ``mib`` together
    """
    taken = {}
    for node in cpuset.members(nodes):
        taken[node] = min(free[node], mib)
        mib -= taken[node]
    return None if mib else taken


def load(path: str | None = None) -> tuple[HostSpec, ...]:
    """Return the hosts of a fleet file, or those of the default fleet.

    :raises FleetError: the file is unreadable or says something impossible
    """
    file = pathlib.Path(path) if path else _DEFAULT_FILE
    try:
        document = yaml.safe_load(file.read_bytes())
    except Exception as error:  # PyYAML raises almost anything for a scalar with a wrong tag
        raise FleetError(str(file), f"unreadable: {error}") from error
    return parse(document)


def parse(document: object) -> tuple[HostSpec, ...]:
    """Return the hosts that the content of a fleet file describes, each under its own name.

    :raises FleetError: naming the first field that is unknown, missing or impossible
    """
    fields = _Fields(document, "", {"hosts"})
    hosts: dict[str, HostSpec] = {}
    uuids: set[str] = set()
    for path, entry in fields.entries("hosts", MAX_HOSTS):
        for host in _hosts(entry, path):
            if host.name in hosts:
                raise FleetError(f"{path}.name", f"there already is a host {host.name}")
            hosts[host.name] = host
            for number, instance in enumerate(host.instances):
                if instance.uuid in uuids:
                    where = f"{path}.instances[{number}].uuid"
                    raise FleetError(where, "another instance has this UUID")
                uuids.add(instance.uuid)
            if len(hosts) > MAX_HOSTS or len(uuids) > MAX_INSTANCES:
                limits = f"{MAX_HOSTS} hosts and {MAX_INSTANCES} instances"
                raise FleetError(path, f"a fleet has at most {limits}")
    if not hosts:
        raise FleetError("hosts", "a fleet has at least one host")
    return tuple(hosts.values())


def parse_instance(value: object, path: str, host: HostSpec) -> InstanceSpec:
    """Return the instance on ``host`` that one entry of ``instances`` describes.

    :param path: where the entry stands, for messages
    :raises FleetError: a field is wrong, or the host lacks a place that it names
    """
    known = {field.name for field in dataclasses.fields(InstanceSpec)}
    fields = _Fields(value, path, known)
    name = fields.text("name")
    vcpus = fields.integer("vcpus", 1, 1024)
    dedicated = fields.choice("dedicated", (False, True))
    return InstanceSpec(
        uuid=fields.uuid() or _made_up(f"{host.name}/{name}"),
        name=name,
        project_id=fields.text("project_id", _made_up("project").replace("-", "")),
        user_id=fields.text("user_id", _made_up("user").replace("-", "")),
        vcpus=vcpus,
        memory_mib=fields.integer("memory_mib", 1, _MAX_MIB),
        iothreads=fields.integer("iothreads", 0, 64, default=0),
        state=fields.choice("state", STATES),
        dedicated=dedicated,
        vcpu_pins=_pins(fields, host, vcpus, dedicated),
        memory_nodes=fields.subset("memory_nodes", "NUMA node", host.node_ids),
    )


def _hosts(value: object, path: str) -> Iterator[HostSpec]:
    known = {field.name for field in dataclasses.fields(HostSpec)} | {"count"}
    fields = _Fields(value, path, known)
    name = fields.text("name")
    if not _HOST_NAME.fullmatch(name):
        raise FleetError(f"{path}.name", "must be a host name of at most 200 characters")
    count = fields.integer("count", 1, MAX_HOSTS, default=1)
    host = HostSpec(
        name=name,
        nodes=fields.integer("nodes", 1, 64),
        cores_per_node=fields.integer("cores_per_node", 1, 512),
        threads_per_core=fields.integer("threads_per_core", 1, 8, default=1),
        memory_mib_per_node=fields.integer("memory_mib_per_node", 1, _MAX_MIB),
        huge_pages=_huge_pages(fields),
    )
    if host.cpus.bit_length() > cpuset.MAX_NUMBER + 1:
        raise FleetError(path, f"has over {cpuset.MAX_NUMBER + 1} pCPUs")
    if host.small_pages_mib < 0:
        raise FleetError(f"{path}.huge_pages", "larger than the memory of a NUMA node")
    offline = fields.subset("offline", "pCPU", host.cpus) or 0
    if offline == host.cpus:
        raise FleetError(f"{path}.offline", "no pCPU would be left")
    isolated = fields.subset("isolated", "pCPU", host.cpus) or 0
    host = dataclasses.replace(
        host,
        offline=offline,
        isolated=isolated,
        devices=_devices(fields, host),
        move_mib_per_s=fields.optional_integer("move_mib_per_s", 1, _MAX_MIB),
    )
    host = dataclasses.replace(host, instances=_instances(fields, host, count))
    if count == 1:
        yield host
        return
    for number in range(1, count + 1):
        copy = f"{name}-{number:04d}"
        instances = tuple(
            dataclasses.replace(instance, uuid=_made_up(f"{copy}/{instance.name}"))
            for instance in host.instances
        )
        yield dataclasses.replace(host, name=copy, instances=instances)


def _instances(fields: "_Fields", host: HostSpec, count: int) -> tuple[InstanceSpec, ...]:
    instances: dict[str, InstanceSpec] = {}
    free = dict.fromkeys(range(host.nodes), host.small_pages_mib)
    for path, entry in fields.entries("instances", MAX_INSTANCES):
        instance = parse_instance(entry, path, host)
        if instance.name in instances:
            raise FleetError(f"{path}.name", "another instance of this host has this name")
        if count > 1 and "uuid" in entry:
            raise FleetError(f"{path}.uuid", "impossible when count is more than 1")
        instances[instance.name] = instance
        if instance.state == "shutoff":
            continue
        nodes = host.node_ids if instance.memory_nodes is None else instance.memory_nodes
        taken = allocate(free, nodes, instance.memory_mib)
        if taken is None:
            left = sum(free[node] for node in cpuset.members(nodes))
            reason = f"NUMA nodes {cpuset.to_text(nodes)} have only {left} MiB left"
            raise FleetError(f"{path}.memory_mib", reason)
        for node, mib in taken.items():
            free[node] -= mib
    return tuple(instances.values())


def _pins(fields: "_Fields", host: HostSpec, vcpus: int, dedicated: bool) -> dict[int, int]:
    pins: dict[int, int] = {}
    for key, value in fields.mapping("vcpu_pins").items():
        numbers = _set(key, f"{fields.path}.vcpu_pins")
        path = f"{fields.path}.vcpu_pins.{cpuset.to_text(numbers)}"
        mask = _subset(value, path, "pCPU", host.cpus)
        if offline := mask & host.offline:
            raise FleetError(path, f"pCPU {cpuset.to_text(offline)} is offline")
        for number in cpuset.members(numbers):
            if number >= vcpus:
                raise FleetError(path, f"the instance has no vCPU {number}")
            if number in pins:
                raise FleetError(path, f"vCPU {number} is named twice")
            if dedicated and (mask.bit_count() > 1 or mask in pins.values()):
                raise FleetError(path, "a dedicated vCPU has one pCPU, which no other vCPU has")
            pins[number] = mask
    return pins


def _huge_pages(fields: "_Fields") -> dict[int, int]:
    pages = fields.mapping("huge_pages")
    path = f"{fields.path}.huge_pages"
    if any(type(size) is not int or size not in _HUGE_PAGES_KIB for size in pages):
        raise FleetError(path, f"sizes in KiB are {' and '.join(map(str, _HUGE_PAGES_KIB))}")
    sizes = _Fields(pages, path, set(pages))
    return {size: sizes.integer(size, 0, _MAX_MIB) for size in sorted(pages)}


def _devices(fields: "_Fields", host: HostSpec) -> dict[str, int]:
    devices: dict[str, int] = {}
    for key, node in fields.mapping("devices").items():
        try:
            address = form.pci_address(f"{fields.path}.devices", key)
        except form.WishError as error:
            # without quotes YAML takes 0000:00:03.0 for a number, in base 60
            raise FleetError(error.field, f"a key {error.reason}, in quotes") from error
        path = f"{fields.path}.devices.{address}"
        if address in devices:
            raise FleetError(path, "is named twice")
        if type(node) is not int or not -1 <= node < host.nodes:
            raise FleetError(path, f"must be a NUMA node from 0 to {host.nodes - 1}, or -1")
        devices[address] = node
    return devices


def _made_up(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def _set(value: object, path: str) -> int:
    # YAML reads a lone number without quotes as one.
    if type(value) is int and 0 <= value <= cpuset.MAX_NUMBER:
        return 1 << value
    if not isinstance(value, str):
        raise FleetError(path, "must be a set such as '0-3,8'")
    try:
        return cpuset.parse(value)
    except cpuset.CpuSetError as error:
        raise FleetError(path, str(error)) from error


def _subset(value: object, path: str, what: str, whole: int) -> int:
    mask = _set(value, path)
    if absent := mask & ~whole:
        raise FleetError(path, f"the host has no {what} {cpuset.to_text(absent)}")
    return mask


class _Fields:
    """The fields of one mapping in the file; those without a default are required."""

    def __init__(self, value: object, path: str, known: set[Any]) -> None:
        if not isinstance(value, dict):
            raise FleetError(path, "must be a mapping")
        for key in value:
            if key not in known:
                if not isinstance(key, str):
                    raise FleetError(path, "has a key that is not text")
                raise FleetError(f"{path}.{key[:64]}".lstrip("."), "unknown key")
        self._values = value
        self.path = path

    def _get(self, key: Any, default: Any = None) -> tuple[Any, str]:
        path = f"{self.path}.{key}".lstrip(".")
        value = self._values.get(key, default)
        if value is None:
            raise FleetError(path, "a value is required")
        return value, path

    def integer(self, key: Any, low: int, high: int, default: int | None = None) -> int:
        value, path = self._get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise FleetError(path, f"must be a whole number from {low} to {high}")
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        return self.integer(key, low, high) if key in self._values else None

    def text(self, key: str, default: str | None = None) -> str:
        value, path = self._get(key, default)
        if not (isinstance(value, str) and value.isprintable() and 0 < len(value) < 256):
            raise FleetError(path, "must be text (quote a number) of 1 to 255 characters")
        return value

    def uuid(self) -> str | None:
        if "uuid" not in self._values:
            return None
        value, path = self._get("uuid")
        try:
            return str(uuid.UUID(value))
        except (AttributeError, TypeError, ValueError) as error:
            raise FleetError(path, "is not a UUID") from error

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        """Return one of ``choices``; the first is the default."""
        value, path = self._get(key, choices[0])
        if type(value) is not type(choices[0]) or value not in choices:
            raise FleetError(path, f"must be one of {', '.join(map(str, choices)).lower()}")
        return value

    def subset(self, key: str, what: str, whole: int) -> int | None:
        return _subset(*self._get(key), what, whole) if key in self._values else None

    def mapping(self, key: str) -> dict[Any, Any]:
        value, path = self._get(key, {})
        if not isinstance(value, dict):
            raise FleetError(path, "must be a mapping")
        return value

    def entries(self, key: str, limit: int) -> Iterator[tuple[str, Any]]:
        """Yield the path and the content of each entry of a list."""
        value, path = self._get(key, [])
        if not isinstance(value, list) or len(value) > limit:
            raise FleetError(path, f"must be a list of at most {limit} entries")
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(value))
