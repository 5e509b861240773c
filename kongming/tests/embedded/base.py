# SPDX-License-Identifier: Apache-2.0
"""A whole KongMing in the test's process: SQLite, in-process messaging, a simulated fleet."""

import dataclasses
import http.client
import pathlib
import socket
import time
import types
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib import parse

import fixtures
import requests
import sqlalchemy as sa
import testtools
import yaml
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_messaging._drivers import impl_fake
from oslo_policy import opts
from testtools import matchers

from kongming import policy
from kongming.agent import manager
from kongming.cmd import standalone
from kongming.db import engine, models
from kongming.hypervisor import fleet, simulated
from kongming.hypervisor.driver import Event, Scope
from kongming.tests import base

VNF = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
OFF = "33333333-3333-4333-8333-333333333333"
#: Nobody has it.
UNKNOWN = "99999999-9999-4999-8999-999999999999"

#: Two hosts of 2 nodes x 4 cores x 2 threads; pCPU 15 of "one" is offline.
FLEET = f"""
hosts:
- name: one
  nodes: 2
  cores_per_node: 4
  threads_per_core: 2
  memory_mib_per_node: 8192
  offline: "15"
  instances:
  - {{uuid: {VNF}, name: vnf, project_id: telco, user_id: mano, vcpus: 4,
      memory_mib: 2048, iothreads: 1, state: running}}
  - {{uuid: {OTHER}, name: other, project_id: shop, user_id: clerk, vcpus: 2,
      memory_mib: 1024, state: running}}
  - {{uuid: {OFF}, name: asleep, project_id: telco, user_id: mano, vcpus: 2,
      memory_mib: 1024, state: shutoff}}
- name: two
  nodes: 2
  cores_per_node: 4
  threads_per_core: 2
  memory_mib_per_node: 8192
"""

LATEST = {"OpenStack-API-Version": "resource_pin latest"}

#: What VNF is asked to be given where a test needs just any pin, and what it gets.
WISH: dict[str, Any] = {
    "cpu_policy": "dedicated",
    "vcpus": {"0": "4", "1-3": "5-7"},
    "emulator": "0-1",
    "iothreads": {"1": "2"},
    "memory": {"nodes": "0"},
}
PLACED = {
    "vcpus": {"0": "4", "1": "5-7", "2": "5-7", "3": "5-7"},
    "emulator": "0-1",
    "iothreads": {"1": "2"},
    "memory": {"nodes": "0"},
}


class Haste(fixtures.Fixture):
    """Shortens the naps of libraries, which make everything slow to stop and messages late."""

    def _setUp(self) -> None:
        # half a second until the HTTP server looks whether it shall stop
        self.useFixture(fixtures.MonkeyPatch("cheroot.server.HTTPServer.expiration_interval", 0.02))
        # a second until a thread of the RPC server does
        self.useFixture(fixtures.MonkeyPatch("futurist._thread.ThreadWorker.MAX_IDLE_FOR", 0.02))
        # 50 ms between two looks for a message
        nap = types.SimpleNamespace(
            time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 0.005))
        )
        self.useFixture(fixtures.MonkeyPatch("oslo_messaging._drivers.impl_fake.time", nap))


