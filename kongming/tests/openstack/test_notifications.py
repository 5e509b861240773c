# SPDX-License-Identifier: Apache-2.0
"""What a real Nova tells and answers."""

import os
from typing import Any

from oslo_config import cfg

from kongming.compute.nova import Nova
from kongming.conf import service_credentials
from kongming.tests.functional.fixtures import process
from kongming.tests.openstack import base

KEY = "kongming-vcpu-pinning"
EVERY = os.sched_getaffinity(0)
CPU = min(EVERY)


class MetadataTest(base.KongMingCase):
    def vcpus_allowed(self, server: str) -> set[int]:
        """CPUs on which the kernel lets the vCPU of a server run."""
        (thread,) = process.threads(process.find(server))["vcpu0"]
        return os.sched_getaffinity(thread)

    def test_life(self) -> None:
        user = self.cloud.demo
        server = self.boot(user, zone="virt", metadata={KEY: str(CPU)})["id"]
        api = self.kongming.client(user)
        self.eventually(lambda: self.vcpus_allowed(server) == {CPU}, 60)
        user.nova.delete(f"/servers/{server}/metadata/{KEY}")
        self.eventually(lambda: self.vcpus_allowed(server) == EVERY, 60)
        user.nova.post(f"/servers/{server}/metadata", json={"metadata": {KEY: str(CPU)}})
        self.eventually(lambda: self.vcpus_allowed(server) == {CPU}, 60)
        user.act(server, "reboot", type="HARD")
        user.wait_for(server, "ACTIVE")
        self.eventually(lambda: self.vcpus_allowed(server) == {CPU}, 60)
        user.delete(server)
        self.eventually(lambda: api.get(f"/v1/pins/{server}").status_code == 404, 60)

    def test_pin_of_a_server_that_nobody_reported_goes_with_it(self) -> None:
        user = self.cloud.demo
        server = self.boot(user, zone="fake")["id"]
        api = self.kongming.client(user)
        body = {"instance_uuid": server, "vcpus": {"*": "0"}}
        self.assertEqual(201, api.post("/v1/pins", json=body).status_code)
        user.delete(server)
        self.eventually(lambda: api.get(f"/v1/pins/{server}").status_code == 404, 60)


class OwnershipTest(base.KongMingCase):
    def test_only_the_project_of_a_server_may_plan_for_it(self) -> None:
        # nobody reports the servers of these hosts
        server = self.boot(self.cloud.demo, zone="fake")["id"]
        body = {"instance_uuid": server, "vcpus": {"*": "0"}}
        stranger = self.kongming.client(self.cloud.alt)
        self.assertEqual(404, stranger.post("/v1/pins", json=body).status_code)
        answer = self.kongming.client(self.cloud.demo).post("/v1/pins", json=body)
        self.assertEqual((201, "waiting"), (answer.status_code, answer.json()["status"]))
        self.assertEqual(self.cloud.demo.show(server)["tenant_id"], answer.json()["project_id"])

    def test_nova_as_an_admin_sees_it(self) -> None:
        hints = {"resource_pin": "0-3"}
        server = self.boot(self.cloud.demo, zone="fake", metadata={KEY: "0"}, hints=hints)
        conf = cfg.ConfigOpts()
        service_credentials.register_opts(conf)
        path = self.kongming.conf
        conf(["--config-file", str(path)])
        nova = Nova.from_conf(conf)
        assert nova is not None
        found = nova.server(server["id"])
        shown: dict[str, Any] = self.cloud.admin.show(server["id"])
        self.assertEqual(
            (shown["tenant_id"], shown["user_id"], shown["OS-EXT-SRV-ATTR:host"], "ACTIVE"),
            (found.project_id, found.user_id, found.host, found.status),
        )
        self.assertEqual(
            ({KEY: "0"}, ["0-3"]), (found.metadata, found.scheduler_hints["resource_pin"])
        )
