# SPDX-License-Identifier: Apache-2.0
"""Servers that are made with the scheduler hint, by users of a real Nova."""

import concurrent.futures
import functools
import json
import os
import pathlib
import time
import uuid
from typing import Any

from testtools.content import text_content

from kongming.tests.functional.fixtures import process
from kongming.tests.openstack import base, shape
from kongming.tests.openstack.fixtures import cloud, configuration

FILTER = "kongming.compute.kongming_filter.KongmingFilter"
HOST = "OS-EXT-SRV-ATTR:host"
CPU = min(os.sched_getaffinity(0))
DEDICATED = json.dumps({"cpu_policy": "dedicated"})
EXACT = json.dumps({"cpu_policy": "dedicated", "vcpus": {"0": str(CPU)}})
MANY = 50


@functools.cache
def scheduler_user() -> str:
    """A user who has no role but that of services."""
    base.shared_cloud().add_user("filter", "service", ("service",))
    return "filter"


class BootCase(base.KongMingCase):
    """Nova's scheduler has the filter; no pin outlives a test."""

    on_error = "fail"
    timeout = 10

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(base.shared_cloud().restart_scheduler)
        settings: configuration.Settings = {
            "kongming": {"on_error": cls.on_error, "timeout": cls.timeout},
            "kongming_credentials": base.shared_cloud().configuration.client(scheduler_user()),
        }
        base.shared_cloud().restart_scheduler((FILTER,), settings)

    def setUp(self) -> None:
        super().setUp()
        self.user = self.cloud.demo
        self.api = self.kongming.client(self.cloud.admin)
        self.addCleanup(self.eventually, self.is_idle, 60)

    def is_idle(self) -> bool:
        """Whether no pin is left, and every pCPU of the hosts with guests could be claimed."""
        cpus = sorted(os.sched_getaffinity(0))
        question = {
            "wish": {
                "cpu_policy": "dedicated",
                "vcpus": {str(vcpu): str(cpu) for vcpu, cpu in enumerate(cpus)},
            },
            "size": {"vcpus": len(cpus), "memory_mib": 64},
            "hosts": list(cloud.LIBVIRT_HOSTS),
        }
        # what vanished keeps its place for a moment
        free = self.api.post("/v1/candidates", json=question).json()["candidates"]
        return len(free) == len(cloud.LIBVIRT_HOSTS) and not self.get("/v1/pins")["pins"]

    def hinted(self, hint: str, **wanted: Any) -> dict[str, Any]:
        """Boot a server with the hint."""
        return self.boot(self.user, hints={"resource_pin": hint}, **wanted)

    def refused(self, hint: str, zone: str) -> tuple[str, str]:
        """Have a server with the hint fail; return its uuid, and what the user is told."""
        server = self.hinted(hint, zone=zone, status="ERROR")["id"]
        # Nova writes it down after the status
        fault = self.eventually(lambda: self.user.show(server).get("fault"))
        return server, fault["message"]

    def get(self, path: str) -> dict[str, Any]:
        """Return what KongMing shows to the operator."""
        answer = self.api.get(path)
        self.assertEqual(200, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def host_of(self, server: str) -> str:
        """Return the host on which Nova has a server."""
        host: str = self.cloud.admin.show(server)[HOST]
        return host

    def kept(self, server: str) -> tuple[str, dict[str, str]]:
        """Return where room is kept for a server: the host, and the pCPUs of each vCPU."""
        found = self.get(f"/v1/pins/{server}/reservation")
        return found["host"], found["placement"]["vcpus"]

    def check_applied(self, server: str) -> dict[str, str]:
        """Insist that a server is where its pin says, with nothing kept for it any more.

        :returns: the pCPUs of each vCPU
        """
        path = f"/v1/pins/{server}"
        self.eventually(lambda: self.get(path)["status"] == "applied", 60)
        pin = self.get(path)
        self.assertEqual(self.host_of(server), pin["host"])
        self.assertEqual(404, self.api.get(f"{path}/reservation").status_code)
        vcpus: dict[str, str] = pin["placement"]["vcpus"]
        return vcpus


class HintTest(BootCase):
    def vcpus_allowed(self, server: str) -> dict[str, str]:
        """CPUs on which the kernel lets each vCPU of a server run."""
        qemu = process.find(server)
        found = {}
        for kind, threads in process.threads(qemu).items():
            if kind.startswith("vcpu"):
                text = pathlib.Path(f"/proc/{qemu}/task/{threads[0]}/status").read_text()
                (allowed,) = (
                    line.split()[1] for line in text.splitlines() if "Cpus_allowed_list" in line
                )
                found[kind.removeprefix("vcpu")] = allowed
        return found

    def placed(self, server: str) -> dict[str, str] | None:
        """Return the pCPUs that KongMing has for each vCPU of a server."""
        placement = self.get(f"/v1/pins/{server}").get("placement") or {}
        return placement.get("vcpus")

    def active(self, server: str, seconds: float = 120) -> float:
        """Wait until Nova says ACTIVE; return the last moment known when it did not."""
        before = asked = time.monotonic()
        deadline = asked + seconds
        while (shown := self.user.show(server))["status"] == "BUILD":
            self.assertLess(asked, deadline, f"{shown}")
            before, asked = asked, time.monotonic()
        self.assertEqual("ACTIVE", shown["status"], f"{shown}")
        return before

    def check_boot(self, hint: str, flavor: str = "tiny") -> tuple[str, dict[str, str]]:
        """Boot a server and see it pinned; how long after Nova said ACTIVE is told.

        :returns: its uuid, and the pCPUs of each vCPU
        """
        hints = {"resource_pin": hint}
        server = self.user.create(zone="virt", flavor=flavor, hints=hints)
        self.addCleanup(self.cloud.admin.delete, server)
        before = self.active(server)
        self.eventually(lambda: self.vcpus_allowed(server) == self.placed(server))
        seconds = time.monotonic() - before
        self.addDetailUniqueName("seconds", text_content(f"ACTIVE to kernel: {seconds:.3f}"))
        return server, self.check_applied(server)

    def test_exact_pcpu(self) -> None:
        servers = []
        for _ in cloud.LIBVIRT_HOSTS:
            server, vcpus = self.check_boot(EXACT)
            self.assertEqual({"0": str(CPU)}, vcpus)
            servers.append(server)
        self.assertEqual(set(cloud.LIBVIRT_HOSTS), {self.host_of(server) for server in servers})
        log = self.cloud.services["nova-scheduler"].log
        begin = log.stat().st_size
        server, told = self.refused(EXACT, "virt")
        self.assertIn("No valid host was found. resource_pin: ", told)
        said = log.read_bytes()[begin:].decode()
        for host in cloud.LIBVIRT_HOSTS:
            self.assertIn(f"{host}: host: pCPU {CPU} is in use by another instance", told)
            self.assertEqual(1, said.count(f"[instance: {server}] host {host}: "), said)

    def test_pcpus_chosen_by_kongming(self) -> None:
        server, vcpus = self.check_boot(DEDICATED, "tiny2")
        self.assertEqual(2, len(set(vcpus.values())))

    def test_cpu_set(self) -> None:
        _, vcpus = self.check_boot(str(CPU))
        self.assertEqual({"0": str(CPU)}, vcpus)

    def test_template_of_an_operator(self) -> None:
        body = {"name": "gold", "shared": True, "wish": json.loads(EXACT)}
        made = self.api.post("/v1/templates", json=body)
        self.assertEqual(201, made.status_code, made.text)
        path = f"/v1/templates/{made.json()['id']}"
        # its followers vanish a moment after their servers
        self.addCleanup(self.eventually, lambda: self.api.delete(path).ok, 60)
        server, vcpus = self.check_boot("template:gold")
        self.assertEqual({"0": str(CPU)}, vcpus)
        self.assertEqual("gold", self.get(f"/v1/pins/{server}")["template"]["name"])

    def test_host_that_an_operator_forces(self) -> None:
        """Nova asks no filter then; what it tells when the server runs has to do."""
        hints = {"resource_pin": EXACT}
        server = self.boot(self.cloud.admin, zone="virt:virt2", hints=hints)["id"]
        self.eventually(lambda: self.api.get(f"/v1/pins/{server}").ok, 60)
        self.assertEqual({"0": str(CPU)}, self.check_applied(server))
        self.assertEqual({"0": str(CPU)}, self.vcpus_allowed(server))
        self.assertEqual("virt2", self.host_of(server))


class SeveralTest(BootCase):
    def test_like_another_three_at_once(self) -> None:
        model = self.hinted(DEDICATED, zone="fake")["id"]
        hints = {"resource_pin": f"pin:{model}"}
        name = f"like-{model}"
        self.user.create(zone="fake", hints=hints, name=name, min_count=3, max_count=3)
        listed = self.user.nova.get("/servers", params={"name": name}).json()["servers"]
        servers = [server["id"] for server in listed]
        for server in servers:
            self.addCleanup(self.cloud.admin.delete, server)
        self.assertEqual(3, len(servers))
        places = set()
        for server in (model, *servers):
            self.user.wait_for(server, "ACTIVE")
            self.assertEqual("dedicated", self.get(f"/v1/pins/{server}")["cpu_policy"])
            host, vcpus = self.kept(server)
            self.assertEqual(self.host_of(server), host)
            places.add((host, *vcpus.values()))
        self.assertEqual(4, len(places))


class CrowdTest(BootCase):
    def setUp(self) -> None:
        super().setUp()
        self.pool = concurrent.futures.ThreadPoolExecutor(MANY)
        self.addCleanup(self.pool.shutdown)

    def leave_room(self, pcpus: int) -> None:
        """Have something expected on a host, so that only so many pCPUs are free on all."""
        too_many = len(cloud.FAKE_HOSTS) * shape.NODES * shape.CPUS - pcpus
        pin = {
            "instance_uuid": str(uuid.uuid4()),
            "project_id": "somebody",
            "cpu_policy": "dedicated",
            "host": cloud.FAKE_HOSTS[0],
            "size": {"vcpus": too_many, "memory_mib": 64},
        }
        answer = self.api.post("/v1/pins", json=pin)
        self.assertEqual(201, answer.status_code, answer.text)
        self.addCleanup(self.api.delete, f"/v1/pins/{pin['instance_uuid']}")

    def create(self, _: int) -> str:
        """Ask for a server with a pCPU of its own."""
        return self.user.create(name="crowd", zone="fake", hints={"resource_pin": DEDICATED})

    def remove(self, servers: list[str]) -> None:
        """Delete servers and wait until all are gone."""
        for server in servers:
            self.user.nova.delete(f"/servers/{server}")
        name = {"name": "crowd"}
        listed = functools.partial(self.user.nova.get, "/servers", params=name)
        self.eventually(lambda: not listed().json()["servers"], 120)

    def run_on_hosts(self, servers: list[dict[str, Any]]) -> None:
        """Have the simulated hypervisors run these servers where Nova has them, and no others."""
        # not in the pool: an agent ends with the thread that started it
        for host in cloud.FAKE_HOSTS:
            self.kongming.run(host, [each for each in servers if each[HOST] == host])

    def test_as_many_at_once_as_there_is_room_for(self) -> None:
        self.leave_room(MANY)
        servers = list(self.pool.map(self.create, range(MANY)))
        self.addCleanup(self.remove, servers)
        for server in servers:
            self.user.wait_for(server, "ACTIVE", 120)
        shown = [self.cloud.admin.show(server) for server in servers]
        kept = {server: self.kept(server) for server in servers}
        self.assertEqual(
            {each["id"]: each[HOST] for each in shown},
            {server: host for server, (host, _) in kept.items()},
        )
        pcpus = {(host, vcpus["0"]) for host, vcpus in kept.values()}
        self.assertEqual(MANY, len(pcpus))
        _, told = self.refused(DEDICATED, "fake")
        for host in cloud.FAKE_HOSTS:
            self.assertIn(f"{host}: ", told)

        self.addCleanup(self.run_on_hosts, [])
        self.run_on_hosts(shown)
        applied = {server: self.check_applied(server) for server in servers}
        self.assertEqual({server: vcpus for server, (_, vcpus) in kept.items()}, applied)


class AwayTest(BootCase):
    def setUp(self) -> None:
        super().setUp()
        self.kongming.api.stop()
        self.addCleanup(self.kongming.api.start)

    def test_server_with_hint_fails(self) -> None:
        _, told = self.refused(DEDICATED, "fake")
        self.assertIn("resource_pin: KongMing cannot be reached", told)
        self.boot(self.user, zone="fake")


class AwayAndPassedTest(BootCase):
    on_error = "pass"

    def test_server_with_hint_starts_and_is_pinned_later(self) -> None:
        self.kongming.api.stop()
        try:
            server = self.hinted(str(CPU), zone="fake")["id"]
            self.boot(self.user, zone="fake")
        finally:
            self.kongming.api.start()
        self.eventually(lambda: self.api.get(f"/v1/pins/{server}").ok, 60)
        self.assertEqual({"*": str(CPU)}, self.get(f"/v1/pins/{server}")["vcpus"])
