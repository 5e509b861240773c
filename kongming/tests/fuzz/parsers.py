# SPDX-License-Identifier: Apache-2.0
"""The parsers of what others write, for atheris: ``python -m kongming.tests.fuzz.parsers NAME``.

What follows the name is for libFuzzer: ``-runs=1000000``, a directory with inputs to begin with.
"""

import contextlib
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import atheris

with atheris.instrument_imports(include=["kongming"]):
    import webob
    import yaml
    from wsme.rest import json as wsme_json

    from kongming import exception
    from kongming.api import body
    from kongming.api.v1 import pins
    from kongming.compute import hint, metadata
    from kongming.hypervisor import arrival_xml, device_xml, domain_xml, fleet
    from kongming.topology import capabilities, cpuset
    from kongming.topology.wish import Wish, WishError


def _cpuset(text: str) -> None:
    mask = cpuset.parse(text)
    assert cpuset.parse(cpuset.to_text(mask)) == mask


def _capabilities(text: str) -> None:
    capabilities.parse(text).to_dict()


def _arrival(text: str) -> None:
    assert not arrival_xml.fitted(arrival_xml.fitted(text, 0b11, 1) or text, 0b11, 1)


def _hint(text: str) -> None:
    found = hint.parse(text)
    if isinstance(found, dict):
        hint.iothreads(found)


def _metadata(text: str) -> None:
    wish = metadata.wish_of(text)
    assert Wish.from_dict(wish.to_dict()) == wish


def _wish(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    request = webob.Request.blank("/", method="PUT", body=data, content_type="application/json")
    asked = body.read(request, pins.ChangedPin)
    wish = Wish.from_dict(wsme_json.tojson(pins.ChangedPin, asked))
    assert Wish.from_dict(wish.to_dict()) == wish


def _fleet(text: str) -> None:
    try:
        document = yaml.safe_load(text)
    except Exception:  # fleet.load catches whatever PyYAML has to say
        return
    fleet.parse(document)


class Parser(NamedTuple):
    """A function, the error that it may end with, and an input that it accepts."""

    read: Callable[[str], object]
    refuses: type[Exception]
    sample: str


DOMAIN = """<domain type='kvm'><name>v</name><uuid>11111111-1111-4111-8111-111111111111</uuid>
<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<nova:name>v</nova:name><nova:owner><nova:user uuid="u">u</nova:user><nova:project uuid="p">p
</nova:project></nova:owner></nova:instance></metadata><memory unit='KiB'>65536</memory>
<vcpu placement='static' cpuset='0-3' current='2'>3</vcpu><iothreads>2</iothreads>
<iothreadids><iothread id='4'/></iothreadids><cputune><vcpupin vcpu='0' cpuset='1'/>
<emulatorpin cpuset='0-9,^3'/><iothreadpin iothread='1' cpuset='3'/></cputune>
<numatune><memory mode='restrictive' nodeset='0-1'/></numatune></domain>"""
CAPABILITIES = """<capabilities><host><topology><cells num='1'><cell id='0'>
<memory unit='KiB'>8388608</memory><pages unit='KiB' size='4'>1000</pages>
<distances><sibling id='0' value='10'/></distances><cpus num='2'>
<cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0-1'/>
<cpu id='1' socket_id='0' die_id='0' core_id='0' siblings='0,1'/></cpus></cell></cells>
</topology></host></capabilities>"""
DEVICE = """<device><name>n</name><capability type='pci'><domain>0</domain><bus>59</bus>
<slot>3</slot><function>1</function><numa node='1'/></capability></device>"""
WISH = """{"cpu_policy": "dedicated", "thread_policy": "isolate", "vcpus": {"0": "4", "1-3": "5-7"},
"numa_nodes": [{"vcpus": "0-3", "memory_mib": 64, "page_size_kib": 2048, "host_node": 0}],
"emulator": "isolate", "iothreads": {"1": "2"}, "memory": {"nodes": "0"},
"avoid": ["11111111-1111-4111-8111-111111111111"], "pci_device": "0000:3b:00.1"}"""
FLEET = """{hosts: [{name: a, count: 2, nodes: 2, cores_per_node: 2, threads_per_core: 2,
memory_mib_per_node: 4096, huge_pages: {2048: 4}, offline: "3", devices: {"0000:3b:00.1": 0},
instances: [{name: v, vcpus: 2, memory_mib: 64, iothreads: 1, state: running, dedicated: true,
vcpu_pins: {"0": "1", "1": 2}, memory_nodes: "0"}]}]}"""

PARSERS = {
    "cpuset": Parser(_cpuset, cpuset.CpuSetError, "0-3,^2, 8"),
    "capabilities": Parser(_capabilities, capabilities.CapabilitiesError, CAPABILITIES),
    "domain": Parser(domain_xml.parse, domain_xml.DomainXmlError, DOMAIN),
    "device": Parser(device_xml.parse, device_xml.DeviceXmlError, DEVICE),
    "arrival": Parser(_arrival, arrival_xml.ArrivalXmlError, DOMAIN),
    "hint": Parser(_hint, hint.HintError, WISH),
    "metadata": Parser(_metadata, WishError, WISH),
    "wish": Parser(_wish, (exception.BadRequest, WishError), WISH),  # type: ignore[arg-type]
    "fleet": Parser(_fleet, fleet.FleetError, FLEET),
}


def main() -> None:
    """Try inputs until the count is reached or one ends with another error."""
    parser = PARSERS[sys.argv[1]]

    slots = [match.span() for match in re.finditer(r"[\w.:^,-]+", parser.sample)]

    def try_one(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        # what is well-formed but for its words and numbers gets further than what is not
        if data.startswith(b"@") and len(data) > 1:
            start, end = slots[data[1] % len(slots)]
            text = parser.sample[:start] + data[2:].decode("utf-8", "replace") + parser.sample[end:]
        with contextlib.suppress(parser.refuses):
            parser.read(text)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
