# SPDX-License-Identifier: Apache-2.0
"""The example for HAProxy: several APIs and conductors, one of which dies."""

import pathlib
import uuid
from typing import Any

import fixtures
import requests
import yaml

from kongming.tests import base
from kongming.tests.functional.fixtures import mariadb, proxies, rabbitmq, server, services

INSTANCES = tuple(str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("vnf-1", "vnf-2"))
TRIES = 10


class HAProxyTest(base.BareTestCase):
    proxy: proxies.HAProxy

    def start(self, public_endpoint: str) -> services.ControlPlane:
        """Return two APIs and two conductors, with the instances on a simulated host."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        fleet = directory / "fleet.yaml"
        owner = {"project_id": "telco", "user_id": "mano", "vcpus": 2, "memory_mib": 512}
        instances = [{"uuid": each, "name": each, **owner} for each in INSTANCES]
        host = {"nodes": 2, "cores_per_node": 4, "memory_mib_per_node": 4096}
        fleet.write_text(
            yaml.safe_dump({"hosts": [{"name": "compute", **host, "instances": instances}]})
        )
        settings: dict[str, dict[str, Any]] = {
            "api": {"public_endpoint": public_endpoint},
            "agent": {"hypervisor": "simulated", "state_dir": directory},
            "simulated": {"fleet": fleet},
        }
        return self.useFixture(
            services.ControlPlane(
                self.useFixture(rabbitmq.RabbitMQ()).transport_url,
                self.useFixture(mariadb.MariaDB()).create("kongming"),
                "",
                settings,
                conductors=2,
                apis=2,
            )
        )

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request through the proxy."""
        return requests.request(
            method,
            self.proxy.url + path,
            headers={"OpenStack-API-Version": "resource_pin latest"},
            verify=str(self.proxy.certificate),
            timeout=60,
            **options,
        )

    def pin(self, instance: str) -> None:
        """Pin an instance, and wait until it is."""
        path = f"/v1/pins/{instance}"
        self.eventually(lambda: self.ask("GET", f"/v1/instances/{instance}").ok, 60)
        answer = self.ask("POST", "/v1/pins", json={"instance_uuid": instance, "emulator": "1"})
        self.assertEqual(201, answer.status_code, answer.text)
        self.assertEqual(self.proxy.url + path, answer.headers["Location"])
        self.assertEqual(self.proxy.url + path, answer.json()["links"][0]["href"])
        self.eventually(lambda: self.ask("GET", path).json()["status"] == "applied", 60)

    def serves(self) -> None:
        """Insist that each of several requests is answered, and well."""
        answers = [self.ask("GET", "/v1/pins") for _ in range(TRIES)]
        self.assertEqual([200] * TRIES, [answer.status_code for answer in answers])

    def test_an_api_dies(self) -> None:
        port = server.free_port()
        kongming = self.start(f"https://{server.LOOPBACK}:{port}")
        # the third is not there at all
        ports = [*kongming.ports, server.free_port()]
        self.proxy = proxies.HAProxy([f"{server.LOOPBACK}:{each}" for each in ports], port)
        self.useFixture(self.proxy)
        self.pin(INSTANCES[0])
        first, second = kongming.apis
        first.kill()
        self.serves()
        self.pin(INSTANCES[1])
        first.start()
        second.kill()
        # what it had given up it looks at again every ten seconds
        self.eventually(lambda: self.ask("GET", "/v1/pins").ok, 60)
        self.serves()
        kongming.conductors[0].kill()
        self.assertEqual(204, self.ask("DELETE", f"/v1/pins/{INSTANCES[0]}").status_code)
