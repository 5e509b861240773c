# SPDX-License-Identifier: Apache-2.0
"""What a libvirt domain document says about an instance: its size, its owner, its pins."""

import dataclasses
from collections.abc import Iterable
from xml.etree import ElementTree  # nosec B405 # for its types

from kongming.topology import cpuset, markup
from kongming.topology.part import Number
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

#: The numbers of QoS in ``<cputune>``; libvirt has one for all vCPUs, and one for all I/O threads.
_NUMBERS: tuple[tuple[str, Number], ...] = (
    ("shares", "cpu_shares"),
    ("global_quota", "global_quota"),
    ("global_period", "global_period"),
    ("emulator_quota", "emulator_quota"),
    ("emulator_period", "emulator_period"),
    ("iothread_quota", "iothread_quota"),
    ("iothread_period", "iothread_period"),
    ("quota", "vcpu_quota"),
    ("period", "vcpu_period"),
)
#: Nova's metadata, whatever its version (nova.virt.libvirt.config.NOVA_NS ends in 1.0 or 1.1).
_NOVA = "{http://openstack.org/xmlns/libvirt/nova/"

#: More than QEMU starts; it bounds what one document can cost.
_MAX_IOTHREADS = 4096


class DomainXmlError(ValueError):
    """The document does not describe a domain."""


@dataclasses.dataclass(frozen=True)
class Domain:
    """One domain; the element names are those of libvirt's formatdomain.

    ``vcpus`` are those that it has now, of the ``max_vcpus`` that it can be given.
    ``iothreads`` are the ids of its I/O threads. ``cpuset`` is ``<vcpu cpuset>``, the
    pCPUs of every thread without an entry of its own; 0 if not given. ``pins`` has just the
    explicit entries of ``<cputune>`` and ``<numatune>``, and ``numbers`` those of QoS, shares as
    they stand there; ``memory_mode`` is None without ``<numatune><memory>``. The last three come
    from Nova's metadata, if that is there.
    """

    uuid: str
    name: str
    memory_mib: int
    vcpus: int
    max_vcpus: int
    iothreads: tuple[int, ...]
    cpuset: int
    pins: Placement
    numbers: Placement
    memory_mode: str | None
    display_name: str | None
    project_id: str | None
    user_id: str | None

    @property
    def threads(self) -> list[Part]:
        """The parts that have a number: vCPUs and I/O threads."""
        vcpus = [Part("vcpu", number) for number in range(self.vcpus)]
        return vcpus + [Part("iothread", number) for number in self.iothreads]


def parse(document: str) -> Domain:
    """Return the domain in a document of `virDomainGetXMLDesc`.

    Tenants choose some of its text (names), which libvirt escapes.

    :raises DomainXmlError: a part that libvirt always writes is missing or malformed
    """
    try:
        root = markup.root(document)
        vcpu = _child(root, "vcpu")
        maximum = int(vcpu.text or "")
        current = int(vcpu.get("current", maximum))
        iothreads = _iothreads(root)
        memory = root.find("./numatune/memory")
        return Domain(
            uuid=_child(root, "uuid").text or "",
            name=_child(root, "name").text or "",
            memory_mib=int(_child(root, "memory").text or "") // 1024,
            vcpus=current,
            max_vcpus=maximum,
            iothreads=iothreads,
            cpuset=cpuset.parse(vcpu.attrib["cpuset"]) if "cpuset" in vcpu.attrib else 0,
            pins=_pins(root),
            numbers=_numbers(root, range(current), iothreads),
            memory_mode=None if memory is None else memory.get("mode"),
            **_nova(root),
        )
    except (KeyError, ValueError) as error:
        raise DomainXmlError(f"unreadable domain XML: {error!r}") from error


def _child(root: ElementTree.Element, name: str) -> ElementTree.Element:
    element = root.find(name)
    if element is None:
        raise DomainXmlError(f"no <{name}>")
    return element


def _iothreads(root: ElementTree.Element) -> tuple[int, ...]:
    listed = {int(element.attrib["id"]) for element in root.findall("./iothreadids/iothread")}
    # <iothreads> may count more than are listed: libvirt gives those the lowest free ids.
    count = int(root.findtext("iothreads") or 0)
    if count > _MAX_IOTHREADS:
        raise ValueError(f"{count} I/O threads are over {_MAX_IOTHREADS}")
    number = 1
    while len(listed) < count:
        listed.add(number)
        number += 1
    return tuple(sorted(listed))


def _pins(root: ElementTree.Element) -> Placement:
    pins = Placement()
    for entry in root.findall("./cputune/vcpupin"):
        pins[Part("vcpu", int(entry.attrib["vcpu"]))] = cpuset.parse(entry.attrib["cpuset"])
    for entry in root.findall("./cputune/iothreadpin"):
        pins[Part("iothread", int(entry.attrib["iothread"]))] = cpuset.parse(entry.attrib["cpuset"])
    for entry in root.findall("./cputune/emulatorpin"):
        pins[EMULATOR] = cpuset.parse(entry.attrib["cpuset"])
    for entry in root.findall("./numatune/memory[@nodeset]"):
        pins[MEMORY] = cpuset.parse(entry.attrib["nodeset"])
    return pins


def _numbers(
    root: ElementTree.Element, vcpus: Iterable[int], iothreads: Iterable[int]
) -> Placement:
    owners = {"vcpu": vcpus, "iothread": iothreads}
    found = Placement()
    for name, kind in _NUMBERS:
        for entry in root.findall(f"./cputune/{name}"):
            for number in owners.get(Part(kind).owner, (0,)):
                found[Part(kind, number)] = int(entry.text or "")
    return found


def _nova(root: ElementTree.Element) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(("display_name", "project_id", "user_id"))
    for instance in root.findall("./metadata/{*}instance"):
        if instance.tag.startswith(_NOVA):
            found["display_name"] = instance.findtext("{*}name") or None
            for kind in ("project", "user"):
                owner = instance.find(f"{{*}}owner/{{*}}{kind}")
                if owner is not None:
                    found[f"{kind}_id"] = owner.get("uuid") or None
    return found
