# SPDX-License-Identifier: Apache-2.0
"""KongMing beside a real Keystone and a real Nova."""

import os
from typing import Any

import requests

from kongming.tests.functional.fixtures import process
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import cloud
from kongming.tests.openstack.fixtures.client import Client

CPU = min(os.sched_getaffinity(0))


class TokenTest(base.KongMingCase):
    def test_the_operator_sees_every_host(self) -> None:
        operator = self.kongming.client(self.cloud.admin)
        answer = operator.get("/v1/hosts")
        self.assertEqual(200, answer.status_code, answer.text)
        names = {host["name"] for host in answer.json()["hosts"]}
        self.assertEqual(set(cloud.HOSTS), names)

    def test_nobody_is_let_in_without_a_token(self) -> None:
        for headers in ({}, {"X-Auth-Token": "wrong"}, {"X-Roles": "admin"}):
            answer = requests.get(f"{self.kongming.url}/v1/hosts", headers=headers, timeout=30)
            self.assertEqual(401, answer.status_code, answer.text)

    def test_a_member_may_not_see_hosts(self) -> None:
        self.cloud.add_user("plain", "demo", ("member",))
        plain = Client(self.cloud.configuration.auth_url, "plain", "demo")
        answer = self.kongming.client(plain).get("/v1/hosts")
        self.assertEqual(403, answer.status_code, answer.text)

    def test_the_catalogue_leads_to_the_api(self) -> None:
        found = self.cloud.demo.service("resource-pin").get("/v1/pins")
        self.assertIn("pins", found.json())


class PinTest(base.KongMingCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.boot(self.cloud.demo, zone="virt")["id"]
        self.api = self.kongming.client(self.cloud.demo)
        self.eventually(lambda: self.api.get(f"/v1/instances/{self.server}").ok, 30)

    def answer(self, method: str, path: str, expect: int, **options: Any) -> dict[str, Any]:
        """Return the body of an answer that must have the status expected."""
        answer = self.api.request(path, method, **options)
        self.assertEqual(expect, answer.status_code, answer.text)
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body

    def vcpus_allowed(self) -> set[int]:
        """CPUs on which the kernel lets the vCPU of the server run."""
        (thread,) = process.threads(process.find(self.server))["vcpu0"]
        return os.sched_getaffinity(thread)

    def test_the_agent_knows_whose_server_it_is(self) -> None:
        instance = self.answer("GET", f"/v1/instances/{self.server}", 200)
        nova = self.cloud.admin.show(self.server)
        self.assertEqual(nova["tenant_id"], instance["project_id"])
        self.assertEqual(nova["user_id"], instance["user_id"])
        self.assertEqual(nova["OS-EXT-SRV-ATTR:host"], instance["host"])

    def test_a_pin_reaches_the_kernel(self) -> None:
        path = f"/v1/pins/{self.server}"
        body = {"instance_uuid": self.server, "vcpus": {"0": str(CPU)}}
        self.answer("POST", "/v1/pins", 201, json=body)
        self.eventually(lambda: self.vcpus_allowed() == {CPU})
        every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        self.answer("PUT", path, 200, json={"vcpus": {"0": every}})
        self.eventually(lambda: self.vcpus_allowed() == os.sched_getaffinity(0))
        self.answer("DELETE", path, 204)

    def test_a_pin_follows_a_cold_migration(self) -> None:
        body = {"instance_uuid": self.server, "vcpus": {"0": str(CPU)}}
        self.answer("POST", "/v1/pins", 201, json=body)
        self.eventually(lambda: self.vcpus_allowed() == {CPU})
        # Nova defines the domain anew, without any pin.
        self.cloud.admin.act(self.server, "migrate")
        there = self.cloud.admin.wait_for(self.server, "VERIFY_RESIZE", 120)["OS-EXT-SRV-ATTR:host"]
        self.eventually(lambda: self.vcpus_allowed() == {CPU})
        pin = self.answer("GET", f"/v1/pins/{self.server}", 200)
        self.assertEqual(there, pin["host"])
        self.answer("DELETE", f"/v1/pins/{self.server}", 204)

    def test_others_do_not_even_see_it(self) -> None:
        stranger = self.kongming.client(self.cloud.alt)
        self.assertEqual(404, stranger.get(f"/v1/instances/{self.server}").status_code)
        body = {"instance_uuid": self.server, "vcpus": {"0": str(CPU)}}
        answer = stranger.post("/v1/pins", json=body)
        self.assertEqual(404, answer.status_code, answer.text)