class KongMing(fixtures.Fixture):
    """A running KongMing with a configuration, a database and a fleet of its own."""

    def __init__(
        self,
        fleet_text: str = FLEET,
        interval: int = 60,
        agent: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        **api: Any,
    ) -> None:
        """Describe it; ``agent`` and ``api`` are options of those groups, ``options`` of any."""
        super().__init__()
        self._fleet_text = fleet_text
        self._interval = interval
        self._agent = agent or {}
        self._api = api
        self._options = options or {}

    def _setUp(self) -> None:
        self.log = self.useFixture(base.Log())
        self.useFixture(Haste())
        self.addCleanup(impl_fake.FakeExchangeManager.cleanup)
        self.configuration = self.useFixture(base.Configuration())
        self.conf: cfg.ConfigOpts = self.configuration.conf
        self.conf.reset()
        standalone.configure(self.useFixture(fixtures.TempDir()).path, port=0)
        self.configuration.set("update_resources_interval", self._interval, "agent")
        uri = "http://identity.example.org:5000"
        self.configuration.set("www_authenticate_uri", uri, "keystone_authtoken")
        loading.register_auth_conf_options(self.conf, "keystone_authtoken")
        self.configuration.set("auth_type", "none", "keystone_authtoken")
        for group, values in {**self._options, "agent": self._agent, "api": self._api}.items():
            for name, value in values.items():
                self.configuration.set(name, value, group)
        self.useFixture(base.Database())
        self.fleet = simulated.Fleet(fleet.parse(yaml.safe_load(self._fleet_text)))
        self.addCleanup(self.stop)
        self.start()

    def start(self) -> None:
        """Start all parts and wait until every host is known."""
        drivers = {
            name: simulated.SimulatedDriver(self.fleet, name) for name in self.fleet.host_names
        }
        self.parts: standalone.Parts | None = standalone.Parts(self.conf, drivers)
        self.url = self.parts.url
        self.parts.start()
        base.eventually(lambda: len(rows("hosts")) == len(drivers))

    def stop(self) -> None:
        """Stop all parts; database, state directory and fleet stay."""
        if self.parts is not None:
            self.parts.stop()
            self.parts = None

    def stop_agent(self, host: str) -> None:
        """Stop the agent of one host."""
        assert self.parts is not None
        self.parts.agents.pop(host).stop()

    def start_agent(self, host: str) -> None:
        """Start the agent of one host again."""
        assert self.parts is not None
        self.parts.agents[host] = self.lone_agent(host)

    def lone_agent(self, host: str) -> manager.AgentManager:
        """Start and return an agent that is not one of the parts."""
        agent = manager.AgentManager(self.conf, host, self.driver(host))
        agent.start()
        return agent

    def create_pin(self, body: dict[str, Any]) -> None:
        """Pin an instance, and wait until it is."""
        answer = requests.post(f"{self.url}/v1/pins", json=body, timeout=30)
        answer.raise_for_status()
        base.eventually(lambda: [pin["status"] for pin in rows("pins")] == ["applied"])

    def set_policy(self, rules: dict[str, str]) -> None:
        """Have rules of the operator beside the default ones."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "policy.yaml").write_text(yaml.safe_dump(rules))
        # the group is there only once somebody asked for a decision
        opts.set_defaults(self.conf)
        self.conf.set_override("policy_file", str(directory / "policy.yaml"), "oslo_policy")
        self.addCleanup(self.conf.clear_override, "policy_file", "oslo_policy")
        policy._enforcer.cache_clear()
        self.addCleanup(policy._enforcer.cache_clear)

    def forget_owner(self, uuid: str) -> None:
        """Let an instance be one that Nova did not make."""
        for name in self.fleet.host_names:
            instance = self.fleet.host(name).instances.get(uuid)
            if instance is not None:
                unowned: dict[str, Any] = {"project_id": None, "user_id": None}
                instance.spec = dataclasses.replace(instance.spec, **unowned)
                self.fleet.events.send(name, uuid, Event.CHANGED)
        base.eventually(lambda: [row for row in rows("instances") if row["project_id"] is None])

    def driver(self, host: str) -> simulated.SimulatedDriver:
        """Return a look at a host."""
        return simulated.SimulatedDriver(self.fleet, host)


def rows(table: str) -> list[dict[str, Any]]:
    """Return what a table of the database holds."""
    with engine.reader() as session:
        found = session.execute(sa.select(models.Base.metadata.tables[table]))
        return [dict(row._mapping) for row in found]


class Talk(testtools.TestCase):
    """How tests speak with the KongMing that is in ``kongming``, and look at its fleet."""

    kongming: KongMing

    @property
    def fleet(self) -> simulated.Fleet:
        """All simulated hosts."""
        return self.kongming.fleet

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request at the newest version, unless headers say otherwise."""
        headers = LATEST | options.pop("headers", {})
        return requests.request(
            method, self.kongming.url + path, headers=headers, timeout=30, **options
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET."""
        return self.request("GET", path, **options)

    def raw(self, request: bytes) -> http.client.HTTPResponse:
        """Send bytes as they are; return the answer, with its body in ``body``."""
        address = parse.urlsplit(self.kongming.url)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.body = answer.read()  # type: ignore[attr-defined]
        return answer

    def assert_error(
        self, answer: requests.Response, status: int, code: str | None = None, *words: str
    ) -> None:
        """Insist on an error in the documented form, whose message has some words."""
        self.assertEqual(status, answer.status_code, answer.text)
        self.assertEqual("application/json", answer.headers["Content-Type"].split(";")[0])
        self.assertNotIn("Traceback", answer.text)
        self.assertNotIn('File \\"', answer.text)
        request_id = answer.headers["OpenStack-Request-Id"]
        self.assertThat(request_id, matchers.MatchesRegex("req-[0-9a-f-]{36}$"))
        self.assertEqual(request_id, answer.headers["X-Openstack-Request-Id"])
        body = answer.json()
        self.assertEqual({"message", "errors"}, set(body))
        self.assertTrue(body["errors"])
        for error in body["errors"]:
            bounds = {"min_version", "max_version"} if code == "version_not_supported" else set()
            fields = {"status", "code", "title", "detail", "request_id"}
            self.assertEqual(fields | bounds, set(error))
            self.assertEqual((status, request_id), (error["status"], error["request_id"]))
            self.assertTrue(error["title"])
            self.assertThat(error["code"], matchers.MatchesRegex(r"resource_pin\.[a-z_]+$"))
            self.assertIn(error["detail"], body["message"])
            self.assertNotIn('{"', error["detail"])
        if code is not None:
            self.assertIn(f"resource_pin.{code}", [error["code"] for error in body["errors"]])
        for word in words:
            self.assertIn(word, body["message"])

    def pin(self, uuid: str = VNF, expect: int = 201, **wish: Any) -> dict[str, Any]:
        """POST a pin and return the answer."""
        answer = self.request("POST", "/v1/pins", json={"instance_uuid": uuid, **wish})
        self.assertEqual(expect, answer.status_code, answer.text)
        body: dict[str, Any] = answer.json()
        return body

    def wait_for(self, status: str, uuid: str = VNF) -> dict[str, Any]:
        """Return the pin of an instance once it has a status."""

        def found() -> dict[str, Any] | None:
            pin: dict[str, Any] = self.get(f"/v1/pins/{uuid}").json()
            return pin if pin.get("status") == status else None

        result: dict[str, Any] = base.eventually(found)
        return result

    def history(self, uuid: str = VNF) -> list[dict[str, Any]]:
        """Return the history of a pin."""
        answer: list[dict[str, Any]] = self.get(f"/v1/pins/{uuid}/history").json()["history"]
        return answer

    def observed(self, uuid: str = VNF) -> dict[str, Any]:
        """Return where an instance really is, asked of the simulated kernel."""
        driver = self.kongming.driver(self.host_of(uuid))
        placement: dict[str, Any] = driver.read(uuid, Scope.LIVE).to_dict()
        return placement

    def host_of(self, uuid: str) -> str:
        """Return the host that has an instance."""
        for name in self.fleet.host_names:
            if uuid in self.fleet.host(name).instances:
                return name
        raise AssertionError(f"no host has {uuid}")


class EmbeddedTestCase(Talk, base.BareTestCase):
    """Each test has a KongMing of its own on ``fleet_text``."""

    fleet_text = FLEET
    interval = 60
    agent_options: ClassVar[dict[str, Any]] = {}
    api_options: ClassVar[dict[str, Any]] = {}

    def options(self) -> dict[str, dict[str, Any]]:
        """Return the options of other groups."""
        return {}

    def setUp(self) -> None:
        super().setUp()
        self.kongming = self.useFixture(
            KongMing(
                self.fleet_text,
                self.interval,
                self.agent_options,
                self.options(),
                **self.api_options,
            )
        )
        self.conf = self.kongming.conf


class SharedTestCase(Talk, base.BareTestCase):
    """All tests of a class share one KongMing; they must leave it as it was.

    No host reports on its own meanwhile, for they compare what they find.
    """

    fleet_text = FLEET
    interval = 3600
    api_options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.kongming = KongMing(cls.fleet_text, cls.interval, **cls.api_options)
        cls.kongming.setUp()
        cls.addClassCleanup(cls.kongming.cleanUp)
