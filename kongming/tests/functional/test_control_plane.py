# SPDX-License-Identifier: Apache-2.0
"""From request to /proc: three processes, a broker, a database, a real domain."""

import os
import time
from concurrent import futures
from typing import Any, ClassVar

import libvirt
from testtools.content import text_content

from kongming.tests import base
from kongming.tests.functional.fixtures import (
    cgroup,
    fakehost,
    libvirtd,
    mariadb,
    postgresql,
    rabbitmq,
    services,
)
from kongming.tests.functional.fixtures.domain import Domain
from kongming.topology import cpuset

#: The pCPUs that threads may use here; the tests need two of them.
ONLINE = cpuset.to_text(cpuset.from_members(os.sched_getaffinity(0)))
FIRST, SECOND = sorted(os.sched_getaffinity(0))[:2]


class ControlPlaneCase(base.TestCase):
    """One broker, database, libvirtd and KongMing for a class; a domain for each test."""

    libvirt_host: type[libvirtd.Libvirtd] = libvirtd.Libvirtd
    settings: ClassVar[dict[str, dict[str, Any]]] = {}
    broker: rabbitmq.RabbitMQ
    host: libvirtd.Libvirtd
    kongming: services.ControlPlane

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.broker = cls.have(rabbitmq.RabbitMQ())
        cls.host = cls.have(cls.libvirt_host())
        cls.kongming = cls.have(
            services.ControlPlane(
                cls.broker.transport_url,
                cls.database(),
                cls.host.uri,
                cls.settings,
                agent_environment=cls.host.agent_env,
            )
        )

    @classmethod
    def have(cls, fixture: Any) -> Any:
        """Set a fixture up for the whole class."""
        fixture.setUp()
        cls.addClassCleanup(fixture.cleanUp)
        return fixture

    @classmethod
    def database(cls) -> str:
        """Start a database server; return the URL of an empty database."""
        url: str = cls.have(mariadb.MariaDB()).create("kongming")
        return url

    def setUp(self) -> None:
        super().setUp()
        # an instance that vanished keeps its place for a moment
        self.eventually(self.is_idle, 60)
        self.domain = self.useFixture(self.make_domain())
        self.path = f"/v1/pins/{self.domain.uuid}"
        self.eventually(
            lambda: self.kongming.request("GET", f"/v1/instances/{self.domain.uuid}").ok, 60
        )

    def is_idle(self) -> bool:
        """Whether nothing is left of the domains of the tests before."""
        hosts = self.answer("GET", "/v1/hosts", 200)["hosts"]
        pins = self.answer("GET", "/v1/pins", 200)["pins"]
        return not any(host["cpus"]["claimed"] for host in hosts) and not any(
            pin["host"] for pin in pins
        )

    def make_domain(self) -> Domain:
        """Return the domain that the test is about."""
        return Domain(self.host, vcpus=4, iothreads=2)

    def post(self, expect: int = 201, **wish: Any) -> dict[str, Any]:
        """POST the wish for the domain."""
        body = {"instance_uuid": self.domain.uuid, **wish}
        return self.answer("POST", "/v1/pins", expect, json=body)

    def answer(self, method: str, path: str, expect: int, **options: Any) -> dict[str, Any]:
        """Return the body of an answer that must have the status expected."""
        answer = self.kongming.request(method, path, **options)
        self.assertEqual(expect, answer.status_code, answer.text)
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body

    def pin(self) -> dict[str, Any]:
        """Return the pin of the domain."""
        return self.answer("GET", self.path, 200)

    def wait_for(self, status: str, seconds: float = 30) -> dict[str, Any]:
        """Return the pin once it has a status."""
        found: dict[str, Any] = self.eventually(
            lambda: (pin := self.pin())["status"] == status and pin, seconds
        )
        return found


