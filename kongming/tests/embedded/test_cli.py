# SPDX-License-Identifier: Apache-2.0
"""``openstack resource pin …`` in process, against the whole system."""

import dataclasses
from typing import Any

import fixtures
import openstack
from openstack import exceptions

from kongming import sdk
from kongming.hypervisor.driver import Event
from kongming.sdk import base as sdk_base
from kongming.tests import shell
from kongming.tests.embedded import base, test_moves
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF


class Commands(base.Talk):
    """How the tests run commands."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud: dict[str, Any] = {
            "auth_type": "none",
            "auth": {"endpoint": f"{self.kongming.url}/v1"},
        }
        self.shell = self.useFixture(shell.Shell(self.cloud))

    def ok(self, *arguments: str) -> shell.Said:
        """Return what a command says that must succeed."""
        said = self.shell.run(*arguments)
        self.assertEqual(0, said.status, said.err)
        return said

    def data(self, *arguments: str) -> Any:
        """Return what a command says with ``-f json``."""
        return self.ok(*arguments, "-f json").json

    def refused(self, *arguments: str, words: str, code: str | None = None) -> None:
        """Insist that a command fails and says why in one line."""
        said = self.shell.run(*arguments)
        self.assertEqual((1, ""), (said.status, said.out), said.err)
        lines = said.err.splitlines()
        self.assertEqual(1, len(lines), said.err)
        self.assertIn(words, lines[0])
        if code:
            self.assertIn(f"resource_pin.{code}", lines[0])


class PinTest(Commands, base.EmbeddedTestCase):
    def test_life(self) -> None:
        pin = self.data(
            "resource pin create vnf --cpu-policy dedicated --vcpu 0=4 --vcpu 1-3=5-7",
            "--emulator 0-1 --iothread 1=2 --memory-nodes 0 --wait",
        )
        self.assertEqual("applied", pin["status"])
        self.assertEqual((VNF, base.PLACED), (pin["instance_uuid"], pin["placement"]))
        self.assertEqual(base.PLACED["vcpus"], self.observed()["vcpus"])
        self.assertEqual(pin, self.data("resource pin show vnf"))
        (listed,) = self.data("resource pin list")
        self.assertEqual((VNF, "one", "applied"), tuple(map(listed.get, _LISTED)))

        pin = self.data("resource pin set", VNF, "--vcpu 2-3=3 --qos vcpu_quota=50000 --wait")
        self.assertEqual({"0": "4", "1": "5-7", "2": "3", "3": "3"}, pin["vcpus"])
        self.assertEqual(("0-1", 2), (pin["emulator"], pin["generation"]))
        self.assertEqual("3", self.observed()["vcpus"]["3"])

        pin = self.data("resource pin unset", VNF, "--qos --iothreads --wait")
        self.assertEqual((3, "0-1"), (pin["generation"], pin["emulator"]))
        self.assertNotIn("qos", pin)
        self.assertNotIn("iothreads", pin)
        self.assertNotIn("qos", self.observed())

        pin = self.data("resource pin set", VNF, "--replace --emulator 5 --wait")
        self.assertEqual({"emulator": "5"}, pin["placement"])

        events = self.data("resource pin history", VNF)
        kinds = [event["Event"] for event in events]
        self.assertEqual(["created", "applied", *["changed", "applied"] * 3], kinds)
        self.assertEqual("", self.ok("resource pin delete", VNF).out)
        self.assertEqual([], self.data("resource pin list"))
        self.refused("resource pin show vnf", words="has no pin. (HTTP 404, req-", code=_NO_PIN)

    def test_tables_are_for_people(self) -> None:
        said = self.ok("resource pin create vnf --vcpu 0-3=4-5 --memory-nodes 1 --wait")
        self.assertRegex(said.out, r"\| vcpus +\| 0-3: 4-5 +\|")
        self.assertRegex(said.out, r"\| +\| memory: nodes=1 +\|")
        self.assertIn(f"{VNF} applied", said.err)
        said = self.ok("resource pin history vnf --long")
        self.assertRegex(said.out, r"vcpus: 0-3=4-5")
        # a narrow table breaks between day and time
        said = self.ok("resource pin history vnf -c At -c Event --max-width 30")
        self.assertRegex(said.out, r"\| 20\d\d-\d\d-\d\d +\| created +\|\n\| \d\d:\d\d:\d\dZ +\|")
        said = self.ok("resource pin history vnf -c At -f value")
        self.assertRegex(said.out, r"\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n")

    def test_wait_for_a_move(self) -> None:
        self.ok("resource pin create vnf --vcpu 0-3=4-5 --memory-nodes 0")
        self.assertEqual("", self.ok("resource pin wait vnf").out)
        self.ok("resource pin set vnf --memory-nodes 1 --at-next-start --wait")
        self.assertEqual("0", self.observed()["memory"]["nodes"])
        pin = self.data("resource pin set vnf --memory-nodes 1 --wait")
        self.assertEqual({"nodes": "1"}, pin["memory"])
        self.assertEqual("1", self.observed()["memory"]["nodes"])
        last = self.data("resource pin history vnf --long")[-1]
        self.assertEqual(2048, last["Receipt"]["moved_mib"])

    def test_wait_in_vain(self) -> None:
        self.ok("resource pin create", OFF, "--vcpu 0-1=4")
        words = f"The pin of instance {OFF} is still waiting after 0 s"
        said = self.shell.run("resource pin wait --timeout 0", OFF)
        self.assertEqual((1, ""), (said.status, said.out))
        self.assertIn(words, said.err.splitlines()[-1])

    def test_failure_ends_the_wait(self) -> None:
        self.fleet.fail_next(VNF, 1, "Invalid argument")
        said = self.shell.run("resource pin create vnf --vcpu 0-3=4 --wait")
        self.assertEqual((1, ""), (said.status, said.out))
        last = said.err.splitlines()[-1]
        self.assertIn(f"The pin of instance {VNF} has failed: ", last)
        self.assertIn("Invalid argument", last)

    def test_future_instance(self) -> None:
        pin = self.data(
            "resource pin create",
            UNKNOWN,
            "--cpu-policy dedicated --memory-nodes 1 --host two",
            "--size vcpus=2,memory=1GiB --project telco --user mano",
        )
        self.assertEqual(("waiting", "telco", "mano"), tuple(map(pin.get, _OWNER)))
        found = self.get(f"/v1/pins/{UNKNOWN}/reservation").json()
        self.assertEqual(("two", "1"), (found["host"], found["placement"]["memory"]["nodes"]))

    def test_somebody_was_faster(self) -> None:
        self.ok("resource pin create vnf --vcpu 0-3=4")
        conn: Any = openstack.connect(load_envvars=False, load_yaml_config=False, **self.cloud)
        sdk.add_to(conn)
        pin = conn.resource_pin.get_pin(VNF)
        self.ok("resource pin set vnf --vcpu 0-3=5")
        error = self.assertRaises(
            exceptions.ConflictException,
            conn.resource_pin.update_pin,
            pin,
            generation=pin.generation,
            emulator="0",
        )
        self.assertEqual("resource_pin.stale_generation", sdk_base.errors(error)[0][0])

    def test_several_of_a_name(self) -> None:
        other = self.fleet.host("one").instances[OTHER]
        other.spec = dataclasses.replace(other.spec, name="vnf")
        self.fleet.events.send("one", OTHER, Event.CHANGED)
        self.eventually(lambda: len(self.data("resource pin instance list --name vnf")) == 2)
        self.refused("resource pin create vnf", words="Several instances are named 'vnf': ")

    def test_version_of_2018(self) -> None:
        old = "--os-resource-pin-api-version 1.0"
        self.ok(old, f"resource pin create {VNF} --vcpu 0-3=4 --wait")
        self.assertNotIn("move", self.get(f"/v1/pins/{VNF}", headers=_OLD).json())
        self.assertIsNone(self.data(old, f"resource pin show {VNF}")["move"])
        self.refused(
            *(old, f"resource pin set {VNF} --qos vcpu_quota=50000"),
            words="qos: is there from version 1.8 on",
            code="invalid_field",
        )


_OLD = {"OpenStack-API-Version": "resource_pin 1.0"}
_LISTED = ("Instance UUID", "Host", "Status")
_OWNER = ("status", "project_id", "user_id")
_NO_PIN = "pin_not_found"


class MoveTest(Commands, base.EmbeddedTestCase):
    fleet_text = test_moves.SLOW

    def test_move(self) -> None:
        self.ok("resource pin create vnf --vcpu 0-3=4-7 --memory-nodes 1")
        self.eventually(lambda: self.get(test_moves.MOVE).status_code == 200)
        move = self.data("resource pin move show vnf")
        self.assertEqual({"moved_mib", "total_mib", "seconds", "mib_per_s"}, set(move))
        self.assertEqual(2048, move["total_mib"])
        said = self.shell.run("resource pin wait --timeout 0.6 vnf")
        self.assertEqual(1, said.status)
        self.assertRegex(said.err, rf"{VNF} pending \d+ of 2048 MiB, \d+ MiB/s\n")
        self.assertEqual("", self.ok("resource pin move cancel vnf").out)
        self.wait_for("failed")
        self.refused(
            "resource pin move show vnf", words="is not being moved", code="move_not_found"
        )
        self.refused("resource pin move cancel vnf", words="not being", code="move_not_found")
        self.refused(
            "--os-resource-pin-api-version 1.8 resource pin move show vnf",
            words="This needs version 1.9 of the API, not 1.8",
            code="version_not_supported",
        )


class LookTest(Commands, base.SharedTestCase):
    def test_hosts(self) -> None:
        listed = self.data("resource pin host list --sort name:desc")
        self.assertEqual(["two", "one"], [host["Name"] for host in listed])
        self.assertEqual(
            (2, 15, 3), tuple(map(listed[1].get, ("NUMA Nodes", "pCPUs", "Instances")))
        )
        (first,) = self.data("resource pin host list --limit 1")
        self.assertEqual("one", first["Name"])
        (second,) = self.data("resource pin host list --marker one")
        self.assertEqual("two", second["Name"])
        shown = self.data("resource pin host show one")
        told = self.get("/v1/hosts/one").json()
        del told["links"], told["usage"], shown["usage"]
        self.assertEqual(told, shown)
        said = self.ok("resource pin host show one")
        self.assertIn("0: pCPUs 0-3,8-11, 4 cores, 8192 MiB", said.out)
        self.refused("resource pin host show x", words="Host x is not known", code="host_not_found")

    def test_instances(self) -> None:
        listed = self.data("resource pin instance list --state running --sort name")
        self.assertEqual(["other", "vnf"], [instance["Name"] for instance in listed])
        for option in ("--host two", "--project nobody", "--user nobody", "--name x"):
            self.assertEqual([], self.data("resource pin instance list", option))
        (first,) = self.data("resource pin instance list --long --name vnf")
        self.assertEqual(("telco", "mano"), (first["Project ID"], first["User ID"]))
        self.assertEqual(self.observed(), first["Observed"])
        told = self.get(f"/v1/instances/{VNF}").json()
        del told["links"], told["usage"]
        for name in ("vnf", VNF, VNF.upper()):
            shown = self.data("resource pin instance show", name)
            del shown["usage"]
            self.assertEqual(told, shown)
        self.assertIn(
            "4 KiB pages (MiB by NUMA node): 0=2048", self.ok("resource pin instance show vnf").out
        )
        words = "No instance has the name or UUID 'nobody'."
        self.refused("resource pin instance show nobody", words=words)
        self.refused(
            f"resource pin instance show {UNKNOWN}", words=UNKNOWN, code="instance_not_found"
        )

    def test_candidates(self) -> None:
        asked = "resource pin candidate list --size vcpus=4,memory=1GiB --cpu-policy dedicated"
        found = self.data(asked)
        self.assertEqual({("one", "yes"), ("two", "yes")}, {(f["Host"], f["Fits"]) for f in found})
        self.assertEqual(4, len(found[0]["Placement"]["vcpus"]))
        (one,) = self.data(asked, "--host two")
        self.assertEqual("two", one["Host"])
        found = self.data(
            asked, "--host two --host x --thread-policy isolate --vcpu 0=99 --rejected"
        )
        self.assertEqual(["no", "no"], [one["Fits"] for one in found])
        (reason,) = found[1]["Reasons"]
        self.assertEqual("resource_pin.host_unknown", reason["code"])
        said = self.ok(asked, "--host x --rejected")
        self.assertIn("no such host is known (resource_pin.host_unknown)", said.out)
        self.refused(
            "resource pin candidate list --size vcpus=4,memory=1", words="Say what is wished"
        )
        self.refused(
            f"resource pin candidate list --size vcpus=4,memory=1 --instance {VNF}",
            words="has no pin",
            code="pin_not_found",
        )

    def test_map_of_a_host(self) -> None:
        drawn = self.ok("resource pin host map one --width 80").out
        self.assertTrue(drawn.startswith("one up  15 pCPUs: 15 free"), drawn)
        self.assertNotIn("\x1b", drawn)
        self.assertTrue(max(map(len, drawn.splitlines())) <= 80)
        self.assertRegex(drawn, r"\nC  vnf +running +- +0-14 ")
        documents = self.data("resource pin host map one")
        self.assertEqual({"host", "instances", "pins"}, set(documents))
        self.assertEqual("one", documents["host"]["name"])
        self.assertEqual(3, len(documents["instances"]))
        self.assertIn("No instance is here.", self.ok("resource pin host map two").out)
        self.refused("resource pin host map x", words="Host x", code="host_not_found")
        for width in ("0", "19", "1001", "-80", "x"):
            said = self.shell.run(f"resource pin host map one --width={width}")
            self.assertEqual((2, ""), (said.status, said.out))
            self.assertIn(f"argument --width: '{width}' is not within 20 to 1000", said.err)

    def test_map_of_an_instance(self) -> None:
        drawn = self.ok("resource pin instance map vnf --width 90").out
        self.assertIn(f"vnf {VNF}  running on one, 4 vCPUs, 2048 MiB; no pin", drawn)
        self.assertIn("NUMA node 1", drawn)
        documents = self.data("resource pin instance map vnf")
        self.assertEqual((VNF, None), (documents["instance"]["uuid"], documents["pin"]))
        self.assertEqual("one", documents["host"]["name"])

    def test_a_name_is_one_segment_of_a_path(self) -> None:
        for name in ("../pins", "a/b", "a?limit=1", "%2e", "a#b"):
            self.refused("resource pin host show", name, words="HTTP 404")
            self.refused("resourcepin host show", name, words="HTTP 404")
            self.refused("resourcepin instance show", name, words="HTTP 404")

    def test_nothing_where_a_name_is_due(self) -> None:
        # as with "$HOST" in a shell that has no such variable
        for command in (
            *("resource pin host show", "resource pin host map", "resource pin rollout show"),
            *("resource pin rollout cancel", "resource pin quota show", "resource pin delete"),
            *("resource pin template show", "resource pin instance show"),
            *("resourcepin host show", "resourcepin instance show"),
            "resourcepin instance cpu mapping delete",
        ):
            said = self.shell.plain("--os-cloud", "test", *command.split(), "")
            self.assertEqual((1, ""), (said.status, said.out), command)
            self.assertRegex(said.err, r"\A.* (has no name or id\.?|has the name or \w+ ''\.?)\n\Z")

    def test_colours(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable("FORCE_COLOR", "1"))
        self.useFixture(fixtures.EnvironmentVariable("TERM", "xterm-256color"))
        self.assertIn("\x1b[", self.ok("resource pin host map one").out)
        self.useFixture(fixtures.EnvironmentVariable("NO_COLOR", "1"))
        self.assertNotIn("48;5;", self.ok("resource pin host map one").out)

    def test_nothing_is_done(self) -> None:
        for arguments, words in (
            ("set vnf", "There is nothing to set"),
            ("unset vnf", "There is nothing to unset"),
            ("set vnf --emulator 1", "has no pin"),
            ("unset vnf --emulator", "has no pin"),
            ("create nobody", "No instance has the name or UUID 'nobody'."),
            ("create vnf --file /nowhere", "--file /nowhere: "),
            ("create vnf --vcpu x=1", "--vcpu x: "),
            ("create vnf --vcpu 0=x", "vcpus.0: 'x' is neither a number nor a range"),
            ("create vnf --thread-policy isolate", "thread_policy: is for cpu_policy dedicated"),
            ("create vnf --at-next-start", "memory.migrate: belongs to memory.nodes"),
            ("create vnf --host one", "size: belongs to host"),
            ("history vnf", "has no pin"),
            ("wait vnf", "has no pin"),
            ("list --sort x", "sort: 'x' is none of"),
            ("list --marker x", "marker: is not in the list"),
        ):
            self.refused("resource pin", arguments, words=words)
        self.assertEqual([], self.data("resource pin list --long"))

    def test_several_that_fail(self) -> None:
        self.refused(
            f"resource pin delete nobody {UNKNOWN} vnf",
            words=f"No instance has the name or UUID 'nobody'; resource_pin.pin_not_found: Instance"
            f" {UNKNOWN} has no pin. (HTTP 404, req-",
            code="pin_not_found",
        )

    def test_malformed_options(self) -> None:
        for arguments in (
            "create vnf --vcpu 0",
            "create vnf --cpu-policy none",
            "create vnf --size vcpus=1",
            "candidate list --size 4",
            "candidate list",
            "list --limit 0",
            "list --limit x",
        ):
            said = self.shell.run("resource pin", arguments)
            self.assertEqual((2, ""), (said.status, said.out), said.err)

    def test_versions(self) -> None:
        for version, words in (
            ("1.99", "--os-resource-pin-api-version 1.99: the API does not know that version"),
            ("2", "--os-resource-pin-api-version 2: must be 1.N, or 1 for the newest"),
            ("1.0", "This needs version 1.1 of the API, not 1.0"),
        ):
            self.refused(
                f"--os-resource-pin-api-version {version} resource pin host list", words=words
            )
        self.assertIn(
            "Name", self.data("--os-resource-pin-api-version 1.1 resource pin host list")[0]
        )
        self.useFixture(fixtures.EnvironmentVariable("OS_RESOURCE_PIN_API_VERSION", "1.1"))
        words = "This needs version 1.5 of the API, not 1.1"
        self.refused("resource pin host map one", words=words, code="version_not_supported")

    def test_without_cloud(self) -> None:
        where = ("--os-auth-type", "none", "--os-endpoint", f"{self.kongming.url}/v1")
        said = self.shell.plain(*where, *["resource", "pin", "list", "-f", "json"])
        self.assertEqual((0, []), (said.status, said.json), said.err)

    def test_nobody_answers(self) -> None:
        # the port may be taken by somebody else since; 1 never is
        where = ("--os-auth-type", "none", "--os-endpoint", "http://127.0.0.1:1/v1")
        said = self.shell.plain(*where, *["resource", "pin", "list"])
        self.assertEqual(1, said.status)
        self.assertIn("http://127.0.0.1:1/v1, the service is unavailable", said.err)

    def test_sdk(self) -> None:
        cloud = self.cloud | {"vendor_hook": "kongming.sdk:add_to"}
        self.useFixture(shell.Shell(cloud))
        conn: Any = openstack.connect(cloud="test")
        names = [instance.name for instance in conn.resource_pin.instances(limit=1, sort="name")]
        self.assertEqual(["asleep", "other", "vnf"], names)
        self.assertEqual([], list(conn.resource_pin.pins(host="one")))
        self.assertEqual(VNF, conn.resource_pin.get_instance(VNF).id)


class NoHostsTest(Commands, base.EmbeddedTestCase):
    def test_map_for_those_who_may_not_see_hosts(self) -> None:
        self.ok("resource pin create vnf --vcpu 0-3=4 --wait")
        self.kongming.set_policy({"resource_pin:hosts:get": "!"})
        self.refused("resource pin host map one", words="does not allow", code="forbidden")
        drawn = self.ok("resource pin instance map vnf").out
        self.assertNotIn("NUMA node 0", drawn)
        self.assertRegex(drawn, r"vCPU 0 +4 +4 ")


class OldCommandsTest(Commands, base.EmbeddedTestCase):
    def test_mappings(self) -> None:
        create = "resourcepin instance cpu mapping create"
        mapping = self.data(create, VNF, "4-6,^5")
        self.assertEqual((VNF, "4,6"), (mapping["instance_uuid"], mapping["cpu_mappings"]))
        self.wait_for("applied")
        (listed,) = self.data("resourcepin instance cpu mapping list")
        self.assertEqual("succeed", listed["Status"])
        self.assertEqual((VNF, "4,6"), (listed["Instance UUID"], listed["CPU Mappings"]))
        (listed,) = self.data("resourcepin instance cpu mapping list --long")
        self.assertEqual(("telco", "mano"), (listed["Project ID"], listed["User ID"]))
        self.data(create, UNKNOWN, "1 --wait-until-active True")
        self.refused(create, VNF, "4", words="already has a pin", code="pin_exists")
        self.refused(create, OTHER, "x", words="cpu_mappings: 'x'", code="invalid_field")
        delete = "resourcepin instance cpu mapping delete"
        self.assertEqual("", self.ok(delete, VNF, UNKNOWN).out)
        self.assertEqual([], self.data("resourcepin instance cpu mapping list"))
        self.refused(delete, VNF, words="has no pin", code="pin_not_found")

    def test_hosts_and_instances(self) -> None:
        told = self.get("/v1/hosts/one", headers=_OLD).json()
        del told["links"]
        self.assertEqual(told, self.data("resourcepin host show one"))
        self.assertRegex(self.ok("resourcepin host show one").out, r"NUMA_0: 0-3,8-11")
        told = self.get(f"/v1/instances/{VNF}", headers=_OLD).json()
        del told["links"]
        self.assertEqual(told, self.data("resourcepin instance show", VNF))
        self.assertRegex(self.ok("resourcepin instance show", VNF).out, r"\| 0-3: 0-14 ")
        self.refused("resourcepin host show x", words="Host x", code="host_not_found")
        self.refused("resourcepin instance show", UNKNOWN, words=UNKNOWN, code="instance_not_found")

    def test_whatever_version_is_asked_for(self) -> None:
        said = self.ok("--os-resource-pin-api-version 1.9 resourcepin host show one -f json")
        self.assertIn("cpu_topology", said.json)
