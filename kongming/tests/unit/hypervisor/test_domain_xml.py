# SPDX-License-Identifier: Apache-2.0
"""Domain documents as libvirt 9.0 and Nova write them."""

import testtools

from kongming.hypervisor import domain_xml
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

UUID = "59f0f179-a1fb-4cf9-90a2-5937446018f1"

DOCUMENT = """\
<domain type='kvm' id='7'>
  <name>instance-00000007</name>
  <uuid>59f0f179-a1fb-4cf9-90a2-5937446018f1</uuid>
  {metadata}
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  {vcpu}
  {more}
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
</domain>
"""

NOVA = """\
<metadata>
  <other:instance xmlns:other='http://example.org/instance'><other:name>no</other:name>
  </other:instance>
  <nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
    <nova:package version='34.0.0'/>
    <nova:name>{name}</nova:name>
    <nova:owner>
      <nova:user uuid='8c1f0b'>someone</nova:user>
      <nova:project uuid='f3a2d9'>somewhere</nova:project>
    </nova:owner>
  </nova:instance>
</metadata>"""


def document(metadata="", vcpu="<vcpu placement='static'>4</vcpu>", more=""):
    return DOCUMENT.format(metadata=metadata, vcpu=vcpu, more=more)


class TestParse(testtools.TestCase):
    def test_smallest(self):
        domain = domain_xml.parse(document())
        self.assertEqual(UUID, domain.uuid)
        self.assertEqual("instance-00000007", domain.name)
        self.assertEqual(2048, domain.memory_mib)
        self.assertEqual((4, 4), (domain.vcpus, domain.max_vcpus))
        self.assertEqual((), domain.iothreads)
        self.assertEqual(0, domain.cpuset)
        self.assertEqual({}, domain.pins)
        self.assertIsNone(domain.memory_mode)
        self.assertEqual(
            (None, None, None), (domain.display_name, domain.project_id, domain.user_id)
        )

    def test_vcpus_of_which_some_are_unplugged_and_a_cpuset(self):
        domain = domain_xml.parse(
            document(vcpu="<vcpu placement='static' cpuset='0-3,^2' current='2'>8</vcpu>")
        )
        self.assertEqual((2, 8), (domain.vcpus, domain.max_vcpus))
        self.assertEqual(0b1011, domain.cpuset)

    def test_pins(self):
        domain = domain_xml.parse(
            document(
                more="""
                <cputune>
                  <shares>1024</shares>
                  <vcpupin vcpu='0' cpuset='4'/>
                  <vcpupin vcpu='3' cpuset='5-6'/>
                  <emulatorpin cpuset='0-1'/>
                  <iothreadpin iothread='2' cpuset='7'/>
                </cputune>
                <numatune>
                  <memory mode='strict' nodeset='0,2'/>
                  <memnode cellid='0' mode='strict' nodeset='2'/>
                </numatune>"""
            )
        )
        self.assertEqual(
            Placement(
                {
                    Part("vcpu", 0): 1 << 4,
                    Part("vcpu", 3): 0b11 << 5,
                    EMULATOR: 0b11,
                    Part("iothread", 2): 1 << 7,
                    MEMORY: 0b101,
                }
            ),
            domain.pins,
        )
        self.assertEqual("strict", domain.memory_mode)

    def test_numbers(self):
        domain = domain_xml.parse(
            document(
                vcpu="<vcpu current='2'>4</vcpu>",
                more="""
                <iothreads>1</iothreads>
                <cputune>
                  <shares>2048</shares>
                  <period>50000</period>
                  <quota>-1</quota>
                  <global_quota>70000</global_quota>
                  <emulator_period>60000</emulator_period>
                  <iothread_quota>8000</iothread_quota>
                </cputune>""",
            )
        )
        self.assertEqual({}, domain.pins)
        self.assertEqual(
            {
                Part("cpu_shares"): 2048,
                Part("vcpu_period", 0): 50000,
                Part("vcpu_period", 1): 50000,
                Part("vcpu_quota", 0): -1,
                Part("vcpu_quota", 1): -1,
                Part("global_quota"): 70000,
                Part("emulator_period"): 60000,
                Part("iothread_quota", 1): 8000,
            },
            domain.numbers,
        )

    def test_memory_by_guest_node_alone_is_no_entry(self):
        domain = domain_xml.parse(
            document(more="<numatune><memnode cellid='0' mode='strict' nodeset='2'/></numatune>")
        )
        self.assertNotIn(MEMORY, domain.pins)
        self.assertIsNone(domain.memory_mode)

    def test_memory_placed_by_numad_is_no_entry(self):
        domain = domain_xml.parse(
            document(more="<numatune><memory mode='strict' placement='auto'/></numatune>")
        )
        self.assertNotIn(MEMORY, domain.pins)
        self.assertEqual("strict", domain.memory_mode)

    def test_iothreads_listed(self):
        more = "<iothreads>2</iothreads><iothreadids><iothread id='4'/><iothread id='2'/>"
        domain = domain_xml.parse(document(more=f"{more}</iothreadids>"))
        self.assertEqual((2, 4), domain.iothreads)

    def test_iothreads_counted(self):
        domain = domain_xml.parse(document(more="<iothreads>3</iothreads>"))
        self.assertEqual((1, 2, 3), domain.iothreads)

    def test_iothreads_counted_and_some_listed(self):
        more = "<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>"
        self.assertEqual((1, 2, 3), domain_xml.parse(document(more=more)).iothreads)

    def test_owner(self):
        domain = domain_xml.parse(document(metadata=NOVA.format(name="web &lt;1&gt;")))
        self.assertEqual("web <1>", domain.display_name)
        self.assertEqual("f3a2d9", domain.project_id)
        self.assertEqual("8c1f0b", domain.user_id)

    def test_owner_by_an_older_nova(self):
        metadata = NOVA.format(name="web").replace("nova/1.1", "nova/1.0")
        self.assertEqual("f3a2d9", domain_xml.parse(document(metadata=metadata)).project_id)

    def test_nameless_and_without_owner(self):
        metadata = NOVA.format(name="").replace("nova:owner", "nova:nobody")
        domain = domain_xml.parse(document(metadata=metadata))
        self.assertIsNone(domain.display_name)
        self.assertIsNone(domain.project_id)

    def test_a_name_is_text_and_never_markup(self):
        name = "&lt;/nova:name&gt;&lt;nova:owner&gt;&lt;nova:project uuid='mine'/&gt;"
        domain = domain_xml.parse(document(metadata=NOVA.format(name=name)))
        self.assertEqual("f3a2d9", domain.project_id)

    def test_not_a_domain(self):
        for text in (
            "",
            "<domain",
            "<domain/>",
            document(vcpu=""),
            document(vcpu="<vcpu>many</vcpu>"),
            document(vcpu="<vcpu cpuset='a'>1</vcpu>"),
            document(more="<cputune><vcpupin vcpu='0'/></cputune>"),
            document(more="<iothreads>x</iothreads>"),
            document(more="<iothreads>4097</iothreads>"),
            "<!DOCTYPE domain>" + document(),
        ):
            self.assertRaises(domain_xml.DomainXmlError, domain_xml.parse, text)
