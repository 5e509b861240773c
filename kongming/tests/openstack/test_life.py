# SPDX-License-Identifier: Apache-2.0
"""The life of a server under Nova: what becomes of its pin, claims, placement and threads.

The rows of ``doc/source/admin/life-of-a-server.rst``.
"""

import os
import shutil
import time
from typing import Any

from testtools import content

from kongming import service
from kongming.tests import ear
from kongming.tests.functional.fixtures import process, server
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import kongming
from kongming.topology import cpuset

#: The pCPUs of both hosts.
EVERY = os.sched_getaffinity(0)
#: One for the emulator, one that the vCPU claims.
SHARED, OWN = sorted(EVERY)[:2]
EXACT = {"cpu_policy": "dedicated", "vcpus": {"0": str(OWN)}, "emulator": str(SHARED)}
FREE = {"cpu_policy": "dedicated"}
SOURCE, TARGET = "virt1", "virt2"
HOST = "OS-EXT-SRV-ATTR:host"
#: Within which Nova is done, on a machine that has much else to do.
SECONDS = 120


def allowed(tid: int) -> set[int]:
    """Where a thread may run; nowhere if it has ended."""
    try:
        return os.sched_getaffinity(tid)
    except ProcessLookupError:
        return set()


class LifeCase(base.KongMingCase):
    """Has a server on ``SOURCE``, the only one with a pin."""

    def setUp(self) -> None:
        super().setUp()
        self.admin = self.cloud.admin
        self.api = self.kongming.client(self.admin)
        # the servers of other tests count as gone a moment after they are
        self.eventually(lambda: not self.claimed(SOURCE) | self.claimed(TARGET), 30)
        self.server = self.boot(self.admin, host=SOURCE)["id"]
        self.eventually(lambda: self.api.get(f"/v1/instances/{self.server}").ok, 30)
        self.addCleanup(self.api.delete, f"/v1/pins/{self.server}")
        self.addOnException(
            lambda _: self.addDetail("pin", content.text_content(f"{self.pin()} {self.events()}"))
        )

    def place(self, wish: dict[str, Any]) -> None:
        """Pin the server and see it placed."""
        answer = self.api.post("/v1/pins", json={"instance_uuid": self.server, **wish})
        self.assertEqual(201, answer.status_code, answer.text)
        self.check_placed(SOURCE)

    def act(self, action: str, status: str = "ACTIVE", **options: Any) -> dict[str, Any]:
        """Have Nova do something with the server; return the server as it then is."""
        self.admin.act(self.server, action, **options)
        return self.admin.wait_for(self.server, status, SECONDS)

    def pin(self) -> dict[str, Any]:
        """The pin as the API shows it."""
        found: dict[str, Any] = self.api.get(f"/v1/pins/{self.server}").json()
        return found

    def wait_for(self, status: str, host: str | None = SOURCE) -> dict[str, Any]:
        """Return the pin once it has a status on a host (None: on none)."""

        def there() -> dict[str, Any] | None:
            pin = self.pin()
            return pin if (pin["status"], pin["host"]) == (status, host) else None

        found: dict[str, Any] = self.eventually(there, 60)
        return found

    def history(self) -> list[dict[str, Any]]:
        """The history of the pin as the API shows it."""
        found: list[dict[str, Any]] = self.api.get(f"/v1/pins/{self.server}/history").json()[
            "history"
        ]
        return found

    def events(self) -> list[str]:
        """What has happened to the pin."""
        return [event["event"] for event in self.history()]

    def claimed(self, host: str) -> set[int]:
        """The pCPUs of a host that are claimed."""
        text = self.api.get(f"/v1/hosts/{host}").json()["cpus"]["claimed"]
        return set(cpuset.members(cpuset.parse(text))) if text else set()

    def affinity(self) -> dict[str, set[int]]:
        """Where the kernel lets the threads of the QEMU that now runs be, by kind of thread.

        :raises ProcessLookupError: none runs.
        """
        threads = process.threads(process.find(self.server))
        return {kind: set().union(*map(allowed, tids)) for kind, tids in threads.items()}

    def check_placed(self, host: str) -> None:
        """The pin is applied on a host, has its claims there and nowhere else, and is true."""
        self.wait_for("applied", host)
        self.eventually(lambda: not self.mistakes(host), 30)

    def check_calm(self, host: str) -> None:
        """The pin is with a host, and both hosts may report all they have: it stays there."""
        self.wait_for("waiting", host)
        events = self.events()
        time.sleep(2 * kongming.INTERVAL)
        self.assertEqual((host, events), (self.pin()["host"], self.events()))

    def mistakes(self, host: str) -> list[str]:
        """In what the server is not as its pin on a host wants it."""
        pin = self.pin()
        other = TARGET if host == SOURCE else SOURCE
        placement = pin["placement"] or {}
        vcpus = {f"vcpu{n}": {int(cpu)} for n, cpu in placement.get("vcpus", {}).items()}
        wanted = dict(vcpus)
        if "emulator" in placement:
            wanted["emulator"] = {int(placement["emulator"])}
        affinity = self.affinity()
        facts = {
            "status": ("applied", pin["status"]),
            "host": (host, pin["host"]),
            "claims": (set().union(*vcpus.values()), self.claimed(host)),
            "claims elsewhere": (set(), self.claimed(other)),
            "threads": (wanted, {kind: affinity.get(kind) for kind in wanted}),
        }
        return [
            f"{name}: {now} instead of {want}" for name, (want, now) in facts.items() if want != now
        ]


