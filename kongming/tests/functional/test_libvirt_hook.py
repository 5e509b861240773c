# SPDX-License-Identifier: Apache-2.0
"""Instances that come to a host without all their pCPUs, with the hook of libvirt and without."""

import os
import pathlib
import sys

import libvirt

import kongming
from kongming.hypervisor import domain_xml
from kongming.tests import base
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.fixtures.fakehost import FakeHost
from kongming.tests.functional.fixtures.libvirtd import Libvirtd
from kongming.topology.placement import Part, Placement

# As installed, but for this checkout.
HOOK = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(pathlib.Path(kongming.__file__).parents[1])!r})
from kongming.cmd import libvirt_hook
sys.exit(libvirt_hook.main())
"""
FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_TUNNELLED
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)


class HostWithHook(Libvirtd):
    """A libvirtd with the hook."""

    def prepare(self) -> None:
        """Install the hook as the documentation says."""
        super().prepare()
        hook = self._root / "etc/libvirt/hooks/qemu.d/kongming"
        hook.parent.mkdir(parents=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)


class ResumeTest(base.BareTestCase):
    """What was saved names a pCPU that has been switched off since."""

    def resume(self, host: Libvirtd) -> Placement:
        """Save and start a domain; return the pins with which it runs."""
        domain = self.useFixture(Domain(host, vcpus=1)).lookup()
        domain.managedSave()
        missing = max(os.sched_getaffinity(0)) + 1
        pin = f"</vcpu><cputune><vcpupin vcpu='0' cpuset='{missing}'/></cputune>"
        domain.managedSaveDefineXML(domain.managedSaveGetXMLDesc().replace("</vcpu>", pin))
        domain.create()
        return domain_xml.parse(domain.XMLDesc()).pins

    def test_without(self) -> None:
        error = self.assertRaises(libvirt.libvirtError, self.resume, self.useFixture(Libvirtd()))
        self.assertIn("Numerical result out of range", str(error))

    def test_with(self) -> None:
        self.assertEqual({}, self.resume(self.useFixture(HostWithHook())))


class MigrationTest(base.BareTestCase):
    """This machine's pCPUs are on both hosts; the source has two more."""

    def setUp(self) -> None:
        super().setUp()
        self.last = max(os.sched_getaffinity(0))
        self.source = self.useFixture(FakeHost(nodes=1, cores=self.last + 3, threads=1))
        self.domain = self.useFixture(Domain(self.source, vcpus=2))
        self.pin(0, self.last)

    def pin(self, vcpu: int, *cpus: int) -> None:
        """As the agent does."""
        chosen = tuple(cpu in cpus for cpu in self.source.shape.cpus)
        for flag in (libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG):
            self.domain.lookup().pinVcpuFlags(vcpu, chosen, flag)

    def migrate(self, target: Libvirtd) -> Placement:
        """Migrate the domain; return the pins with which it runs on the target."""
        self.domain.lookup().migrateToURI3(target.uri, {}, FLAGS)
        self.domain.host = target
        return domain_xml.parse(self.domain.lookup().XMLDesc()).pins

    def test_without(self) -> None:
        target = self.useFixture(Libvirtd())
        self.pin(1, self.last, self.last + 2)
        error = self.assertRaises(libvirt.libvirtError, self.migrate, target)
        self.assertIn("Numerical result out of range", str(error))
        self.assertTrue(self.domain.lookup().isActive())

    def test_with(self) -> None:
        target = self.useFixture(HostWithHook())
        # Else both domains are the first one of their host, and have one control group.
        self.useFixture(Domain(target))
        self.pin(1, self.last, self.last + 2)
        self.assertEqual({Part("vcpu", 0): 1 << self.last}, self.migrate(target))
        self.assertEqual(f"0-{self.last}", self.domain.allowed()["vcpu1"])
