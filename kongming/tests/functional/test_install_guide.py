# SPDX-License-Identifier: Apache-2.0
"""What the installation guide and the plugin of devstack make, on real servers."""

import contextlib
import pathlib
import re
import subprocess
import sys

import fixtures
import psycopg2
import pymysql
import requests

from kongming.tests import base, guide
from kongming.tests.devstack.plugin import Devstack, commands
from kongming.tests.embedded.base import FLEET
from kongming.tests.embedded.test_programs import Program
from kongming.tests.functional.fixtures import mariadb, postgresql, rabbitmq, server, services

_RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_BIN = pathlib.Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    """Return the blocks of the guide in a language."""
    return [each.text for each in guide.blocks("admin/install.rst") if each.language == language]


class ServersTestCase(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(mariadb.MariaDB())
        self.broker = self.useFixture(rabbitmq.RabbitMQ())
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.port = server.free_port()

    def health(self) -> str:
        """Return what a load balancer is told."""
        return requests.get(f"http://127.0.0.1:{self.port}/healthcheck", timeout=30).text


class InstallGuideTest(ServersTestCase):
    def test_from_nothing_to_a_healthy_api(self) -> None:
        with pymysql.connect(host="127.0.0.1", port=self.database.port, user="root") as connection:
            for statement in filter(str.strip, blocks("sql")[0].split(";")):
                connection.cursor().execute(statement)
        for command in "".join(blocks("console")).splitlines():
            if command.startswith("# rabbitmqctl"):
                self.broker.run_tool("bash", "-c", f"{_RABBITMQCTL} {command[13:]}")
        controller, compute = blocks("ini")[:2]
        conf = self.write("kongming", controller)
        dbsync = [str(_BIN / "kongming-dbsync"), "--config-file", str(conf), "upgrade"]
        done = subprocess.run(dbsync, check=True, capture_output=True, text=True)
        self.assertIn("The schema is at revision", done.stdout)
        self.useFixture(services.Program("kongming-conductor", conf))
        self.useFixture(services.Program("kongming-api", conf))
        (self.directory / "fleet.yaml").write_text(FLEET)
        simulated = f"hypervisor = simulated\nstate_dir = {self.directory}"
        agent = self.write(
            "agent",
            compute.replace("#host = compute-1", "host = one").replace(
                "[agent]", f"[simulated]\nfleet = {self.directory}/fleet.yaml\n[agent]\n{simulated}"
            ),
        )
        self.useFixture(services.Program("kongming-agent", agent))
        self.eventually(lambda: self.health() == "OK\nOK", 60)
        status = [str(_BIN / "kongming-status"), "--config-file", str(conf), "upgrade", "check"]
        found = subprocess.run(status, check=False, capture_output=True, text=True)
        self.assertEqual((0, 4), (found.returncode, found.stdout.count("Result: Success")))

    def write(self, name: str, text: str) -> pathlib.Path:
        """Write what the guide says, for servers that are on this machine."""
        for ours, here in (
            ("192.0.2.10", f"127.0.0.1\nport = {self.port}"),
            ("@controller:5672", f"@127.0.0.1:{self.broker.port}"),
            ("@controller/", f"@127.0.0.1:{self.database.port}/"),
        ):
            text = text.replace(ours, here)
        path = self.directory / f"{name}.conf"
        path.write_text(text)
        return path


class PostgreSQLTest(base.BareTestCase):
    def test_database(self) -> None:
        database = self.useFixture(postgresql.PostgreSQL())
        connection = psycopg2.connect(database.url("postgres").replace("+psycopg2", ""))
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            for statement in filter(str.strip, blocks("sql")[1].split(";")):
                cursor.execute(statement)
        (url,) = re.findall(r"``(postgresql\+.*)``", guide.text("admin/install.rst"))
        conf = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "kongming.conf"
        there = f"@127.0.0.1:{database.port}/"
        conf.write_text(f"[database]\nconnection = {url.replace('@controller/', there)}\n")
        dbsync = [str(_BIN / "kongming-dbsync"), "--config-file", str(conf), "upgrade"]
        done = subprocess.run(dbsync, check=True, capture_output=True, text=True)
        self.assertIn("The schema is at revision", done.stdout)


class DevstackTest(ServersTestCase):
    def test_starts(self) -> None:
        node = self.useFixture(
            Devstack(
                self.broker.transport_url,
                True,
                f"127.0.0.1:{self.port}",
                self.database.create("kongming"),
            )
        )
        processes = commands(node.stack())
        self.useFixture(Program(*processes["kongming-conductor"])).wait_for_output(
            "Conductor is ready"
        )
        environment = {"OS_KONGMING_CONFIG_FILE": str(node.conf)}
        api = self.useFixture(Program(*processes["kongming-api"], environment=environment))
        api.wait_for_output("WSGI app 0", 2)
        self.eventually(lambda: self.health() == "OK\nOK", 60)
        url = f"http://127.0.0.1:{self.port}"
        self.assertEqual(401, requests.get(f"{url}/v1/pins", timeout=30).status_code)
