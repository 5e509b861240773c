# SPDX-License-Identifier: Apache-2.0
"""What is taken out of the definition of an instance that comes to a smaller host."""

from xml.etree import ElementTree

from kongming.hypervisor import arrival_xml, domain_xml
from kongming.tests import base
from kongming.topology.placement import EMULATOR, MEMORY, Part

DOMAIN = """<domain type='qemu'>
  <name>vnf</name>
  <uuid>8a6b0c1e-5d53-4fd4-9d1c-0f4f7a2b3c4d</uuid>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
      <nova:name>&lt;vnf&gt;</nova:name>
    </nova:instance>
  </metadata>
  <memory unit='KiB'>65536</memory>
  <vcpu placement='static'>3</vcpu>
  <iothreads>1</iothreads>
  <cputune>
    <shares>512</shares>
    <vcpupin vcpu='0' cpuset='1'/>
    <vcpupin vcpu='1' cpuset='1,3'/>
    <vcpupin vcpu='2' cpuset='2-3'/>
    <emulatorpin cpuset='{emulator}'/>
    <iothreadpin iothread='1' cpuset='3'/>
  </cputune>
  <numatune>
    <memory mode='{mode}' nodeset='1'/>
  </numatune>
</domain>
"""


class FittedTest(base.BareTestCase):
    def fitted(self, cpus: int, nodes: int, emulator: str = "0", mode: str = "restrictive") -> str:
        return arrival_xml.fitted(DOMAIN.format(emulator=emulator, mode=mode), cpus, nodes)

    def test_nothing_is_missing(self) -> None:
        self.assertEqual("", self.fitted(cpus=0b1111, nodes=0b11))

    def test_entries_with_something_missing_go(self) -> None:
        domain = domain_xml.parse(self.fitted(cpus=0b11, nodes=0b1))
        self.assertEqual({Part("vcpu", 0): 0b10, EMULATOR: 0b1}, domain.pins)
        domain = domain_xml.parse(self.fitted(cpus=0b11, nodes=0b1, emulator="0,2"))
        self.assertEqual({Part("vcpu", 0): 0b10}, domain.pins)

    def test_memory(self) -> None:
        for mode, kept in (("restrictive", False), ("strict", True)):
            domain = domain_xml.parse(self.fitted(cpus=0b11, nodes=0b1, mode=mode))
            self.assertEqual(kept, MEMORY in domain.pins, mode)

    def test_all_else_stays(self) -> None:
        def others(document: str) -> list[tuple[str, str | None]]:
            return [
                (element.tag, (element.text or "").strip())
                for element in ElementTree.fromstring(document).iter()
                if "pin" not in element.tag
            ]

        after = self.fitted(cpus=0b11, nodes=0b11)
        self.assertEqual(others(DOMAIN), others(after))
        self.assertIn("<nova:instance xmlns:nova=", after)

    def test_hostile(self) -> None:
        for text, reason in (
            ("<domain>" + "<a>" * 2000 + "</a>" * 2000 + "</domain>", "nested too deeply"),
            ("<!DOCTYPE domain><domain/>", "document type"),
        ):
            error = self.assertRaises(
                arrival_xml.ArrivalXmlError, arrival_xml.fitted, text, cpus=1, nodes=1
            )
            self.assertIn(reason, str(error))

    def test_no_domain(self) -> None:
        for text in ("", "<domain", "<domain><cputune><vcpupin/></cputune></domain>"):
            self.assertRaises(arrival_xml.ArrivalXmlError, arrival_xml.fitted, text, 1, 1)
