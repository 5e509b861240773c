# SPDX-License-Identifier: Apache-2.0

import datetime
import threading

import fixtures
import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_messaging import RemoteError
from oslo_policy import opts
from oslo_upgradecheck.upgradecheck import Code, Result

from kongming import exception
from kongming.cmd import status
from kongming.conductor import rpcapi
from kongming.db import engine, migrations, models
from kongming.tests import base
from kongming.tests.unit.conductor.base import TOPOLOGY


class ChecksTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(base.Database())
        self.checks = status.Checks()

    def check(self, name: str) -> Result:
        return dict(self.checks._upgrade_checks)[name](self.checks)

    def assert_result(self, code: Code, words: str, name: str) -> None:
        result = self.check(name)
        self.assertEqual(code, result.code, str(result.details))
        self.assertIn(words, result.details or "")

    def set_policy(self, text: str) -> None:
        (self.directory / "policy.yaml").write_text(text)
        opts.set_defaults(self.conf)
        self.configuration.set("policy_file", str(self.directory / "policy.yaml"), "oslo_policy")

    def ping_fails(self, error: Exception) -> None:
        def ping(*_: object) -> None:
            raise error

        self.useFixture(fixtures.MonkeyPatch("kongming.conductor.rpcapi.ConductorAPI.ping", ping))


class SchemaTest(ChecksTest):
    def test_newest(self) -> None:
        self.assert_result(Code.SUCCESS, "", "Database schema")

    def test_older(self) -> None:
        migrations.stamp("0001")
        self.assert_result(Code.WARNING, "at revision 0001; ", "Database schema")
        self.assert_result(Code.WARNING, "kongming-dbsync upgrade", "Database schema")

    def test_newer(self) -> None:
        with engine.writer() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        self.assert_result(Code.FAILURE, "revision 9999, which this release", "Database schema")

    def test_none(self) -> None:
        self.configuration.set("connection", f"sqlite:///{self.directory}/x.db", "database")
        engine.dispose()
        self.assert_result(Code.WARNING, "at revision None", "Database schema")
        self.assert_result(Code.SUCCESS, "no host", "Hosts")

    def test_unreadable(self) -> None:
        self.configuration.set("connection", "sqlite:////nowhere/kongming.db", "database")
        engine.dispose()
        for name in ("Database schema", "Hosts"):
            self.assert_result(Code.FAILURE, "unable to open database file", name)


class PolicyTest(ChecksTest):
    def test_without_a_file(self) -> None:
        self.assert_result(Code.SUCCESS, "", "Policy file")

    def test_good(self) -> None:
        self.set_policy(
            '"mano": "role:mano"\n'
            '"resource_pin:hosts:get": "rule:resource_pin:admin or (rule:mano)"\n'
            '"resource_pin:pins:override": "!"\n'
        )
        self.assert_result(Code.SUCCESS, "", "Policy file")

    def test_unknown_names(self) -> None:
        self.set_policy('"resource_pin:host:get": "role:mano"\n"alone": "@"\n')
        self.assert_result(Code.WARNING, "asks: alone, resource_pin:host:get.", "Policy file")

    def test_not_understood(self) -> None:
        self.set_policy('"resource_pin:hosts:get": "role:admin and and"\n')
        self.assert_result(Code.FAILURE, "deny everybody: resource_pin:hosts:get", "Policy file")

    def test_refers_to_nothing(self) -> None:
        self.set_policy('"resource_pin:hosts:get": "rule:nothing"\n')
        self.assert_result(Code.FAILURE, "resource_pin:hosts:get", "Policy file")

    def test_unreadable(self) -> None:
        for text in ('"resource_pin:hosts:get', "- role:admin\n"):
            self.set_policy(text)
            self.assert_result(Code.FAILURE, "cannot be read", "Policy file")


class ConductorsTest(ChecksTest):
    def test_away(self) -> None:
        self.ping_fails(exception.ControlPlaneUnavailable("Nobody is there."))
        self.configuration.set("transport_url", "fake://")
        self.assert_result(Code.WARNING, "Nobody is there. Restart conductors", "Conductors")

    def test_unusable_broker(self) -> None:
        self.configuration.set("transport_url", "nonsense://")
        self.assert_result(Code.WARNING, "nonsense", "Conductors")

    def test_older(self) -> None:
        api = rpcapi.ConductorAPI.__new__(rpcapi.ConductorAPI)
        api._reachable = threading.Event()
        api._reachable.set()

        class Old:
            kind = "UnsupportedVersion"

            def prepare(self, **_: object) -> "Old":
                return self

            def call(self, *_: object) -> None:
                raise RemoteError(self.kind, "no")

        client = api._client = Old()
        error = self.assertRaises(exception.ControlPlaneUnavailable, api.ping, None, 1)
        self.assertIn("older than this program", str(error))
        client.kind = "ValueError"
        self.assertRaises(RemoteError, api.ping, None, 1)


class HostsTest(ChecksTest):
    def add(self, name: str, silent: int) -> None:
        reported_at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=silent)
        values = {
            "name": name,
            "topology": TOPOLOGY,
            "report_sequence": 1,
            "report_interval": 60,
            "reported_at": reported_at.replace(tzinfo=None),
        }
        with engine.writer() as session:
            session.execute(sa.insert(models.Host).values(values))

    def test_all_up(self) -> None:
        self.add("one", 0)
        self.assert_result(Code.SUCCESS, "", "Hosts")

    def test_some_down(self) -> None:
        self.add("one", 0)
        for number in range(12):
            self.add(f"dead-{number:02}", 500)
        self.assert_result(Code.WARNING, "12 of 13 hosts are down: dead-00, dead-01", "Hosts")
        self.assert_result(Code.WARNING, "dead-09 and 2 more.", "Hosts")

    def test_unreadable(self) -> None:
        def beats(*_: object) -> None:
            raise db_exception.DBError(ValueError("first line\nsecond line"))

        self.useFixture(fixtures.MonkeyPatch("kongming.db.hosts.beats", beats))
        result = self.check("Hosts")
        self.assertEqual(
            (Code.FAILURE, "The hosts cannot be read: first line"), (result.code, result.details)
        )
