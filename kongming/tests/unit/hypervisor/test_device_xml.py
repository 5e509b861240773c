# SPDX-License-Identifier: Apache-2.0
"""Node device documents as libvirt 9.0 writes them."""

import testtools

from kongming.hypervisor import device_xml

#: A device of a machine with two NUMA nodes.
NIC = """\
<device>
  <name>pci_0000_00_03_0</name>
  <path>/sys/devices/pci0000:00/0000:00:03.0</path>
  <parent>computer</parent>
  <driver>
    <name>virtio-pci</name>
  </driver>
  <capability type='pci'>
    <class>0x020000</class>
    <domain>0</domain>
    <bus>0</bus>
    <slot>3</slot>
    <function>0</function>
    <product id='0x1041'/>
    <vendor id='0x1af4'/>
    <numa node='1'/>
  </capability>
</device>
"""
#: A device that the firmware puts on no NUMA node.
BRIDGE = """\
<device>
  <name>pci_0000_00_00_0</name>
  <path>/sys/devices/pci0000:00/0000:00:00.0</path>
  <parent>computer</parent>
  <capability type='pci'>
    <class>0x060000</class>
    <domain>0</domain>
    <bus>0</bus>
    <slot>0</slot>
    <function>0</function>
    <product id='0x0d57'/>
    <vendor id='0x8086'/>
    <pci-express/>
  </capability>
</device>
"""
COMPUTER = """\
<device>
  <name>computer</name>
  <capability type='system'>
    <hardware>
      <uuid>00000000-0000-0000-0000-000000000000</uuid>
    </hardware>
    <firmware>
    </firmware>
  </capability>
</device>
"""


class ParseTest(testtools.TestCase):
    def test_on_a_numa_node(self) -> None:
        self.assertEqual(("0000:00:03.0", 1), device_xml.parse(NIC))

    def test_on_none(self) -> None:
        self.assertEqual(("0000:00:00.0", -1), device_xml.parse(BRIDGE))

    def test_numbers_are_decimal_there_and_hexadecimal_in_the_address(self) -> None:
        document = NIC
        for name, before, after in (
            ("domain", 0, 65536),
            ("bus", 0, 175),
            ("slot", 3, 31),
            ("function", 0, 7),
        ):
            document = document.replace(f"<{name}>{before}<", f"<{name}>{after}<")
        self.assertEqual(("10000:af:1f.7", 1), device_xml.parse(document))

    def test_no_pci_device(self) -> None:
        for document in (
            COMPUTER,
            NIC.replace("<bus>0</bus>", ""),
            NIC.replace("<slot>3<", "<slot>x<"),
            NIC.replace("<numa node='1'/>", "<numa/>"),
            NIC[:-3],
        ):
            self.assertRaises(device_xml.DeviceXmlError, device_xml.parse, document)