class StayTest(LifeCase):
    """Nova makes a new QEMU on the same host, or stops the one that is there."""

    def setUp(self) -> None:
        super().setUp()
        self.place(EXACT)
        self.before = process.find(self.server)

    def check_another(self) -> None:
        """Another QEMU runs, and is placed like the one before; the claims were kept throughout."""
        self.eventually(lambda: process.find(self.server) != self.before)
        self.check_placed(SOURCE)
        self.assertEqual({SOURCE}, {event["host"] for event in self.history()})

    def check_waits(self) -> None:
        """The pin waits for the instance, and keeps its claims."""
        self.assertEqual("the instance is shutoff", self.wait_for("waiting")["reason"])
        self.assertEqual({OWN}, self.claimed(SOURCE))

    def test_soft_reboot(self) -> None:
        self.act("reboot", type="SOFT")
        self.check_another()

    def test_hard_reboot(self) -> None:
        self.act("reboot", type="HARD")
        self.check_another()

    def test_stop_and_start(self) -> None:
        self.act("os-stop", "SHUTOFF")
        self.check_waits()
        self.act("os-start")
        self.check_another()
        self.assertEqual(["created", "applied", "waiting", "pending", "applied"], self.events())

    def test_pause_and_unpause(self) -> None:
        self.act("pause", "PAUSED")
        self.check_placed(SOURCE)
        self.act("unpause")
        self.check_placed(SOURCE)
        self.assertEqual(["created", "applied"], self.events())

    def test_suspend_and_resume(self) -> None:
        self.act("suspend", "SUSPENDED")
        self.check_waits()
        self.act("resume")
        self.check_another()

    def test_rebuild(self) -> None:
        self.act("rebuild", imageRef=self.admin.show(self.server)["image"]["id"])
        self.check_another()

    def test_rescue_and_unrescue(self) -> None:
        self.act("rescue", "RESCUE")
        self.check_another()
        self.before = process.find(self.server)
        self.act("unrescue")
        self.check_another()

    def test_delete(self) -> None:
        self.admin.delete(self.server)
        # Nova's notification tells the conductor
        self.eventually(lambda: "deleted" in self.events(), 30)
        self.assertEqual(404, self.api.get(f"/v1/pins/{self.server}").status_code)
        self.eventually(lambda: not self.claimed(SOURCE), 30)


