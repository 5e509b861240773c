# SPDX-License-Identifier: Apache-2.0
"""The API as the examples have it: under uWSGI, with Apache before it."""

import pathlib
from typing import Any

import fixtures
from keystoneauth1 import adapter

from kongming.tests.functional.fixtures import proxies
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures.kongming import NEWEST


class ApacheTest(base.KongMingCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.boot(self.cloud.demo, zone="virt")["id"]
        conf = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "kongming.conf"
        # what the example for Apache asks for
        behind = "[oslo_middleware]\nenable_proxy_headers_parsing = true\n"
        conf.write_text(self.kongming.conf.read_text() + behind)
        self.uwsgi = self.useFixture(proxies.UWSGI(conf))
        self.apache = self.useFixture(proxies.Apache(self.uwsgi.socket))
        self.cloud.demo.session.verify = str(self.apache.certificate)
        self.addCleanup(setattr, self.cloud.demo.session, "verify", True)
        self.api: adapter.Adapter = self.cloud.demo.service(
            "resource-pin",
            endpoint_override=self.apache.url,
            additional_headers=NEWEST,
            raise_exc=False,
        )

    def test_uwsgi_dies(self) -> None:
        path = f"/v1/pins/{self.server}"
        self.eventually(lambda: self.api.get(f"/v1/instances/{self.server}").ok, 30)
        wish: dict[str, Any] = {"instance_uuid": self.server, "emulator": "0"}
        made = self.api.post("/v1/pins", json=wish)
        self.assertEqual(201, made.status_code, made.text)
        self.assertEqual(self.apache.url + path, made.headers["Location"])
        self.assertEqual(self.apache.url + path, made.json()["links"][0]["href"])
        self.eventually(lambda: self.api.get(path).json()["status"] == "applied", 30)
        self.uwsgi.stop()
        self.assertEqual(503, self.api.get(path).status_code)
        self.uwsgi.start()
        self.assertEqual([200] * 5, [self.api.get(path).status_code for _ in range(5)])
        self.assertEqual(204, self.api.delete(path).status_code)
