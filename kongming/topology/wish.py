# SPDX-License-Identifier: Apache-2.0
"""What somebody asks for one instance: the body of a pin, checked for its form."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kongming.topology import cpuset, form, layout, qos
from kongming.topology.form import PageSize, WishError
from kongming.topology.layout import GuestNode
from kongming.topology.qos import Qos

__all__ = ["CPU_POLICIES", "EMULATOR_POLICIES", "EVERY", "THREAD_POLICIES", "Wish", "WishError"]

CPU_POLICIES = ("dedicated", "shared")
THREAD_POLICIES = ("prefer", "isolate", "require")
EMULATOR_POLICIES = ("share", "isolate")
#: The key in ``vcpus`` for every vCPU that no other key names.
EVERY = "*"


@dataclasses.dataclass(frozen=True)
class Wish:
    """Places for the parts of an instance: exact, or described; what is absent is left alone.

    ``vcpus`` and ``iothreads`` map a number to a pCPU bitmask, ``every_vcpu`` holds for
    the vCPUs that ``vcpus`` does not name, ``memory_nodes`` is a bitmask of NUMA nodes. Without
    ``migrate`` these are for the next start, and memory stays until then.
    A dedicated vCPU without exact place gets one pCPU of its own; ``thread_policy`` says
    how those use the siblings of a core. ``numa_nodes`` is the layout that the guest sees,
    or how many even nodes it has; ``page_size`` (KiB or a word) is for a layout that does
    not list its nodes. ``near`` and ``avoid`` name other instances by uuid. ``override`` takes
    an instance over that others gave pCPUs for itself. ``qos`` is how much CPU time its parts get.
    Without ``enforce`` nobody puts back what somebody moves.
    """

    cpu_policy: str = "shared"
    vcpus: Mapping[int, int] = dataclasses.field(default_factory=dict)
    every_vcpu: int | None = None
    emulator: int | None = None
    iothreads: Mapping[int, int] = dataclasses.field(default_factory=dict)
    memory_nodes: int | None = None
    migrate: bool = True
    thread_policy: str = "prefer"
    emulator_policy: str | None = None
    numa_nodes: int | tuple[GuestNode, ...] | None = None
    page_size: PageSize = None
    pci_device: str | None = None
    avoid: tuple[str, ...] = ()
    near: str | None = None
    override: bool = False
    enforce: bool = True
    qos: Qos | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Wish":
        """Return the wish in a pin's body (other keys of the body are ignored).

        :raises WishError: naming the first field that is malformed or contradicts another
        """
        vcpus = dict(data.get("vcpus") or {})
        every = vcpus.pop(EVERY, None)
        emulator = data.get("emulator")
        by_word = emulator in EMULATOR_POLICIES
        memory = data.get("memory") or {}
        if data.get("memory") == {}:
            raise WishError("memory", "must say nodes or page_size_kib")
        nodes = memory.get("nodes")
        numa_nodes = data.get("numa_nodes")
        pci_device = data.get("pci_device")
        near = data.get("near")
        wish = cls(
            cpu_policy=form.choice("cpu_policy", data.get("cpu_policy") or "shared", CPU_POLICIES),
            vcpus=form.numbered("vcpus", vcpus),
            every_vcpu=None if every is None else form.mask(f"vcpus.{EVERY}", every),
            emulator=None if emulator is None or by_word else form.mask("emulator", emulator),
            iothreads=form.numbered("iothreads", data.get("iothreads") or {}),
            memory_nodes=None if nodes is None else form.mask("memory.nodes", nodes),
            migrate=_migrate(memory),
            thread_policy=form.choice(
                "thread_policy", data.get("thread_policy") or "prefer", THREAD_POLICIES
            ),
            emulator_policy=emulator if by_word else None,
            numa_nodes=None if numa_nodes is None else layout.parse("numa_nodes", numa_nodes),
            page_size=form.page_size("memory.page_size_kib", memory.get("page_size_kib")),
            pci_device=None if pci_device is None else form.pci_address("pci_device", pci_device),
            avoid=_avoid(data.get("avoid", [])),
            near=None if near is None else form.instance("near", near),
            override=bool(data.get("override")),
            enforce=data.get("enforce") is not False,
            qos=qos.parse("qos", data["qos"]) if "qos" in data else None,
        )
        if data.get("thread_policy") and wish.cpu_policy != "dedicated":
            raise WishError("thread_policy", "is for cpu_policy dedicated alone")
        if wish.emulator_policy == "isolate" and wish.cpu_policy != "dedicated":
            raise WishError("emulator", "isolate is for cpu_policy dedicated alone")
        _check_nodes(wish)
        return wish

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The uuids of the instances that the wish names."""
        return (*self.avoid, self.near) if self.near else self.avoid

    @property
    def named_places(self) -> list[str]:
        """The fields that name pCPUs, NUMA nodes or a device of a host."""
        listed = self.numa_nodes if isinstance(self.numa_nodes, tuple) else ()
        named: tuple[tuple[str, object], ...] = (
            *((f"vcpus.{number}", mask) for number, mask in sorted(self.vcpus.items())),
            (f"vcpus.{EVERY}", self.every_vcpu),
            ("emulator", self.emulator),
            *((f"iothreads.{number}", mask) for number, mask in sorted(self.iothreads.items())),
            ("memory.nodes", self.memory_nodes),
            *((f"numa_nodes.{n}.host_node", node.host_node) for n, node in enumerate(listed)),
            ("pci_device", self.pci_device),
        )
        return [field for field, place in named if place is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form of the wish; `from_dict` reads it back."""
        vcpus = _texts(self.vcpus)
        if self.every_vcpu is not None:
            vcpus[EVERY] = cpuset.to_text(self.every_vcpu)
        memory: dict[str, Any] = {}
        if self.memory_nodes is not None:
            memory["nodes"] = cpuset.to_text(self.memory_nodes)
        if not self.migrate:
            memory["migrate"] = False
        if self.page_size is not None:
            memory["page_size_kib"] = self.page_size
        fields: tuple[tuple[str, Any], ...] = (
            ("thread_policy", None if self.thread_policy == "prefer" else self.thread_policy),
            ("vcpus", vcpus),
            ("emulator", self.emulator_policy or cpuset.to_text(self.emulator or 0)),
            ("iothreads", _texts(self.iothreads)),
            (
                "numa_nodes",
                layout.to_list(self.numa_nodes)
                if isinstance(self.numa_nodes, tuple)
                else self.numa_nodes,
            ),
            ("memory", memory),
            ("pci_device", self.pci_device),
            ("avoid", list(self.avoid)),
            ("near", self.near),
            ("override", self.override),
            ("qos", None if self.qos is None else self.qos.to_dict()),
        )
        data = {"cpu_policy": self.cpu_policy} | {key: value for key, value in fields if value}
        return data if self.enforce else data | {"enforce": False}


def _texts(masks: Mapping[int, int]) -> dict[str, str]:
    return {str(number): cpuset.to_text(mask) for number, mask in sorted(masks.items())}


def _avoid(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > form.MAX_AVOID:
        raise WishError("avoid", f"must be a list of at most {form.MAX_AVOID} uuids")
    return tuple(form.instance(f"avoid.{number}", item) for number, item in enumerate(value))


def _migrate(memory: Mapping[str, Any]) -> bool:
    migrate = memory.get("migrate", True)
    if not isinstance(migrate, bool):
        raise WishError("memory.migrate", "must be true or false")
    if "migrate" in memory and memory.get("nodes") is None:
        raise WishError("memory.migrate", "belongs to memory.nodes")
    return migrate


def _check_nodes(wish: Wish) -> None:
    """Refuse a layout that contradicts what the wish says of its memory."""
    nodes = wish.numa_nodes
    listed = nodes if isinstance(nodes, tuple) else ()
    if listed and wish.page_size is not None:
        raise WishError("memory.page_size_kib", "belongs to the guest nodes that numa_nodes lists")
    if wish.memory_nodes is None or nodes is None:
        return
    count = nodes if isinstance(nodes, int) else len(nodes)
    if wish.memory_nodes.bit_count() < count:
        raise WishError("memory.nodes", f"{count} guest nodes need as many NUMA nodes")
    for number, node in enumerate(listed):
        if node.host_node is not None and not wish.memory_nodes >> node.host_node & 1:
            raise WishError(f"numa_nodes.{number}.host_node", "is not among memory.nodes")
