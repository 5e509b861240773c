# SPDX-License-Identifier: Apache-2.0
"""TLS to broker and databases, by the options of the security guide alone."""

import pathlib
import re
import subprocess
import sys
from typing import Any

import fixtures
import requests

from kongming.tests import base
from kongming.tests.functional.fixtures import (
    authority,
    mariadb,
    postgresql,
    rabbitmq,
    server,
    services,
)
from kongming.tests.openstack.fixtures import configuration

GUIDE = pathlib.Path(__file__).parents[3] / "doc/source/admin/security.rst"
#: What stands for the authority of the cloud there.
FILE = "/etc/ssl/certs/cloud.pem"


class GuideTest(base.BareTestCase):
    """Two authorities for a class; nobody but the clients of the first trusts it."""

    own: authority.Authority
    others: authority.Authority

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.own, cls.others = (cls.have(authority.Authority()) for _ in range(2))

    @classmethod
    def have(cls, fixture: Any) -> Any:
        """Set a fixture up for the whole class."""
        fixture.setUp()
        cls.addClassCleanup(fixture.cleanUp)
        return fixture

    def guide(self, trusted: authority.Authority) -> str:
        """Return the guide for a cloud with an authority."""
        return GUIDE.read_text().replace(FILE, str(trusted.file))

    def broker_options(self, trusted: authority.Authority) -> dict[str, dict[str, str]]:
        """Return what the guide says for the broker, but for the URL."""
        said = re.search(r"\[oslo_messaging_rabbit\]\n((?: +\w+ = .+\n)+)", self.guide(trusted))
        assert said is not None
        return {"oslo_messaging_rabbit": dict(re.findall(r"(\w+) = (.+)", said[1]))}

    def connection(self, scheme: str, there: str, trusted: authority.Authority) -> str:
        """Return what the guide says for a database that is there (``USER@HOST:PORT/NAME``)."""
        said = re.search(
            rf"``(?:connection = )?({scheme}://)[^`?]*(\?[^`]*)``", self.guide(trusted)
        )
        assert said is not None
        return f"{said[1]}{there}{said[2]}"


class DatabaseTest(GuideTest):
    def sync(self, connection: str) -> subprocess.CompletedProcess[str]:
        """Let KongMing make its tables."""
        conf = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "kongming.conf"
        conf.write_text(
            f"[database]\nconnection = {connection.replace('%', '%%')}\nmax_retries = 0\n"
        )
        program = pathlib.Path(sys.executable).with_name("kongming-dbsync")
        return subprocess.run(
            [program, "--config-file", conf, "upgrade"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def accepted(self, connection: str) -> None:
        run = self.sync(connection)
        self.assertEqual(0, run.returncode, run.stdout)

    def refused(self, connection: str, reason: str) -> None:
        run = self.sync(connection)
        self.assertNotEqual(0, run.returncode, run.stdout)
        self.assertRegex(run.stdout, reason)

    def test_mariadb(self) -> None:
        database = self.useFixture(mariadb.MariaDB(self.own))
        plain = database.create("kongming")
        there = f"root@{server.LOOPBACK}:{database.port}/kongming"
        # present clients use TLS by themselves, but take any certificate
        self.refused(f"{plain}&ssl_disabled=true", "insecure transport|Access denied")
        self.refused(
            self.connection(r"mysql\+pymysql", there, self.others), "certificate verify failed"
        )
        self.accepted(self.connection(r"mysql\+pymysql", there, self.own))

    def test_mariadb_without_certificate(self) -> None:
        """Nobody in between can talk a client out of TLS."""
        database = self.useFixture(mariadb.MariaDB())
        database.create("kongming")
        there = f"root@{server.LOOPBACK}:{database.port}/kongming"
        self.refused(self.connection(r"mysql\+pymysql", there, self.own), "SSL")

    def test_postgresql(self) -> None:
        database = self.useFixture(postgresql.PostgreSQL(self.own))
        database.create("kongming")
        there = f"{postgresql.USER}@{server.LOOPBACK}:{database.port}/kongming"
        self.refused(f"postgresql+psycopg2://{there}?sslmode=disable", "no encryption")
        self.refused(
            self.connection(r"postgresql\+psycopg2", there, self.others),
            "certificate verify failed",
        )
        self.accepted(self.connection(r"postgresql\+psycopg2", there, self.own))

    def test_postgresql_without_certificate(self) -> None:
        database = self.useFixture(postgresql.PostgreSQL())
        database.create("kongming")
        there = f"{postgresql.USER}@{server.LOOPBACK}:{database.port}/kongming"
        self.refused(self.connection(r"postgresql\+psycopg2", there, self.own), "SSL")


class BrokerTest(GuideTest):
    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the options of a client that trusts the first authority."""
        return self.broker_options(self.own)

    def test_one_that_is_certified(self) -> None:
        broker = self.useFixture(rabbitmq.RabbitMQ(self.own))
        database = f"sqlite:///{self.directory()}/kongming.sqlite"
        kongming = self.useFixture(
            services.ControlPlane(broker.transport_url, database, None, self.settings())
        )
        made = kongming.request("POST", "/v1/templates", json={"name": "gold", "wish": {}})
        self.assertEqual(201, made.status_code, made.text)

    def test_one_that_somebody_else_certified(self) -> None:
        self.refused(rabbitmq.RabbitMQ(self.others), "certificate verify failed: self-signed")

    def test_one_of_another_name(self) -> None:
        self.refused(rabbitmq.RabbitMQ(self.own, "DNS:elsewhere.example.org"), "mismatch")

    def refused(self, fixture: rabbitmq.RabbitMQ, reason: str) -> None:
        """Insist that the API has nothing to do with a broker, and says why."""
        broker = self.useFixture(fixture)
        directory = self.directory()
        port = server.free_port()
        conf = configuration.write(
            directory / "kongming.conf",
            {
                "DEFAULT": {"transport_url": broker.transport_url},
                "api": {"port": port, "auth_strategy": "noauth"},
                "database": {"connection": f"sqlite:///{directory}/kongming.sqlite"},
                **self.settings(),
            },
        )
        api = self.useFixture(services.Program("kongming-api", conf))
        url = f"http://{server.LOOPBACK}:{port}/v1/templates"
        headers = {"OpenStack-API-Version": "resource_pin latest"}
        body = {"name": "gold", "wish": {}}
        answer = requests.post(url, headers=headers, json=body, timeout=30)
        self.assertEqual(503, answer.status_code, answer.text)
        self.assertIn(reason, api.log.read_text())

    def directory(self) -> pathlib.Path:
        """Return an empty directory."""
        return pathlib.Path(self.useFixture(fixtures.TempDir()).path)
