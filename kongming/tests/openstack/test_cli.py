# SPDX-License-Identifier: Apache-2.0
"""The openstack client and openstacksdk, with what Keystone knows of users and services."""

import os
from typing import Any

import openstack

from kongming.tests import shell
from kongming.tests.functional.fixtures import process
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures import cloud, configuration

CPU = min(os.sched_getaffinity(0))
#: What makes openstacksdk know the service.
HOOK = {"vendor_hook": "kongming.sdk:add_to"}


class CliTest(base.KongMingCase):
    def user(self, name: str, project: str) -> shell.Shell:
        """Return the program with the cloud of a user."""
        auth = {
            "auth_url": self.cloud.configuration.auth_url,
            "username": name,
            "password": configuration.PASSWORD,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        where = {"region_name": configuration.REGION, "interface": "public"}
        return self.useFixture(shell.Shell({"auth": auth, **where, **HOOK}))

    def ok(self, user: shell.Shell, *arguments: str) -> Any:
        """Return what a command that must succeed prints, decoded."""
        said = user.run("resource pin", *arguments, "-f json")
        self.assertEqual(0, said.status, said.err)
        return said.json

    def refused(self, user: shell.Shell, *arguments: str, words: str) -> None:
        """Insist that a command fails and says why in one line."""
        said = user.run("resource pin", *arguments)
        self.assertEqual((1, ""), (said.status, said.out))
        self.assertEqual(1, len(said.err.splitlines()), said.err)
        self.assertIn(words, said.err)

    def test_operator_and_member(self) -> None:
        operator = self.user("admin", "admin")
        names = {host["Name"] for host in self.ok(operator, "host list")}
        self.assertEqual(set(cloud.HOSTS), names)
        self.cloud.add_user("cli-member", "demo", ("member",))
        member = self.user("cli-member", "demo")
        # what others had in this project goes a moment after its server
        self.eventually(lambda: self.ok(member, "list") == [])
        self.refused(member, "host list", words="resource_pin.forbidden: ")

    def test_wrong_password(self) -> None:
        member = self.user("demo", "demo")
        said = member.plain("--os-cloud", "test", "--os-password", "x", "resource", "pin", "list")
        self.assertEqual(1, said.status)
        self.assertIn("HTTP 401", said.err)

    def test_a_pin_reaches_the_kernel(self) -> None:
        server = self.boot(self.cloud.demo, zone="virt")["id"]
        member = self.user("demo", "demo")
        self.eventually(
            lambda: server in [one["UUID"] for one in self.ok(member, "instance list")], 30
        )
        pin = self.ok(member, "create", server, f"--vcpu 0={CPU} --wait")
        self.assertEqual("applied", pin["status"])
        (thread,) = process.threads(process.find(server))["vcpu0"]
        self.assertEqual({CPU}, os.sched_getaffinity(thread))
        drawn = member.run("resource pin instance map", server)
        self.assertEqual(0, drawn.status, drawn.err)
        self.assertRegex(drawn.out, rf"vCPU 0 +{CPU} +{CPU} ")

        self.refused(self.user("alt", "alt"), "show", server, words="resource_pin.pin_not_found: ")

        self.user("demo", "demo")
        conn: Any = openstack.connect(cloud="test")
        (seen,) = conn.resource_pin.pins()
        self.assertEqual((server, {"0": str(CPU)}), (seen.id, seen.placement["vcpus"]))
        self.assertEqual(server, conn.compute.get_server(server).id)
        conn.close()

        deleted = member.run("resource pin delete", server)
        self.assertEqual(0, deleted.status, deleted.err)
