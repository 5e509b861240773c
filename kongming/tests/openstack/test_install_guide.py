# SPDX-License-Identifier: Apache-2.0
"""The installation guide, command by command, in a cloud that has never heard of KongMing."""

import subprocess

import pymysql
from testtools import content, content_type

from kongming.tests import base, guide
from kongming.tests.functional.fixtures import server
from kongming.tests.openstack.fixtures import cloud, configuration, machine, services

HOST = "virt1"
#: What is asked again until the answer is that of the guide.
LOOKS = (
    "curl ",
    *(f"openstack resource pin {what} " for what in ("host", "instance", "list", "show")),
)
SERVER = "--flavor tiny --image acpi --no-network"
#: What is not run here, and why.
ELSEWHERE = {
    "CREATE USER kongming PASSWORD": "PostgreSQL: in the functional tests of the guide",
}


class InstallGuideTest(base.BareTestCase):
    """Controller and compute host are one machine, whose configuration is that of both."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(cloud.Cloud(fake_hosts=(), libvirt_hosts=(HOST,)))
        self.machine = self.useFixture(machine.Machine())
        self.port = server.free_port()
        self.user = "admin"
        self.path = ""

    def test_every_command(self) -> None:
        act = {"console": self.type, "ini": self.edit, "sql": self.execute}
        for block in guide.blocks("admin/install.rst"):
            act[block.language](block._replace(text=self.filled_in(block.text)))
        # what clients of 2018 find in the catalogue
        self.user = "admin"
        self.run_command("openstack service delete kongming")
        self.user = "demo"
        self.run_command(f"openstack server create {SERVER} --wait vnf-2")
        self.see(guide.Step("openstack resource pin instance list -c Name -f value", ["vnf-2"]))
        wait = (
            "openstack resource pin create vnf-2 --cpu-policy dedicated --wait -c status -f value"
        )
        self.see(guide.Step(wait, ["applied"]))

    def filled_in(self, text: str) -> str:
        """Return what an operator of this cloud makes of the text of the guide."""
        ports = self.cloud.configuration.ports
        for there, here in {
            "controller:9517": f"controller:{self.port}",
            "controller:5672": f"controller:{self.cloud.broker.port}",
            "controller:5000": f"controller:{ports['keystone']}",
            "@controller/": f"@controller:{self.cloud.database.port}/",
            "host_ip = 192.0.2.10": f"host_ip = 127.0.0.1\nport = {self.port}",
            "#host = compute-1": f"host = {HOST}",
            "compute-1": HOST,
            "--flavor FLAVOR --image IMAGE --network NETWORK": SERVER,
        }.items():
            text = text.replace(there, here)
        return text

    def execute(self, block: guide.Block) -> None:
        """Execute SQL in MariaDB."""
        if any(block.text.startswith(first) for first in ELSEWHERE):
            return
        port = self.cloud.database.port
        with pymysql.connect(host=server.LOOPBACK, port=port, user="root") as connection:
            for statement in filter(str.strip, block.text.split(";")):
                connection.cursor().execute(statement)

    def edit(self, block: guide.Block) -> None:
        """Write a part of a configuration file, and restart what reads it."""
        if block.name.endswith("-conf"):
            text = block.text
            if block.name == "compute-conf":
                # elsewhere libvirt has one daemon
                text += f"\n[libvirt]\nuri = {self.cloud.libvirt[HOST].uri}\n"
            self.run_command(f"cat >>/etc/kongming/kongming.conf <<'END'\n{text}\nEND")
            return
        conf = self.cloud.configuration
        names = ["nova-scheduler"]
        if block.name == "nova-notifications":
            names = ["nova-api", "nova-conductor", "nova-scheduler", "nova-common"]
        for name in names:
            with conf.path(name).open("a") as file:
                file.write(block.text)
        for name in ("nova-api", "nova-conductor", f"nova-compute-{HOST}"):
            self.cloud.services[name].restart()
        # the one that has the filter is what was installed on the machine
        self.cloud.services["nova-scheduler"].stop()
        program = f"{conf.venv}/bin/nova-scheduler --config-file {conf.path('nova-scheduler')}"
        if block.name == "nova-notifications":
            command = self.machine.inside(f"exec /opt/nova/bin/python {program}")
            self.useFixture(services.Service("scheduler-of-the-guide", command))

    def type(self, block: guide.Block) -> None:
        """Type the commands, and see what they print."""
        for step in block.steps():
            command = step.command
            if command.startswith("PATH="):
                self.path = f"{command};"
            elif command.startswith("rabbitmqctl "):
                self.cloud.broker.run_tool("bash", "-c", f"/usr/lib/rabbitmq/bin/{command}")
            elif command.endswith(" &"):
                self.useFixture(machine.Started(self.machine, command[:-2], self.path))
            else:
                if command.startswith("openstack server create"):
                    # as a user of a project, from here on
                    self.user = "demo"
                self.see(step)

    def see(self, step: guide.Step) -> None:
        """Run a command that must print what the guide shows, if it shows anything."""
        command = step.command
        if command.startswith(LOOKS):
            printed: list[str] = []

            def is_there() -> bool:
                done = self.try_command(command)
                printed[:] = [done.stdout, done.stderr]
                return done.returncode == 0 and step.matches(done.stdout)

            self.addDetail(command, _shown(printed))
            self.eventually(is_there, 90)
            return
        said = self.run_command(command)
        if step.output:
            self.assertTrue(step.matches(said), f"{command}\n{said}")
        elif command == "kongming-status upgrade check":
            self.assertEqual(4, said.count("Result: Success"), said)

    def run_command(self, command: str) -> str:
        """Return what a command prints on the machine; it must succeed."""
        done = self.try_command(command)
        self.assertEqual(0, done.returncode, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def try_command(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on the machine, whether it succeeds or not."""
        conf = self.cloud.configuration
        credentials = {
            "OS_AUTH_URL": conf.auth_url,
            "OS_USERNAME": self.user,
            "OS_PASSWORD": configuration.PASSWORD,
            "OS_PROJECT_NAME": self.user,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": configuration.REGION,
            "OS_COMPUTE_API_VERSION": "2.96",
        }
        return subprocess.run(
            self.machine.inside(f"{self.path} {command}", credentials),
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )


def _shown(lines: list[str]) -> content.Content:
    return content.Content(content_type.UTF8_TEXT, lambda: [line.encode() for line in lines])