class JourneyTest(ControlPlaneCase):
    def test_every_thread_is_where_it_was_wished(self) -> None:
        self.assertEqual({ONLINE}, set(self.domain.allowed().values()))

        begin = time.monotonic()
        self.post(
            vcpus={"0": str(FIRST), "1": str(SECOND), "2-3": ONLINE},
            emulator=str(SECOND),
            iothreads={"1": str(FIRST), "2": str(SECOND)},
            memory={"nodes": "0"},
        )
        wished = {
            "vcpu0": str(FIRST),
            "vcpu1": str(SECOND),
            "vcpu2": ONLINE,
            "vcpu3": ONLINE,
            "emulator": str(SECOND),
            "iothread1": str(FIRST),
            "iothread2": str(SECOND),
        }
        self.eventually(lambda: self.domain.allowed() == wished)
        self.addDetail("seconds", text_content(f"POST to kernel: {time.monotonic() - begin:.3f}"))
        self.wait_for("applied")
        shown = self.answer("GET", f"/v1/instances/{self.domain.uuid}", 200)
        self.assertEqual(wished["vcpu0"], shown["observed"]["vcpus"]["0"])
        self.assertEqual(self.domain.project_id, shown["project_id"])

        change = {"vcpus": {"*": str(SECOND)}, "generation": 1}
        self.answer("PUT", self.path, 200, json=change)
        changed = dict.fromkeys(wished, ONLINE) | {f"vcpu{n}": str(SECOND) for n in range(4)}
        self.eventually(lambda: self.domain.allowed() == changed)
        self.wait_for("applied")

        self.answer("DELETE", self.path, 204)
        self.eventually(lambda: set(self.domain.allowed().values()) == {ONLINE})
        self.answer("GET", self.path, 404)

    def test_pins_survive_a_restart_of_the_domain(self) -> None:
        self.post(vcpus={"*": str(SECOND)})
        self.wait_for("applied")
        domain = self.domain.lookup()
        domain.destroy()
        self.wait_for("waiting")
        domain.create()
        self.eventually(lambda: self.domain.allowed()["vcpu3"] == str(SECOND))
        self.wait_for("applied")

    def test_a_cpu_outside_the_cpuset(self) -> None:
        with cgroup.narrowed(self.domain.pid, str(FIRST)):
            before = self.domain.allowed()
            self.post(vcpus={"0-1": str(FIRST), "2": str(SECOND)}, emulator=str(FIRST))
            pin = self.wait_for("failed")
            self.assertIn("vCPU 2: Unable to write to", pin["reason"])
            self.assertEqual(before, self.domain.allowed())

    def test_the_third_step_fails(self) -> None:
        cgroup.remove(self.domain.threads()["vcpu2"][0])
        before = self.domain.allowed()
        definition = self.domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.post(vcpus={"0": str(FIRST), "1": str(SECOND), "2": str(SECOND)})
        pin = self.wait_for("failed")
        self.assertIn("vCPU 2: ", pin["reason"])
        self.assertNotIn("could not be undone", pin["reason"])
        self.assertEqual(before, self.domain.allowed())
        self.assertEqual(definition, self.domain.lookup().XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))

    def test_control_plane_killed_before_applying(self) -> None:
        self.kongming.agent.stop()
        self.post(vcpus={"*": str(SECOND)})
        self.kongming.conductor.kill()
        self.kongming.api.kill()
        self.kongming.conductor.start()
        self.kongming.api.start()
        self.assertEqual("pending", self.pin()["status"])
        self.assertEqual({ONLINE}, set(self.domain.allowed().values()))
        self.kongming.agent.start()
        self.wait_for("applied")
        self.assertEqual(str(SECOND), self.domain.allowed()["vcpu0"])

    def test_broker_away(self) -> None:
        self.post(vcpus={"*": str(SECOND)})
        self.wait_for("applied")
        self.broker.stop()
        # before the client gives up
        refused = self.answer("PUT", self.path, 503, json={"vcpus": {"*": str(FIRST)}})
        self.assertEqual("resource_pin.conductor_unavailable", refused["errors"][0]["code"])
        # nor does an API wait for the broker that has yet to see it for the first time
        self.kongming.api.stop()
        self.kongming.api.start()
        self.answer("PUT", self.path, 503, json={"vcpus": {"*": str(FIRST)}})
        # what the agent holds is kept up without the control plane
        domain = self.domain.lookup()
        domain.pinVcpu(0, (True,) * (FIRST + 1))
        self.eventually(lambda: self.domain.allowed()["vcpu0"] == str(SECOND))
        # nor does an agent need it to pin what starts meanwhile
        self.kongming.agent.kill()
        self.kongming.agent.start()
        self.domain.lookup().destroy()
        self.domain.host.connect().defineXML(self.domain.xml).create()
        self.eventually(lambda: self.domain.allowed()["vcpu0"] == str(SECOND))
        self.broker.start()
        self.eventually(
            lambda: self.kongming.request("PUT", self.path, json={"vcpus": {"*": str(FIRST)}}).ok,
            60,
        )
        self.eventually(lambda: self.domain.allowed()["vcpu0"] == str(FIRST), 60)


class PostgreSQLTest(ControlPlaneCase):
    @classmethod
    def database(cls) -> str:
        """On the other database."""
        url: str = cls.have(postgresql.PostgreSQL()).create("kongming")
        return url

    def test_pin_and_release(self) -> None:
        self.post(cpu_policy="dedicated", vcpus={"*": str(SECOND)})
        self.wait_for("applied")
        self.assertEqual(str(SECOND), self.domain.allowed()["vcpu0"])
        self.answer("DELETE", self.path, 204)
        self.eventually(lambda: set(self.domain.allowed().values()) == {ONLINE})


