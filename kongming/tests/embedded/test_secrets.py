# SPDX-License-Identifier: Apache-2.0
"""What is secret is in no log, not even where everything is logged."""

import logging

import fixtures
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_db import options as database
from oslo_messaging import opts as messaging

from kongming.conf import opts
from kongming.tests.embedded import test_auth
from kongming.tests.embedded.base import VNF


class SecretsTest(test_auth.AuthTestCase):
    def test_tokens(self) -> None:
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        for token in ("telco", "telco manager", "a-token-that-nobody-knows"):
            for method, path, body in (
                ("POST", "/v1/pins", {"instance_uuid": VNF, "cpu_policy": "dedicated"}),
                ("GET", f"/v1/pins/{VNF}", None),
                ("DELETE", f"/v1/pins/{VNF}", None),
            ):
                self.ask(token, method, path, json=body)
        for token in ("telco manager", "a-token-that-nobody-knows"):
            self.assertNotIn(token, log.output)
            self.assertNotIn(token, self.kongming.log.output)
        self.assertIn(VNF, log.output)

    def test_dump_of_the_configuration(self) -> None:
        """Options are masked wherever KongMing's programs have them from."""
        conf = cfg.ConfigOpts()
        for group, options in [*opts.list_opts(), *messaging.list_opts(), *database.list_opts()]:
            conf.register_opts(options, group=None if group == "DEFAULT" else group)
        conf([])
        password = loading.get_auth_plugin_conf_options("password")
        conf.register_opts(password, group="keystone_authtoken")
        conf.set_override("auth_url", "https://identity.example.org", "keystone_authtoken")
        for name, group, value in (
            ("password", "keystone_authtoken", "secret-1"),
            ("connection", "database", "mysql+pymysql://u:secret-2@db/kongming"),
            ("slave_connection", "database", "mysql+pymysql://u:secret-3@db/kongming"),
            ("transport_url", None, "rabbit://u:secret-4@broker/"),
            ("transport_url", "notifications", "rabbit://u:secret-5@broker/"),
            ("transport_url", "oslo_messaging_notifications", "rabbit://u:secret-6@broker/"),
        ):
            conf.set_override(name, value, group)
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        conf.log_opt_values(logging.getLogger("dump"), logging.DEBUG)
        self.assertIn("keystone_authtoken.password", log.output)
        self.assertNotIn("secret-", log.output)
