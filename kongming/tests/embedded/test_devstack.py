# SPDX-License-Identifier: Apache-2.0
"""The plugin of devstack: what each phase does, and that what it configures starts."""

import pathlib
import signal
from typing import Any

import requests

from kongming.tests import base
from kongming.tests.devstack.plugin import CHECKOUT, Devstack, commands, option
from kongming.tests.embedded.base import FLEET
from kongming.tests.embedded.test_programs import Program, ProgramTestCase
from kongming.tests.functional.fixtures.server import free_port

URL = "http://192.0.2.10/resource-pin"
MEMORY = "kombu+memory://"


class PluginTest(base.BareTestCase):
    def devstack(self, **options: Any) -> Devstack:
        """Return a node."""
        return self.useFixture(Devstack(MEMORY, **options))

    def test_install(self) -> None:
        checkout = str(CHECKOUT)
        self.assertIn(
            ["setup_develop", checkout, "cli,libvirt"], self.devstack().run("stack", "install")
        )
        controller = self.devstack(disabled="kongming-agent")
        self.assertIn(["setup_develop", checkout, "cli"], controller.run("stack", "install"))

    def test_post_config(self) -> None:
        node = self.devstack(KONGMING_MANAGED_CPUS="2-7")
        calls = node.run("stack", "post-config")
        uwsgi = str(node.conf_dir / "kongming-api-uwsgi.ini")
        application = "kongming.wsgi.api:application"
        for call in (
            ["setup_logging", str(node.conf)],
            ["create_service_user", "kongming", "admin"],
            ["get_or_create_role", "resource_pin"],
            ["get_or_create_endpoint", "resource-pin", "RegionOne", *[f"{URL}/v1"] * 3],
            ["recreate_database", "kongming"],
            ["kongming-dbsync"],
            ["write_uwsgi_config", uwsgi, application, "/resource-pin", "", "kongming-api"],
        ):
            self.assertIn(call, calls)
        for group, name, value in (
            ("DEFAULT", "transport_url", MEMORY),
            ("database", "connection", f"sqlite:///{node.directory}/kongming.db"),
            ("keystone_authtoken", "username", "kongming"),
            ("keystone_authtoken", "service_token_roles_required", "True"),
            ("service_credentials", "username", "kongming"),
            ("notifications", "handlers", "versioned"),
            ("agent", "managed_cpus", "2-7"),
            ("agent", "state_dir", f"{node.directory}/data/kongming"),
        ):
            self.assertEqual([value], option(node.conf, group, name))
        self.assertEqual([], option(node.conf, "DEFAULT", "host"))
        self.assertTrue((node.directory / "data/kongming").is_dir())

    def test_nova(self) -> None:
        node = self.devstack(KONGMING_FILTER_ON_ERROR="pass")
        # nobody else may write the file at the same time
        self.assertIn(["async_wait", "configure_neutron_nova"], node.run("stack", "post-config"))
        # and once more, as a second stack.sh does
        node.run("stack", "post-config")
        for group, name, values in (
            (
                "filter_scheduler",
                "enabled_filters",
                ["ComputeFilter,NUMATopologyFilter,KongmingFilter"],
            ),
            (
                "filter_scheduler",
                "available_filters",
                [
                    "nova.scheduler.filters.all_filters",
                    "kongming.compute.kongming_filter.KongmingFilter",
                ],
            ),
            ("notifications", "notification_format", ["both"]),
            ("notifications", "notify_on_state_change", ["vm_state"]),
            ("kongming", "on_error", ["pass"]),
            ("kongming_credentials", "username", ["nova"]),
        ):
            self.assertEqual(values, option(node.nova_conf, group, name))

    def test_host_is_that_of_nova(self) -> None:
        node = self.devstack(services="")
        node.nova_conf.write_text("[DEFAULT]\nhost = compute-7\n")
        node.run("stack", "post-config")
        self.assertEqual(["compute-7"], option(node.conf, "DEFAULT", "host"))

    def test_compute_node(self) -> None:
        node = self.devstack(services="n-cpu", disabled="kongming-api kongming-conductor")
        called = {call[0] for call in node.stack()}
        self.assertFalse(
            called & {"recreate_database", "create_service_user", "write_uwsgi_config"}, called
        )
        self.assertEqual([], option(node.conf, "database", "connection"))
        self.assertEqual([], option(node.nova_conf, "kongming", "on_error"))
        self.assertEqual(["both"], option(node.nova_conf, "notifications", "notification_format"))

    def test_nothing_where_it_is_disabled(self) -> None:
        node = self.devstack(disabled="kongming-api kongming-conductor kongming-agent")
        self.assertEqual([], node.stack())
        self.assertEqual([], node.run("unstack"))
        self.assertEqual([], node.run("clean"))

    def test_undone(self) -> None:
        node = self.devstack()
        node.run("stack", "post-config")
        services = ("kongming-api", "kongming-agent", "kongming-conductor")
        self.assertEqual([["stop_process", name] for name in services], node.run("unstack"))
        self.assertTrue(node.conf.exists())
        calls = node.run("clean")
        self.assertEqual(["remove_uwsgi_config"], [call[0] for call in calls])
        self.assertFalse(node.conf_dir.exists())
        self.assertFalse((node.directory / "data/kongming").exists())
        without = self.useFixture(Devstack(MEMORY, disabled=" ".join(services)))
        without.run("stack", "post-config")

        def settings(path: pathlib.Path) -> set[str]:
            return {line for line in path.read_text().splitlines() if "=" in line}

        self.assertEqual(settings(without.nova_conf), settings(node.nova_conf))
        # and once more, where nothing is left
        node.nova_conf.unlink()
        node.run("clean")