class MoveTest(LifeCase):
    """Nova takes the server to another host."""

    def live_migrate(self) -> None:
        """To ``TARGET``; the caller sees what became of the pin."""
        self.admin.act(self.server, "os-migrateLive", host=TARGET, block_migration="auto")
        self.eventually(lambda: self.admin.show(self.server)[HOST] == TARGET, SECONDS)
        self.admin.wait_for(self.server, "ACTIVE")

    def occupy(self, host: str, cpu: int) -> str:
        """Give a pCPU of a host to another server there, which is returned."""
        other: str = self.boot(self.admin, host=host)["id"]
        self.eventually(lambda: self.api.get(f"/v1/instances/{other}").ok, 30)
        self.addCleanup(self.api.delete, f"/v1/pins/{other}")
        wish = {"cpu_policy": "dedicated", "vcpus": {"0": str(cpu)}}
        answer = self.api.post("/v1/pins", json={"instance_uuid": other, **wish})
        self.assertEqual(201, answer.status_code, answer.text)
        return other

    def test_live_migration(self) -> None:
        self.place(EXACT)
        self.live_migrate()
        self.check_placed(TARGET)
        self.assertEqual(["created", "applied", "pending", "applied"], self.events())

    def test_live_migration_to_where_the_pcpu_is_taken(self) -> None:
        self.place(EXACT)
        other = self.occupy(TARGET, OWN)
        self.live_migrate()
        reason = self.wait_for("failed", TARGET)["reason"]
        self.assertIn(f"pCPU {OWN} of host {TARGET} is already held by", reason)
        # not where it came from, nor where libvirt put it
        self.eventually(lambda: self.affinity()["vcpu0"] == EVERY, 30)
        self.assertEqual((set(), {OWN}), (self.claimed(SOURCE), self.claimed(TARGET)))
        self.api.delete(f"/v1/pins/{other}")
        self.check_placed(TARGET)

    def test_cold_migration_to_where_the_pcpu_is_taken(self) -> None:
        conf = service.prepare("kongming-tests", ["--config-file", str(self.kongming.conf)])
        self.addCleanup(conf.reset)
        heard = self.useFixture(ear.Ear(conf, pool=self.id())).heard
        self.place(EXACT)
        other = self.occupy(TARGET, OWN)
        self.act("migrate", "VERIFY_RESIZE", host=TARGET)
        reason = self.wait_for("failed", TARGET)["reason"]
        self.assertIn(f"pCPU {OWN} of host {TARGET} is already held by", reason)
        # of another process than before, for Nova made a new domain
        everywhere = {"emulator": EVERY, "vcpu0": EVERY}
        self.eventually(lambda: self.affinity().items() >= everywhere.items(), 30)
        self.assertEqual((set(), {OWN}), (self.claimed(SOURCE), self.claimed(TARGET)))

        def failures() -> list[tuple[str, str]]:
            told = [
                (message["priority"], message["payload"]["kongming_object.data"])
                for message in heard
                if message["event_type"] == "resource_pin.pin.failed"
            ]
            return [
                (priority, data["reason"])
                for priority, data in told
                if (data["instance_uuid"], data["host"]) == (self.server, TARGET)
            ]

        # and once, however often it is tried again
        self.eventually(failures)
        time.sleep(2 * kongming.INTERVAL)
        self.assertEqual([("ERROR", reason)], failures())
        self.api.delete(f"/v1/pins/{other}")
        self.check_placed(TARGET)

    def test_live_migration_to_another_pcpu(self) -> None:
        self.place(FREE)
        (cpu,) = self.claimed(SOURCE)
        self.occupy(TARGET, cpu)
        self.live_migrate()
        self.wait_for("applied", TARGET)
        (another,) = self.claimed(TARGET) - {cpu}
        self.eventually(lambda: self.affinity()["vcpu0"] == {another}, 30)

    def test_cold_migration_is_reverted(self) -> None:
        self.place(EXACT)
        self.act("migrate", "VERIFY_RESIZE", host=TARGET)
        self.check_placed(TARGET)
        self.act("revertResize")
        self.check_placed(SOURCE)

    def test_cold_migration_is_confirmed(self) -> None:
        self.place(EXACT)
        self.act("migrate", "VERIFY_RESIZE", host=TARGET)
        self.check_placed(TARGET)
        self.act("confirmResize")
        self.check_placed(TARGET)

    def test_cold_migration_of_a_stopped_server(self) -> None:
        self.place(EXACT)
        self.act("os-stop", "SHUTOFF")
        self.act("migrate", "VERIFY_RESIZE", host=TARGET)
        # Nova defined it there too
        self.check_calm(SOURCE)
        self.assertEqual(({OWN}, set()), (self.claimed(SOURCE), self.claimed(TARGET)))
        self.act("confirmResize", "SHUTOFF")
        self.wait_for("waiting", TARGET)
        self.assertEqual((set(), {OWN}), (self.claimed(SOURCE), self.claimed(TARGET)))
        self.act("os-start")
        self.check_placed(TARGET)

    def test_resize_is_reverted(self) -> None:
        self.place(FREE)
        host = self.act("resize", "VERIFY_RESIZE", flavorRef="tiny2")[HOST]
        self.eventually(lambda: len(self.claimed(host)) == 2, 30)
        self.check_placed(host)
        self.act("revertResize")
        self.eventually(lambda: len(self.claimed(SOURCE)) == 1, 30)
        self.check_placed(SOURCE)

    def test_resize_is_confirmed(self) -> None:
        self.place(FREE)
        host = self.act("resize", "VERIFY_RESIZE", flavorRef="tiny2")[HOST]
        self.act("confirmResize")
        self.eventually(lambda: len(self.claimed(host)) == 2, 30)
        self.check_placed(host)

    def test_shelve_and_unshelve(self) -> None:
        self.place(EXACT)
        self.act("shelve", "SHELVED_OFFLOADED")
        self.assertEqual(
            f"the instance left host {SOURCE}", self.wait_for("waiting", None)["reason"]
        )
        self.assertEqual(set(), self.claimed(SOURCE))
        self.act("unshelve", host=TARGET)
        self.check_placed(TARGET)