class FakeHostTest(ControlPlaneCase):
    """A host with 4 NUMA nodes of 4 cores with 2 threads each, and real domains on it."""

    libvirt_host = fakehost.FakeHost
    host: fakehost.FakeHost

    def make_domain(self) -> Domain:
        """Return a domain whose memory libvirt binds to node 0 for good."""
        strict = "<numatune><memory mode='strict' nodeset='0'/></numatune>"
        return Domain(self.host, vcpus=4, iothreads=1, extra=strict)

    def test_topology(self) -> None:
        host = self.answer("GET", "/v1/hosts/compute", 200)
        self.assertEqual("0-31", host["cpus"]["online"])
        self.assertEqual(
            ["0-3,16-19", "4-7,20-23", "8-11,24-27", "12-15,28-31"],
            [node["cpus"] for node in host["numa_nodes"]],
        )
        self.assertEqual({"0": 30, "1": 20, "2": 10, "3": 20}, host["numa_nodes"][2]["distances"])
        self.assertEqual(
            ["8,24", "9,25", "10,26", "11,27"],
            [core["cpus"] for core in host["numa_nodes"][2]["cores"]],
        )

    def test_whole_cores(self) -> None:
        self.post(
            cpu_policy="dedicated",
            vcpus={"0": "9", "1": "25", "2": "10", "3": "26"},
            emulator="0,16",
        )
        self.wait_for("applied")
        shown = self.answer("GET", f"/v1/instances/{self.domain.uuid}", 200)["observed"]
        self.assertEqual({"0": "9", "1": "25", "2": "10", "3": "26"}, shown["vcpus"])
        self.assertEqual("0,16", shown["emulator"])
        other = self.useFixture(Domain(self.host, vcpus=1))
        self.eventually(lambda: self.kongming.request("GET", f"/v1/instances/{other.uuid}").ok)
        wish = {"instance_uuid": other.uuid, "vcpus": {"0": "25-27"}}
        refused = self.answer("POST", "/v1/pins", 409, json=wish)
        self.assertIn("pCPU 25-26 of host compute", refused["message"])
        self.assertIn(self.domain.uuid, refused["message"])

    def test_candidates_know_of_a_claim_in_every_worker(self) -> None:
        unknown = [f"compute-{number:05}.".ljust(64, "x") for number in range(9999)]
        question = {
            "wish": {"cpu_policy": "dedicated", "vcpus": {"0": "9"}},
            "size": {"vcpus": 1, "memory_mib": 256},
            "hosts": ["compute", *unknown],
        }

        def ask() -> tuple[list[str], int, list[str]]:
            answer = self.answer("POST", "/v1/candidates", 200, json=question)
            rejected = {r["host"]: r["reasons"][0]["code"] for r in answer["rejected"]}
            here = [code for host, code in rejected.items() if host == "compute"]
            return [c["host"] for c in answer["candidates"]], len(rejected), here

        def all_say(expected: Any) -> None:
            # so many at once that no worker is left out
            with futures.ThreadPoolExecutor(8) as pool:
                for found in pool.map(lambda _: ask(), range(16)):
                    self.assertEqual(expected, found)

        all_say((["compute"], 9999, []))
        self.post(cpu_policy="dedicated", vcpus={"0": "9"})
        all_say(([], 10000, ["resource_pin.cpu_already_claimed"]))

    def test_memory_that_does_not_move(self) -> None:
        before = self.eventually(self.observed)
        # libvirt knows of this node, the kernel of this machine does not
        self.post(vcpus={"*": "4-7"}, emulator="4", memory={"nodes": "1"})
        self.assertIn("memory: ", self.wait_for("failed")["reason"])
        self.eventually(lambda: self.observed() == before)

    def observed(self) -> dict[str, Any] | None:
        """Return the placement of the domain once its host has told all that is true by now."""
        shown = self.answer("GET", f"/v1/instances/{self.domain.uuid}", 200)["observed"] or {}
        allowed = self.domain.allowed()
        vcpus = {str(number): allowed[f"vcpu{number}"] for number in range(4)}
        return shown if shown.get("vcpus") == vcpus else None

    def test_emulator_threads_that_inherited_less(self) -> None:
        narrow = self.useFixture(Domain(self.host, vcpus=1, cpuset="1"))
        self.eventually(lambda: self.kongming.request("GET", f"/v1/instances/{narrow.uuid}").ok)
        wish = {"instance_uuid": narrow.uuid, "emulator": "0-3", "iothreads": {"1": "8"}}
        self.answer("POST", "/v1/pins", 201, json=wish)
        # one is written after the other
        wished = {"vcpu0": "1", "emulator": "0-3", "iothread1": "8"}
        self.eventually(lambda: narrow.allowed() == wished)
        self.answer("DELETE", f"/v1/pins/{narrow.uuid}", 204)
        self.eventually(lambda: set(narrow.allowed().values()) == {"1"})
