# SPDX-License-Identifier: Apache-2.0
"""From the metadata of a server to the kernel, without API and database."""

import os
import pathlib

import fixtures

from kongming.tests.functional.fixtures import process
from kongming.tests.functional.fixtures.services import Program
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import configuration

KEY = "kongming-vcpu-pinning"
EVERY = os.sched_getaffinity(0)
FIRST, LAST = min(EVERY), max(EVERY)


class StandaloneAgentCase(base.KongMingCase):
    """Every host with guests has an agent that stands alone, and there is nothing else."""

    #: A handler of notifications.
    handler: str

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for part in (self.kongming.api, self.kongming.conductor, *self.kongming.agents.values()):
            part.stop()
            self.addCleanup(part.start)
        self.agents = {host: self.start_agent(host) for host in self.cloud.libvirt}
        # what Nova tells before that is told to nobody
        listening = "Listening to Nova"
        self.eventually(lambda: all(listening in a.log.read_text() for a in self.agents.values()))

    def start_agent(self, host: str) -> Program:
        """Start the agent of a host."""
        settings: configuration.Settings = {
            "DEFAULT": {"host": host, "transport_url": self.cloud.broker.transport_url},
            "agent": {
                "standalone": True,
                "state_dir": self.directory / host,
                "update_resources_interval": 5,
            },
            "libvirt": {"uri": self.cloud.libvirt[host].uri},
            "notifications": {"handlers": self.handler},
            "service_credentials": self.cloud.configuration.client("admin")
            | {"project_name": "admin"},
        }
        conf = configuration.write(self.directory / f"{host}.conf", settings)
        agent = Program("kongming-agent", conf)
        self.useFixture(agent)
        return agent

    def vcpus_allowed(self, server: str) -> set[int]:
        """CPUs on which the kernel lets the vCPU of a server run."""
        (thread,) = process.threads(process.find(server))["vcpu0"]
        return os.sched_getaffinity(thread)

    def check_life(self) -> None:
        """A server gets what its metadata says, wherever it is, until that is gone."""
        user = self.cloud.demo
        other = self.boot(user, zone="virt", metadata={KEY: str(LAST)})["id"]
        server = self.boot(user, zone="virt", metadata={KEY: str(FIRST)})["id"]
        self.eventually(lambda: self.vcpus_allowed(server) == {FIRST}, 60)
        self.eventually(lambda: self.vcpus_allowed(other) == {LAST}, 60)
        user.act(server, "reboot", type="HARD")
        user.wait_for(server, "ACTIVE")
        self.eventually(lambda: self.vcpus_allowed(server) == {FIRST}, 60)
        wish = f'{{"vcpus": {{"0": "{LAST}"}}}}'
        user.nova.post(f"/servers/{server}/metadata", json={"metadata": {KEY: wish}})
        self.eventually(lambda: self.vcpus_allowed(server) == {LAST}, 60)
        user.nova.delete(f"/servers/{server}/metadata/{KEY}")
        self.eventually(lambda: self.vcpus_allowed(server) == EVERY, 60)
        self.assertEqual({LAST}, self.vcpus_allowed(other))


class VersionedTest(StandaloneAgentCase):
    handler = "versioned"

    def test_life(self) -> None:
        self.check_life()


class LegacyTest(StandaloneAgentCase):
    """The metadata is not in these notifications as it should be: Nova is asked for it."""

    handler = "legacy"

    def test_life(self) -> None:
        self.check_life()