class DownCase(LifeCase):
    """Parts of the host of the server stop."""

    def setUp(self) -> None:
        super().setUp()
        self.place(EXACT)
        self.compute = self.cloud.services[f"nova-compute-{SOURCE}"]
        self.libvirt = self.cloud.libvirt[SOURCE]
        self.agent = self.kongming.agents[SOURCE]
        self.down: list[server.Server] = []
        self.addCleanup(self.wait_until_up)
        self.addCleanup(lambda: self.bring_back(*reversed(self.down)))

    def take_down(self, *parts: server.Server) -> None:
        """Stop them, until they are brought back or the test ends."""
        for part in parts:
            part.stop()
            self.down.append(part)

    def bring_back(self, *parts: server.Server) -> None:
        """Start what was stopped."""
        for part in parts:
            part.start()
            self.down.remove(part)

    def service(self) -> dict[str, Any]:
        """The nova-compute of the host, as Nova knows it."""
        path = f"/os-services?host={SOURCE}&binary=nova-compute"
        services: list[dict[str, Any]] = self.admin.nova.get(path).json()["services"]
        return services[0]

    def force_down(self, down: bool) -> bool:
        """Tell Nova that the host is down, or no longer; return whether it agrees."""
        path = f"/os-services/{self.service()['id']}"
        answer = self.admin.nova.put(path, json={"forced_down": down}, raise_exc=False)
        return bool(answer.ok)

    def wait_until_up(self) -> None:
        """For what comes next on this host."""
        # not before Nova has removed from it what was evacuated
        self.eventually(lambda: self.force_down(False), SECONDS)
        self.eventually(lambda: self.service()["state"] == "up", SECONDS)


class HostTest(DownCase):
    """The host of the server goes down, with all that runs on it."""

    def setUp(self) -> None:
        super().setUp()
        self.take_down(self.compute, self.agent, self.libvirt)

    def test_reboot(self) -> None:
        self.assertEqual({OWN}, self.claimed(SOURCE))
        self.bring_back(self.libvirt, self.agent)
        self.assertEqual("the instance is shutoff", self.wait_for("waiting")["reason"])
        self.assertEqual({OWN}, self.claimed(SOURCE))
        self.bring_back(self.compute)
        self.wait_until_up()
        self.act("reboot", type="HARD")
        self.check_placed(SOURCE)

    def test_evacuation(self) -> None:
        self.assertTrue(self.force_down(True))
        # Nova leaves it stopped there
        self.act("evacuate", "SHUTOFF", host=TARGET)
        self.wait_for("waiting", TARGET)
        self.assertEqual((set(), {OWN}), (self.claimed(SOURCE), self.claimed(TARGET)))
        # the host is back, with the domain that it had
        self.bring_back(self.libvirt, self.agent)
        self.check_calm(TARGET)
        self.act("os-start")
        self.check_placed(TARGET)
        self.bring_back(self.compute)
        self.eventually(lambda: not self.libvirt.connect().listAllDomains(), SECONDS)
        self.check_placed(TARGET)


class CutOffTest(DownCase):
    """The host of the server seems down to Nova, and is not."""

    def setUp(self) -> None:
        super().setUp()
        self.take_down(self.compute)

    def test_evacuation_while_the_server_runs_on(self) -> None:
        self.assertTrue(self.force_down(True))
        self.split_storage()
        self.act("evacuate", "SHUTOFF", host=TARGET)
        # It ran there for a moment, and runs where it was. Both hosts are this machine, so that the
        # agent of the target may have taken one process for the other; it does not once both run.
        self.act("os-start")
        self.check_placed(TARGET)
        self.assertEqual((set(), {OWN}), (self.claimed(SOURCE), self.claimed(TARGET)))
        before = self.history()
        self.assertEqual(
            [1, 1],
            [len(libvirt.connect().listAllDomains(1)) for libvirt in self.cloud.libvirt.values()],
        )
        # each host reports that it runs the server
        time.sleep(2 * kongming.INTERVAL)
        self.check_placed(TARGET)
        self.assertEqual(before, self.history())
        log = self.kongming.conductor.log.read_text()
        self.assertEqual(1, log.count(f"Instance {self.server} runs on host {TARGET} and also"))
        self.bring_back(self.compute)
        self.eventually(lambda: not self.libvirt.connect().listAllDomains(), SECONDS)
        time.sleep(2 * kongming.INTERVAL)
        self.check_placed(TARGET)
        self.assertEqual(before, self.history())

    def split_storage(self) -> None:
        """Let the disk be another file for who opens it from now on: QEMU locks what it uses."""
        disk = self.cloud.directory / "nova/instances" / self.server / "disk"
        copy = disk.with_name("copy")
        shutil.copyfile(disk, copy)
        copy.rename(disk)
