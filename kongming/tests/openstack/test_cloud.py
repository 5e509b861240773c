# SPDX-License-Identifier: Apache-2.0
"""The cloud itself: what the other tests take for granted."""

from keystoneauth1 import exceptions

from kongming.tests.functional.fixtures import process
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import cloud

HOST = "OS-EXT-SRV-ATTR:host"


class BootTest(base.CloudCase):
    def test_each_host_runs_servers(self) -> None:
        for host in cloud.HOSTS:
            server = self.boot(self.cloud.admin, host=host)
            self.assertEqual(host, server[HOST])

    def test_libvirt_hosts_run_real_guests(self) -> None:
        server = self.boot(self.cloud.demo, zone="virt", flavor="tiny2")
        threads = process.threads(process.find(server["id"]))
        self.assertEqual(2, len([kind for kind in threads if kind.startswith("vcpu")]))

    def test_nova_gives_dedicated_cpus_on_a_fake_host(self) -> None:
        server = self.boot(self.cloud.admin, host="fake1", flavor="pinned2")
        path = f"/servers/{server['id']}/topology"
        (node,) = self.cloud.admin.nova.get(path).json()["nodes"]
        self.assertEqual({"0", "1"}, set(node["cpu_pinning"]))

    def test_two_guest_nodes_are_on_two_host_nodes(self) -> None:
        server = self.boot(self.cloud.admin, host="fake1", flavor="numa2")
        path = f"/servers/{server['id']}/topology"
        nodes = self.cloud.admin.nova.get(path).json()["nodes"]
        self.assertEqual({0, 1}, {node["host_node"] for node in nodes})

    def test_members_do_not_see_each_other(self) -> None:
        server = self.boot(self.cloud.demo, zone="fake")
        self.assertRaises(exceptions.NotFound, self.cloud.alt.show, server["id"])


class PowerTest(base.CloudCase):
    def test_a_guest_heeds_the_power_button(self) -> None:
        server = self.boot(self.cloud.demo, zone="virt")["id"]
        self.cloud.demo.act(server, "os-stop")
        # Nova pulls the plug after 60 seconds.
        self.cloud.demo.wait_for(server, "SHUTOFF", 55)


class MigrationTest(base.CloudCase):
    def setUp(self) -> None:
        super().setUp()
        self.admin = self.cloud.admin
        self.server = self.boot(self.admin, host="virt1")["id"]
        self.before = process.find(self.server)

    def test_live(self) -> None:
        self.admin.act(self.server, "os-migrateLive", host="virt2", block_migration="auto")
        self.eventually(lambda: self.admin.show(self.server)[HOST] == "virt2", 120)
        self.admin.wait_for(self.server, "ACTIVE")
        self.check_moved()

    def test_cold(self) -> None:
        self.admin.act(self.server, "migrate", host="virt2")
        self.assertEqual("virt2", self.admin.wait_for(self.server, "VERIFY_RESIZE", 120)[HOST])
        self.admin.act(self.server, "confirmResize")
        self.admin.wait_for(self.server, "ACTIVE")
        self.check_moved()

    def check_moved(self) -> None:
        """Ask the daemons, and the kernel."""
        self.assertEqual([], self.domains("virt1"))
        self.assertEqual([self.server], self.domains("virt2"))
        self.assertNotEqual(self.before, process.find(self.server))

    def domains(self, host: str) -> list[str]:
        """UUIDs of the domains that a host has, running or not."""
        return [
            domain.UUIDString() for domain in self.cloud.libvirt[host].connect().listAllDomains()
        ]


class SchedulerTest(base.CloudCase):
    def test_a_filter_from_outside_nova(self) -> None:
        name = "kongming.tests.openstack.programs.refusing_filter.RefusingFilter"
        self.addCleanup(self.cloud.restart_scheduler)
        self.cloud.restart_scheduler((name,), {"refusing": {"hosts": "fake1,fake2"}})
        refused = self.boot(self.cloud.admin, host="fake2", status="ERROR")
        # The reason is stored after the status.
        fault = self.eventually(lambda: self.cloud.admin.show(refused["id"]).get("fault"))
        self.assertIn("No valid host", fault["message"])
        self.boot(self.cloud.admin, host="fake3")

    def test_a_filter_that_is_not_there(self) -> None:
        self.addCleanup(self.cloud.restart_scheduler)
        self.assertRaises(RuntimeError, self.cloud.restart_scheduler, ("kongming.none.Filter",))