class StartTest(ProgramTestCase):
    """What devstack would run, run."""

    def test_processes(self) -> None:
        port = free_port()
        node = self.useFixture(Devstack(MEMORY, True, f"127.0.0.1:{port}"))
        calls = node.stack()
        self.assertIn(
            ["wait_for_service", "60", f"{URL}/healthcheck"],
            [call for call in calls if call[0] == "wait_for_service"],
        )
        processes = commands(calls)
        self.assertEqual(["kongming-conductor", "kongming-agent", "kongming-api"], [*processes])
        (agent,) = (call for call in calls if call[:2] == ["run_process", "kongming-agent"])
        self.assertEqual("root", agent[4])
        # no host here has a hypervisor
        (node.directory / "fleet.yaml").write_text(FLEET)
        with node.conf.open("a") as file:
            file.write(
                "[DEFAULT]\nhost = one\n[agent]\nhypervisor = simulated\n"
                f"[simulated]\nfleet = {node.directory}/fleet.yaml\n"
            )
        started = {}
        for name, environment in (
            ("kongming-conductor", {}),
            ("kongming-agent", {}),
            ("kongming-api", {"OS_KONGMING_CONFIG_FILE": str(node.conf)}),
        ):
            program = Program(*processes[name], environment=environment)
            started[name] = self.useFixture(program)
        started["kongming-conductor"].wait_for_output("Conductor is ready")
        started["kongming-agent"].wait_for_output("Agent of host one is ready")
        started["kongming-api"].wait_for_output("WSGI app 0", 2)
        api = f"http://127.0.0.1:{port}"
        self.assertEqual(200, requests.get(api, timeout=30).status_code)
        self.assertEqual(401, requests.get(f"{api}/v1/pins", timeout=30).status_code)
        # each process has a broker of its own in its memory
        answer = requests.get(f"{api}/healthcheck", timeout=30)
        self.assertEqual((503, "OK\nNo conductor answers."), (answer.status_code, answer.text))
        for program in started.values():
            program.signal(signal.SIGTERM)
        for name, program in started.items():
            self.assertIn(program.wait(), (0,), name + program.output)
