# SPDX-License-Identifier: Apache-2.0
"""Tokens end while what was asked for with them goes on."""

import datetime
import uuid
from typing import Any

import requests
from keystoneauth1 import session

from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import configuration
from kongming.tests.openstack.fixtures.client import Client
from kongming.tests.openstack.fixtures.cloud import FAKE_HOSTS
from kongming.tests.openstack.fixtures.kongming import NEWEST
from kongming.tests.openstack.test_rbac import server

#: Seconds that a token is good for: long enough to be used, and less than a host may be silent.
SHORT = 20


class ExpiryTest(base.KongMingCase):
    def setUp(self) -> None:
        super().setUp()
        self.user = self.cloud.demo
        self.instance = str(uuid.uuid4())
        project = str(self.user.session.get_project_id())
        self.kongming.run(FAKE_HOSTS[0], [server(self.instance, project)])
        self.addCleanup(self.kongming.run, FAKE_HOSTS[0], [])
        self.api = self.kongming.client(self.user)
        self.eventually(lambda: self.api.get(f"/v1/instances/{self.instance}").ok, 30)

    def short_token(self) -> tuple[str, datetime.datetime]:
        """Return a token, and until when it is good for something."""
        fresh = Client(self.cloud.configuration.auth_url, "demo", "demo").session
        access = fresh.auth.get_access(fresh)  # type: ignore[union-attr]
        return access.auth_token, access.expires

    def have_keystone_give(self, **options: Any) -> None:
        conf = self.cloud.configuration
        configuration.write(conf.path("keystone"), conf.keystone(), {"token": options})
        self.cloud.services["keystone"].restart()

    def ask(self, method: str, path: str, token: str, **options: Any) -> requests.Response:
        """Send a request with a token, whatever has become of it."""
        headers = NEWEST | {"X-Auth-Token": token} | options.pop("headers", {})
        url = f"{self.kongming.url}{path}"
        return requests.request(method, url, headers=headers, timeout=60, **options)

    def service_token(self, user: session.Session) -> dict[str, str]:
        return {"X-Service-Token": str(user.get_token())}

    def test_what_is_under_way_goes_on(self) -> None:
        template = self.api.post("/v1/templates", json={"name": "gold", "wish": {}}).json()
        path = f"/v1/templates/{template['id']}"
        self.addCleanup(self.api.delete, path)
        pin = f"/v1/pins/{self.instance}"
        body = {"instance_uuid": self.instance, "template": "gold"}
        self.assertEqual(201, self.api.post("/v1/pins", json=body).status_code)
        self.addCleanup(self.api.delete, pin)
        self.eventually(lambda: self.api.get(pin).json()["status"] == "applied", 30)

        self.have_keystone_give(expiration=SHORT)
        self.addCleanup(self.have_keystone_give)
        agent = self.kongming.agents[FAKE_HOSTS[0]]
        agent.stop()
        token, expires = self.short_token()
        passed_on, _ = self.short_token()
        changed = self.ask("PUT", path, token, json={"wish": {"vcpus": {"*": "1"}}})
        self.assertEqual(200, changed.status_code, changed.text)

        # the next call needs another token; what is remembered is good for no longer either
        self.eventually(lambda: self.ask("GET", path, token).status_code == 401, 120)
        self.assertGreaterEqual(datetime.datetime.now(datetime.UTC), expires)

        agent.start()
        rollout = f"/v1/rollouts/{changed.json()['rollout_id']}"
        self.eventually(lambda: self.api.get(rollout).json()["state"] == "completed", 60)
        ended = datetime.datetime.fromisoformat(self.api.get(rollout).json()["updated_at"])
        self.assertGreaterEqual(ended, expires - datetime.timedelta(seconds=1))
        self.eventually(lambda: self.api.get(pin).json()["status"] == "applied", 30)
        self.assertEqual({"*": "1"}, self.api.get(pin).json()["vcpus"])

        # a service may pass a token on still, in its own name; what was refused is remembered
        service = Client(self.cloud.configuration.auth_url, "nova", "service").session
        answer = self.ask("GET", path, passed_on, headers=self.service_token(service))
        self.assertEqual(200, answer.status_code, answer.text)
        answer = self.ask("GET", path, token, headers=self.service_token(self.user.session))
        self.assertEqual(401, answer.status_code, answer.text)
