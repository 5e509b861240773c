# SPDX-License-Identifier: Apache-2.0
"""The servers of the functional tests themselves: they start, serve, and leave nothing behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import libvirt
import testtools
from fixtures import MultipleExceptions
from testtools import content

from kongming.tests.functional.fixtures import (
    domain,
    fakehost,
    libvirtd,
    server,
)

# A server with a child of its own, which it forgets.
FORGETFUL = ["sh", "-c", "echo started; sleep 300 & echo $! >child; exec sleep 300"]

KILLED = """
import os, signal
from kongming.tests.functional import test_fixtures
with test_fixtures.Forgetful() as fixture:
    print(fixture.directory, fixture.child(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def cpu_map(*cpus: int, size: int = 32) -> tuple[bool, ...]:
    return tuple(cpu in cpus for cpu in range(size))


def chosen(cpus: tuple[bool, ...]) -> set[int]:
    return {cpu for cpu, is_set in enumerate(cpus) if is_set}


class Forgetful(server.Server):
    def command(self) -> list[str]:
        return FORGETFUL

    def answers(self) -> bool:
        return self.child() is not None

    def child(self) -> int | None:
        path = self.directory / "child"
        return int(path.read_text()) if path.exists() and path.read_text() else None


class Broken(server.Server):
    def command(self) -> list[str]:
        return ["sh", "-c", "echo no such luck; exit 3"]

    def answers(self) -> bool:
        return False


class TestServer(testtools.TestCase):
    def assert_gone(self, pid: int) -> None:
        deadline = time.monotonic() + 10
        while pathlib.Path(f"/proc/{pid}").exists():
            self.assertLess(time.monotonic(), deadline, f"process {pid} lives on")
            time.sleep(0.02)

    def test_stop_ends_what_the_server_has_started(self) -> None:
        fixture = self.useFixture(Forgetful())
        child = fixture.child()
        fixture.stop()
        self.assertRaises(ProcessLookupError, os.kill, child, 0)

    def test_nothing_outlives_a_test_that_is_killed(self) -> None:
        command = [sys.executable, "-c", KILLED]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.addDetail("stderr", content.text_content(done.stderr))
        self.assertEqual(-signal.SIGKILL, done.returncode)
        directory, child = done.stdout.split()
        self.addCleanup(subprocess.run, ["rm", "-rf", directory], check=True)
        self.assert_gone(int(child))

    def test_failure_to_start_shows_the_log(self) -> None:
        fixture = Broken()
        error = self.assertRaises(MultipleExceptions, fixture.setUp)
        self.assertIn("sh ended: 3", str(error))
        self.assertIn("no such luck", str(error))


class TestLibvirtd(testtools.TestCase):
    def test_pins_are_in_proc_and_survive_a_restart_of_the_daemon(self) -> None:
        host = self.useFixture(libvirtd.Libvirtd())
        instance = self.useFixture(domain.Domain(host, vcpus=3, iothreads=2))
        everything = instance.allowed()
        self.assertEqual(
            {"emulator", "vcpu0", "vcpu1", "vcpu2", "iothread1", "iothread2"}, set(everything)
        )

        cpu = max(os.sched_getaffinity(0))
        only = cpu_map(cpu, size=cpu + 1)
        instance.lookup().pinVcpu(1, only)
        instance.lookup().pinIOThread(2, only)
        pinned = {**everything, "vcpu1": f"{cpu}", "iothread2": f"{cpu}"}
        self.assertEqual(pinned, instance.allowed())

        host.stop_daemon()
        self.assertFalse(host.answers())
        self.assertEqual(pinned, instance.allowed())
        host.start_daemon()
        self.assertEqual(only, instance.lookup().vcpuPinInfo()[1][: cpu + 1])

    def test_transient_domain_with_metadata_is_gone_at_the_end(self) -> None:
        host = self.useFixture(libvirtd.Libvirtd())
        with domain.Domain(host, persistent=False) as instance:
            self.assertFalse(instance.lookup().isPersistent())
            uri = "http://openstack.org/xmlns/libvirt/nova/1.1"
            kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
            metadata = ElementTree.fromstring(instance.lookup().metadata(kind, uri))
            ids = [person.get("uuid") for person in metadata.findall("owner/*")]
            self.assertEqual([instance.user_id, instance.project_id], ids)
        self.assertEqual([], host.connect().listAllDomains())
        self.assertRaises(ProcessLookupError, lambda: instance.pid)


class TestFakeHost(testtools.TestCase):
    host: fakehost.FakeHost

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = fakehost.FakeHost(offline=[31])
        cls.host.setUp()
        cls.addClassCleanup(cls.host.cleanUp)

    def run_as_agent(self, *command: str) -> str:
        env = {**os.environ, **self.host.agent_env}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def refusal(self, call: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
        error = self.assertRaises(libvirt.libvirtError, call, *arguments)
        return error.get_error_code(), str(error)

    def test_capabilities(self) -> None:
        capabilities = ElementTree.fromstring(self.host.connect().getCapabilities())
        cells = capabilities.findall("host/topology/cells/cell")
        self.assertEqual(["0", "1", "2", "3"], [cell.get("id") for cell in cells])
        self.assertEqual(
            ["20", "10", "20", "30"],
            [sibling.get("value") for sibling in cells[1].iter("sibling")],
        )
        siblings = {cpu.get("id"): cpu.get("siblings") for cpu in cells[3].iter("cpu")}
        self.assertEqual("12,28", siblings["28"])
        self.assertEqual(str(65536 * 1024), cells[3].findtext("memory"))

    def test_offline_cpu(self) -> None:
        count, online, number = self.host.connect().getCPUMap()
        self.assertEqual((32, set(range(31)), 31), (count, chosen(online), number))
        instance = self.useFixture(domain.Domain(self.host))
        before = instance.allowed()
        code, message = self.refusal(instance.lookup().pinVcpu, 0, cpu_map(31))
        self.assertEqual(libvirt.VIR_ERR_SYSTEM_ERROR, code)
        self.assertIn("Invalid argument", message)
        self.assertEqual(before, instance.allowed())

    def test_pins_as_the_agent_sees_them(self) -> None:
        instance = self.useFixture(domain.Domain(self.host))
        self.assertEqual({"0-30"}, set(instance.allowed().values()))
        instance.lookup().pinVcpu(1, cpu_map(25))
        instance.lookup().pinEmulator(cpu_map(2, 18))
        self.assertEqual({25}, chosen(instance.lookup().vcpus()[1][1]))
        self.assertEqual(
            {"emulator": "2,18", "vcpu0": "0-30", "vcpu1": "25", "iothread1": "0-30"},
            instance.allowed(),
        )
        [tid] = instance.threads()["vcpu1"]
        ask = f"import os; print(os.sched_getaffinity({tid}))"
        self.assertEqual("{25}\n", self.run_as_agent(sys.executable, "-c", ask))

    def test_affinity_set_behind_the_back_of_libvirt(self) -> None:
        instance = self.useFixture(domain.Domain(self.host, cpuset="8-9"))
        [tid] = instance.threads()["vcpu0"]
        self.run_as_agent("taskset", "-cp", "9", f"{tid}")
        self.assertEqual({9}, chosen(instance.lookup().vcpus()[1][0]))
        # Outside of what the control group allows.
        answer = self.run_as_agent("taskset", "-cp", "10", f"{tid}")
        self.assertIn("Invalid argument", answer)
        self.assertEqual("9", instance.allowed()["vcpu0"])

    def test_emulator_threads_remember_the_affinity_that_they_were_born_with(self) -> None:
        instance = self.useFixture(domain.Domain(self.host, cpuset="8"))
        instance.lookup().pinEmulator(cpu_map(2))
        self.assertEqual("2", instance.allowed()["emulator"])
        instance.lookup().pinEmulator(cpu_map(*range(31)))
        self.assertEqual("0-30 | 8", instance.allowed()["emulator"])

    def test_memory_of_nodes_that_are_not_there(self) -> None:
        strict = "<numatune><memory mode='strict' nodeset='2'/></numatune>"
        instance = self.useFixture(domain.Domain(self.host, extra=strict))
        self.assertEqual("2", instance.lookup().numaParameters()["numa_nodeset"])

        instance = self.useFixture(domain.Domain(self.host))
        wish = {"numa_mode": libvirt.VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE, "numa_nodeset": "2-3"}
        instance.lookup().setNumaParameters(wish)
        self.assertEqual("2-3", instance.lookup().numaParameters()["numa_nodeset"])
        wish["numa_nodeset"] = "4"
        code, message = self.refusal(instance.lookup().setNumaParameters, wish)
        self.assertEqual(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, code, message)
