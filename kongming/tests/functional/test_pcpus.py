# SPDX-License-Identifier: Apache-2.0
"""pCPUs that are isolated, or go off- and online, and vCPUs that are plugged: with real domains."""

import pathlib
import threading
from typing import Any

import libvirt

from kongming.hypervisor import pcpus
from kongming.tests import base
from kongming.tests.functional.fixtures import fakehost
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_control_plane import ControlPlaneCase
from kongming.topology import cpuset

UEVENT = pathlib.Path("/sys/devices/system/cpu/cpu0/uevent")


class WatchTest(base.BareTestCase):
    def test_kernel_tells_of_a_cpu(self) -> None:
        told = threading.Event()
        watch = pcpus.Watch(told.set)
        # the kernel then tells that something changed, though nothing did
        UEVENT.write_text("change")
        self.assertTrue(told.wait(60))
        watch.close()
        told.clear()
        UEVENT.write_text("change")
        self.assertFalse(told.wait(0.2))

    def test_other_devices_do_not_matter(self) -> None:
        told: list[str] = []
        watch = pcpus.Watch(lambda: told.append("cpu"))
        self.addCleanup(watch.close)
        pathlib.Path("/sys/devices/virtual/mem/null/uevent").write_text("change")
        # what the kernel tells later is heard later
        UEVENT.write_text("change")
        self.eventually(lambda: told)
        self.assertEqual(["cpu"], told)

    def test_isolated_as_this_machine_has_it(self) -> None:
        text = pathlib.Path("/sys/devices/system/cpu/isolated").read_text().strip()
        self.assertEqual(cpuset.parse(text) if text else 0, pcpus.isolated())


class HostCase(ControlPlaneCase):
    """A host with 2 NUMA nodes of 4 cores with 2 threads each: siblings are n and n + 8."""

    host: fakehost.FakeHost
    # a sweep that is due comes later than any test waits: what is noticed, is noticed at once
    settings = {"agent": {"update_resources_interval": 600}}

    def make_domain(self) -> Domain:
        return Domain(self.host, vcpus=2, iothreads=1)

    def cpus(self) -> dict[str, str]:
        """Return the pCPUs of the host as the API shows them."""
        found: dict[str, str] = self.answer("GET", "/v1/hosts/compute", 200)["cpus"]
        return found


class OfflineTest(HostCase):
    libvirt_host = lambda: fakehost.FakeHost(nodes=2)  # type: ignore[assignment]  # noqa: E731

    def tearDown(self) -> None:
        self.host.set_offline([])
        super().tearDown()

    def is_idle(self) -> bool:
        """Also that every pCPU is known to be back."""
        return super().is_idle() and not self.cpus()["offline"]

    def test_exact_pin_fails_until_it_is_back(self) -> None:
        self.post(cpu_policy="dedicated", vcpus={"0": "5", "1": "6"}, emulator="0-3")
        self.wait_for("applied")
        wished = self.domain.allowed()
        self.host.set_offline([5])
        self.assertIn("pCPU 5 is offline", self.wait_for("failed")["reason"])
        self.assertNotEqual(wished["vcpu0"], self.domain.allowed()["vcpu0"])
        self.eventually(lambda: self.cpus()["offline"] == "5")
        self.assertEqual("5-6", self.cpus()["claimed"])
        self.host.set_offline([])
        self.wait_for("applied")
        self.assertEqual(wished, self.domain.allowed())

    def test_chosen_pcpus_are_chosen_anew(self) -> None:
        vcpus = self.post(cpu_policy="dedicated")["placement"]["vcpus"]
        self.wait_for("applied")
        self.host.set_offline([int(vcpus["0"])])
        self.eventually(lambda: self.pin()["generation"] == 2)
        self.wait_for("applied")
        anew = self.pin()["placement"]["vcpus"]
        self.assertNotIn(vcpus["0"], anew.values())
        allowed = self.domain.allowed()
        self.assertEqual((anew["0"], anew["1"]), (allowed["vcpu0"], allowed["vcpu1"]))

    def test_smt_off(self) -> None:
        self.host.set_offline(range(8, 16))
        self.eventually(lambda: self.cpus()["online"] == "0-7")
        host = self.answer("GET", "/v1/hosts/compute", 200)
        cores = [core["cpus"] for node in host["numa_nodes"] for core in node["cores"]]
        self.assertEqual([str(number) for number in range(8)], cores)
        refused = self.post(409, cpu_policy="dedicated", thread_policy="require")
        self.assertIn("resource_pin.siblings_short", [e["code"] for e in refused["errors"]])
        self.post(cpu_policy="dedicated", thread_policy="isolate")
        self.wait_for("applied")


class IsolatedTest(HostCase):
    libvirt_host = lambda: fakehost.FakeHost(nodes=2, isolated=[1, 2, 9])  # type: ignore[assignment]  # noqa: E731

    def test_dedicated_vcpus_are_there_and_nothing_else(self) -> None:
        self.assertEqual("1-2,9", self.cpus()["isolated"])
        refused = self.post(400, vcpus={"*": "1-2"})
        self.assertIn("resource_pin.pcpu_isolated", [e["code"] for e in refused["errors"]])
        self.post(cpu_policy="dedicated", thread_policy="require", emulator="share")
        self.wait_for("applied")
        allowed = self.domain.allowed()
        self.assertEqual({"1", "9"}, {allowed["vcpu0"], allowed["vcpu1"]})
        self.assertEqual("1", allowed["emulator"])
        self.answer("DELETE", self.path, 204)
        # no thread gets stuck there afterwards
        threads = ("vcpu0", "vcpu1", "emulator")
        self.eventually(lambda: {self.domain.allowed()[key] for key in threads} == {"0,3-8,10-15"})


class GuestHotplugTest(ControlPlaneCase):
    """On a host of two pCPUs."""

    host: fakehost.FakeHost
    libvirt_host = lambda: fakehost.FakeHost(1, 2, 1)  # type: ignore[assignment]  # noqa: E731

    def make_domain(self) -> Domain:
        """Return a domain with two of the four vCPUs that it may have."""
        domain = Domain(self.host, vcpus=4)
        domain.xml = domain.xml.replace("<vcpu placement='static'", "<vcpu current='2'")
        return domain

    def plug(self, vcpus: int) -> None:
        """Give the domain so many vCPUs."""
        self.domain.lookup().setVcpusFlags(vcpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def vcpus(self) -> dict[str, Any]:
        """Return where the vCPUs may run."""
        return {key: cpus for key, cpus in self.domain.allowed().items() if "vcpu" in key}

    def test_every_vcpu(self) -> None:
        self.post(vcpus={"*": "0", "3": "1"}, expect=400)
        self.post(vcpus={"*": "1"})
        self.wait_for("applied")
        self.plug(4)
        expected = {f"vcpu{number}": "1" for number in range(4)}
        # with the next sweep
        self.eventually(lambda: self.vcpus() == expected, 60)
        self.wait_for("applied")
        self.assertEqual(4, len(self.pin()["placement"]["vcpus"]))

    def test_dedicated_without_room_for_one_more(self) -> None:
        self.post(cpu_policy="dedicated")
        self.wait_for("applied")
        before = self.vcpus()
        self.plug(3)
        self.assertIn("1 short", self.wait_for("failed", 60)["reason"])
        self.assertLessEqual(before.items(), self.vcpus().items())
