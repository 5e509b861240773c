# SPDX-License-Identifier: Apache-2.0
from oslo_config import cfg

from kongming import exception
from kongming.compute.nova import Nova, Server
from kongming.conf import service_credentials
from kongming.tests import base, nova
from kongming.tests.functional.fixtures.server import free_port

UUID = "11111111-1111-4111-8111-111111111111"


class NovaTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.useFixture(nova.NovaAPI())
        for name, value in self.api.options.items():
            self.configuration.set(name, value, "service_credentials")

    def client(self) -> Nova:
        """Return the client that the configuration describes."""
        found = Nova.from_conf(self.conf)
        assert found is not None
        return found

    def test_server(self) -> None:
        hints = {"resource_pin": ["0-3"]}
        self.api.add(UUID, metadata={"a": "b"}, scheduler_hints=hints, status="ACTIVE")
        self.api.servers[UUID]["OS-EXT-SRV-ATTR:host"] = "one"
        self.assertEqual(
            Server(UUID, "telco", "mano", "one", "ACTIVE", {"a": "b"}, hints),
            self.client().server(UUID),
        )

    def test_what_old_novas_and_users_without_rights_are_not_shown(self) -> None:
        self.api.add(UUID)
        del self.api.servers[UUID]["OS-EXT-SRV-ATTR:host"]
        found = self.client().server(UUID)
        self.assertEqual((None, {}), (found.host, found.scheduler_hints))

    def test_microversion_is_the_newest_that_both_know(self) -> None:
        self.api.add(UUID)
        for newest, expected in (
            ("2.150", "compute 2.100"),
            ("2.100", "compute 2.100"),
            ("2.79", "compute 2.79"),
            # what an old Nova speaks anyway is not asked for
            ("2.1", None),
            ("", None),
        ):
            self.api.newest = newest
            self.client().server(UUID)
            path, asked = self.api.asked[-1]
            self.assertEqual((f"/v2.1/servers/{UUID}", expected), (path, asked), newest)

    def test_versions_are_asked_for_once(self) -> None:
        self.api.add(UUID)
        client = self.client()
        for _ in range(3):
            client.server(UUID)
        paths = [path for path, _ in self.api.asked]
        self.assertEqual(3, paths.count(f"/v2.1/servers/{UUID}"))
        self.assertEqual(1, len([path for path in paths if "servers" not in path]))

    def test_no_such_server(self) -> None:
        error = self.assertRaises(exception.InstanceNotFound, self.client().server, UUID)
        self.assertIn(UUID, error.message)

    def test_refused(self) -> None:
        self.api.add(UUID)
        client = self.client()
        client.server(UUID)
        for status in ("401 Unauthorized", "403 Forbidden"):
            self.api.status = status
            error = self.assertRaises(exception.NovaRefuses, client.server, UUID)
            self.assertIn("service_credentials", error.message)
            self.assertIn(f"HTTP {status[:3]}", self.log.output)

    def test_nova_fails_and_recovers(self) -> None:
        self.api.add(UUID)
        client = self.client()
        self.api.status = "503 Service Unavailable"
        self.assertRaises(exception.NovaUnavailable, client.server, UUID)
        self.api.status = None
        self.assertEqual(UUID, client.server(UUID).uuid)

    def test_nobody_listens(self) -> None:
        self.configuration.set(
            "endpoint_override", f"http://127.0.0.1:{free_port()}/v2.1", "service_credentials"
        )
        error = self.assertRaises(exception.NovaUnavailable, self.client().server, UUID)
        self.assertEqual((503, "resource_pin.nova_unavailable"), (error.status, error.code))

    def test_keystone_is_away(self) -> None:
        url = f"http://127.0.0.1:{free_port()}/v3"
        (self.directory / "kongming.conf").write_text(
            f"[service_credentials]\nauth_type = password\nauth_url = {url}\n"
            "username = kongming\npassword = secret\nuser_domain_id = default\n"
        )
        # the options of a plugin stay registered
        conf = cfg.ConfigOpts()
        service_credentials.register_opts(conf)
        conf(["--config-dir", str(self.directory)])
        client = Nova.from_conf(conf)
        assert client is not None
        error = self.assertRaises(exception.NovaUnavailable, client.server, UUID)
        self.assertEqual(503, error.status)
        self.assertIn(url, self.log.output)
        self.assertNotIn("secret", self.log.output)

    def test_not_configured(self) -> None:
        self.conf.clear_override("auth_type", "service_credentials")
        self.assertIsNone(Nova.from_conf(self.conf))
