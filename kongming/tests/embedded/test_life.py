# SPDX-License-Identifier: Apache-2.0
"""What becomes of a pin while its instance, its host and KongMing live on."""

import concurrent.futures
import errno
import re
import time
from typing import Any

import fixtures
import requests

from kongming.agent.manager import AgentManager
from kongming.conductor.manager import ConductorManager
from kongming.hypervisor.driver import Event, Scope
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, PLACED, UNKNOWN, VNF, WISH
from kongming.topology.placement import Part


class LifeTestCase(base.EmbeddedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.free = self.observed()

    def claims(self) -> dict[tuple[str, int], str]:
        """Return who holds which pCPU of which host."""
        return {(row["host"], row["pcpu"]): row["instance_uuid"] for row in base.rows("claims")}

    def held(self, host: str = "one", uuid: str = VNF) -> set[int]:
        """Return the pCPUs of a host that the pin of an instance holds."""
        holder = (host, uuid)
        return {pcpu for (where, pcpu), who in self.claims().items() if (where, who) == holder}

    def events(self, uuid: str = VNF) -> list[str]:
        """Return what happened to a pin."""
        return [event["event"] for event in self.history(uuid)]

    def in_force(self) -> Any:
        """Return what of the pin of VNF its host has carried out."""
        (found,) = (row for row in base.rows("pins") if row["instance_uuid"] == VNF)
        return found["in_force"]

    def pinned(self) -> None:
        """Pin VNF."""
        self.pin(**WISH)
        self.assertEqual(PLACED, self.wait_for("applied")["placement"])
        self.assertEqual(PLACED, self.observed())

    def left(self) -> dict[str, Any]:
        """Return the pin of VNF once host one is known to be rid of it."""
        reason = "the instance left host one"
        self.eventually(lambda: self.wait_for("waiting")["reason"] == reason)
        return self.wait_for("waiting")


class InstanceTest(LifeTestCase):
    def test_stop_and_start(self) -> None:
        self.pinned()
        self.fleet.stop(VNF)
        self.assertEqual("the instance is shutoff", self.wait_for("waiting")["reason"])
        # it would be back at any time
        self.assertEqual({4, 5, 6, 7}, self.held())
        self.pin(OTHER, expect=409, cpu_policy="dedicated", vcpus={"*": "7"})
        self.fleet.start(VNF)
        self.wait_for("applied")
        self.assertEqual(PLACED, self.observed())
        self.assertEqual(1, self.get(f"/v1/pins/{VNF}").json()["generation"])

    def test_hard_reboot(self) -> None:
        self.pinned()
        self.fleet.hard_reboot(VNF)
        self.eventually(lambda: self.observed() == PLACED)
        self.wait_for("applied")
        self.assertEqual({4, 5, 6, 7}, self.held())

    def test_change_while_stopped(self) -> None:
        self.pinned()
        self.fleet.stop(VNF)
        self.wait_for("waiting")
        answer = self.request("PUT", f"/v1/pins/{VNF}", json={"vcpus": {"*": "8"}})
        self.assertEqual((200, "waiting"), (answer.status_code, answer.json()["status"]))
        self.fleet.start(VNF)
        self.wait_for("applied")
        self.assertEqual(self.free | {"vcpus": dict.fromkeys("0123", "8")}, self.observed())
        self.assertEqual({}, self.claims())

    def test_delete_while_stopped(self) -> None:
        self.pinned()
        self.fleet.stop(VNF)
        self.wait_for("waiting")
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        self.fleet.start(VNF)
        self.eventually(lambda: self.observed() == self.free)
        self.eventually(lambda: not self.claims())

    def test_instance_that_was_never_on(self) -> None:
        pin = self.pin(OFF, cpu_policy="dedicated", vcpus={"0": "8", "1": "9"})
        self.assertEqual(("waiting", "one"), (pin["status"], pin["host"]))
        self.assertEqual({8, 9}, self.held(uuid=OFF))
        self.fleet.start(OFF)
        self.wait_for("applied", OFF)
        self.assertEqual({"0": "8", "1": "9"}, self.observed(OFF)["vcpus"])

    def test_migration(self) -> None:
        self.pinned()
        self.fleet.migrate(VNF, "two")
        self.eventually(lambda: self.get(f"/v1/pins/{VNF}").json()["host"] == "two")
        self.wait_for("applied")
        self.assertEqual(PLACED, self.observed())
        self.assertEqual(({4, 5, 6, 7}, set()), (self.held("two"), self.held("one")))
        # what it had is for others now
        self.pin(OTHER, cpu_policy="dedicated", vcpus={"*": "4-7"})
        self.wait_for("applied", OTHER)
        # and it still can be released
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: not self.held("two"))
        self.assertEqual("0-15", self.observed()["emulator"])

    def test_migration_to_where_its_pcpus_are_held(self) -> None:
        self.pinned()
        fields = {"uuid": UNKNOWN, "name": "there", "vcpus": 1, "memory_mib": 64}
        self.fleet.create("two", fields)
        self.eventually(lambda: self.get(f"/v1/instances/{UNKNOWN}").ok)
        self.pin(UNKNOWN, cpu_policy="dedicated", vcpus={"*": "7"})
        self.wait_for("applied", UNKNOWN)
        self.fleet.migrate(VNF, "two")
        reason = self.wait_for("failed")["reason"]
        self.assertEqual(
            f"pCPU 7 of host two is already held by the pin of instance {UNKNOWN}.", reason
        )
        self.assertEqual({("two", 7): UNKNOWN}, self.claims())
        # it does not stay on what it brought along, which is another's here
        unpinned = {**dict.fromkeys("0123", "0-15"), "7": "0-15"}
        self.eventually(lambda: self.observed()["vcpus"].items() <= unpinned.items())
        self.eventually(lambda: self.in_force() is None)
        # another wish helps
        wish = {**WISH, "vcpus": {"*": "4-6"}}
        self.assertEqual(200, self.request("PUT", f"/v1/pins/{VNF}", json=wish).status_code)
        self.wait_for("applied")
        self.assertEqual(dict.fromkeys("0123", "4-6"), self.observed()["vcpus"])

    def test_migration_away_from_a_host_that_is_down(self) -> None:
        self.pinned()
        self.kongming.stop_agent("one")
        self.fleet.migrate(VNF, "two")
        self.eventually(lambda: self.held("two") == {4, 5, 6, 7})
        self.assertEqual(set(), self.held("one"))
        self.wait_for("applied")
        # the host knows of nothing any more when it is back
        self.kongming.start_agent("one")
        fields = {"uuid": UNKNOWN, "name": "new", "vcpus": 1, "memory_mib": 64}
        self.fleet.create("one", fields)
        self.eventually(lambda: self.get(f"/v1/instances/{UNKNOWN}").ok)
        self.pin(UNKNOWN, cpu_policy="dedicated", vcpus={"*": "4"})
        self.wait_for("applied", UNKNOWN)
        self.assertEqual("two", self.wait_for("applied")["host"])
        self.assertEqual(PLACED, self.observed())

    def test_migration_there_and_back(self) -> None:
        self.pinned()
        for host in ("two", "one", "two", "one"):
            self.fleet.migrate(VNF, host)

        def is_back() -> bool:
            pin = self.get(f"/v1/pins/{VNF}").json()
            shown = (pin["status"], pin["host"], pin["placement"])
            held = (self.held("one"), self.held("two"))
            return (shown, held) == (("applied", "one", PLACED), ({4, 5, 6, 7}, set()))

        self.eventually(is_back)
        self.assertEqual(PLACED, self.observed())

    def test_there_and_back_before_the_host_hears_of_it(self) -> None:
        # pCPU 9 is another's on host one, whose agent fetches nothing while VNF is away
        self.pin(OTHER, cpu_policy="dedicated", vcpus={"*": "9"})
        self.wait_for("applied", OTHER)
        self.pin(vcpus={"*": "4"})
        self.wait_for("applied")
        self.fleet.migrate(VNF, "two")
        self.eventually(lambda: self.get(f"/v1/pins/{VNF}").json()["host"] == "two")
        wish = {"vcpus": {"*": "9"}, "iothreads": {"1": "10"}}
        self.assertEqual(200, self.request("PUT", f"/v1/pins/{VNF}", json=wish).status_code)
        self.eventually(lambda: self.wait_for("applied")["generation"] == 2)
        self.fleet.migrate(VNF, "one")
        self.wait_for("failed")
        # nothing stays of what was done elsewhere
        self.eventually(lambda: self.observed() == self.free)
        self.eventually(lambda: self.in_force() is None)

    def test_instance_is_deleted(self) -> None:
        self.pinned()
        self.fleet.delete(VNF)
        pin = self.left()
        self.assertEqual("the instance is shutoff", self.history()[2]["reason"])
        self.assertEqual((None, None), (pin["host"], pin["placement"]))
        self.assertEqual({}, self.claims())
        self.assertEqual(404, self.get(f"/v1/instances/{VNF}").status_code)
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        self.assertEqual(["created", "applied", "waiting", "waiting", "deleted"], self.events())

    def test_instance_that_is_deleted_may_be_there_again_in_a_moment(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.agent.reporter.GRACE_SECONDS", 600))
        self.pinned()
        self.fleet.delete(VNF)
        self.assertEqual("the instance is shutoff", self.wait_for("waiting")["reason"])
        self.assertEqual({4, 5, 6, 7}, self.held())

    def test_instance_comes_back_elsewhere(self) -> None:
        self.pinned()
        self.fleet.delete(VNF)
        self.left()
        fields = {"uuid": VNF, "name": "vnf", "vcpus": 4, "memory_mib": 512, "iothreads": 1}
        self.fleet.create("two", {**fields, "project_id": "telco"})
        self.assertEqual("two", self.wait_for("applied")["host"])
        self.assertEqual(PLACED, self.observed())

    def test_instance_is_deleted_while_its_pin_is_released(self) -> None:
        self.pinned()
        self.kongming.stop_agent("one")
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.fleet.delete(VNF)
        self.kongming.start_agent("one")
        self.eventually(lambda: not self.claims())
        self.assertEqual([], base.rows("pins"))

    def test_wish_without_anything(self) -> None:
        self.pin()
        pin = self.wait_for("applied")
        self.assertEqual({}, pin["placement"])
        self.assertEqual(self.free, self.observed())
        wish = {"vcpus": {"*": "4"}}
        self.assertEqual(200, self.request("PUT", f"/v1/pins/{VNF}", json=wish).status_code)
        self.wait_for("applied")
        self.assertEqual(200, self.request("PUT", f"/v1/pins/{VNF}", json={}).status_code)
        self.eventually(lambda: self.observed() == self.free)
        self.wait_for("applied")
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        # there was nothing to release
        self.assertEqual("deleted", self.events()[-1])
        self.assertEqual([], base.rows("pins"))

    def test_what_nova_gave_comes_back(self) -> None:
        fields = {
            "uuid": UNKNOWN,
            "name": "given",
            "vcpus": 2,
            "memory_mib": 64,
            "dedicated": True,
            "vcpu_pins": {"0": "8", "1": "9"},
            "memory_nodes": "1",
        }
        self.fleet.create("two", fields)
        self.eventually(lambda: self.get(f"/v1/instances/{UNKNOWN}").ok)
        before = self.observed(UNKNOWN)
        self.assertEqual(({"0": "8", "1": "9"}, "8-9"), (before["vcpus"], before["emulator"]))
        answer = self.request(
            "POST", "/v1/pins", json={"instance_uuid": UNKNOWN, "vcpus": {"*": "4-7"}}
        )
        self.assert_error(answer, 409, "placed_by_others", UNKNOWN, "pCPU 8-9 of host two")
        self.assertEqual(([], before), (base.rows("pins"), self.observed(UNKNOWN)))
        self.pin(UNKNOWN, vcpus={"*": "4-7"}, emulator="0", override=True)
        self.assertIs(True, self.wait_for("applied", UNKNOWN)["override"])
        self.assertEqual(
            ("4-7", "0"), (self.observed(UNKNOWN)["vcpus"]["1"], self.observed(UNKNOWN)["emulator"])
        )
        # it is KongMing's by now
        answer = self.request("PUT", f"/v1/pins/{UNKNOWN}", json={"vcpus": {"*": "4-6"}})
        self.assertEqual(200, answer.status_code, answer.text)
        self.eventually(lambda: self.observed(UNKNOWN)["vcpus"]["1"] == "4-6")
        self.request("DELETE", f"/v1/pins/{UNKNOWN}")
        self.eventually(lambda: self.observed(UNKNOWN) == before)

    def test_nova_gave_what_a_waiting_pin_wants(self) -> None:
        fields = {
            "uuid": UNKNOWN,
            "name": "given",
            "project_id": "telco",
            "vcpus": 2,
            "memory_mib": 64,
            "dedicated": True,
            "vcpu_pins": {"0": "8", "1": "9"},
            "memory_nodes": "1",
        }
        self.pin(UNKNOWN, project_id="telco", vcpus={"*": "4-7"})
        self.fleet.create("two", fields)
        reason = self.wait_for("failed", UNKNOWN)["reason"]
        self.assertIn("was given pCPU 8-9 of host two for itself by somebody else", reason)
        self.assertEqual({"0": "8", "1": "9"}, self.observed(UNKNOWN)["vcpus"])


class CutOffTest(LifeTestCase):
    """A host is cut off from Nova, and not from KongMing; its instance is evacuated."""

    interval = 1

    def test_evacuation_from_a_host_where_it_runs_on(self) -> None:
        self.pinned()
        self.fleet.evacuate(VNF, "two")
        self.eventually(lambda: self.get(f"/v1/pins/{VNF}").json()["host"] == "two")
        self.wait_for("applied")
        self.assertEqual(PLACED, self.kongming.driver("two").read(VNF, Scope.LIVE).to_dict())
        before = [base.rows(table) for table in ("pins", "claims", "pin_events")]
        self.assertEqual(({4, 5, 6, 7}, set()), (self.held("two"), self.held("one")))
        # both report all that they have, and say that it runs
        time.sleep(3 * self.interval)
        self.assertEqual(before, [base.rows(table) for table in ("pins", "claims", "pin_events")])
        with self.fleet.lock:
            del self.fleet.host("one").instances[VNF]
            self.fleet.events.send("one", VNF, Event.STOPPED)
        time.sleep(2 * self.interval)
        self.assertEqual(before, [base.rows(table) for table in ("pins", "claims", "pin_events")])


class RestartTest(LifeTestCase):
    def restart(self) -> None:
        """Stop everything and start it on the same database and state directory."""
        self.kongming.stop()
        self.kongming.start()

    def test_pins_and_claims_survive(self) -> None:
        self.pinned()
        before = {table: base.rows(table) for table in ("pins", "claims", "pin_events")}
        self.restart()
        self.assertEqual(before["claims"], base.rows("claims"))
        self.assertEqual(PLACED, self.observed())
        self.pin(OTHER, expect=409, cpu_policy="dedicated", vcpus={"*": "7"})
        # the first sweep finds nothing to do and nothing to tell
        self.pin(OTHER, vcpus={"*": "8"})
        self.wait_for("applied", OTHER)
        pins = [pin for pin in base.rows("pins") if pin["instance_uuid"] == VNF]
        self.assertEqual(before["pins"], pins)
        self.assertEqual(["created", "applied"], self.events())
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: self.observed() == self.free)

    def test_what_happened_meanwhile_is_repaired(self) -> None:
        self.pinned()
        self.kongming.stop()
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        self.kongming.start()
        self.eventually(lambda: self.observed() == PLACED)
        self.wait_for("applied")

    def test_migration_meanwhile(self) -> None:
        self.pinned()
        self.kongming.stop()
        self.fleet.migrate(VNF, "two")
        self.kongming.start()
        self.eventually(lambda: self.held("two") == {4, 5, 6, 7})
        self.assertEqual("two", self.wait_for("applied")["host"])
        self.assertEqual(set(), self.held("one"))

    def test_stopped_between_wish_and_placement(self) -> None:
        self.kongming.stop_agent("one")
        self.pin(**WISH)
        self.restart()
        self.wait_for("applied")
        self.assertEqual(PLACED, self.observed())

    def test_what_is_decided_before_an_agent_hears_of_it(self) -> None:
        self.kongming.stop_agent("one")
        agent = AgentManager(self.conf, "one", self.kongming.driver("one"))
        self.addCleanup(agent.stop)
        # a broker drops what nobody has asked it to keep yet
        told = "kongming.agent.rpcapi.AgentAPI.placements_changed"
        self.useFixture(fixtures.MonkeyPatch(told, lambda *_: None))
        before, listen = base.rows("hosts"), agent._server.start

        def listen_late() -> None:
            self.eventually(lambda: base.rows("hosts") != before)
            self.pin(**WISH)
            listen()

        self.useFixture(fixtures.MockPatchObject(agent._server, "start", listen_late))
        agent.start()
        self.wait_for("applied")

    def test_agent_alone_keeps_its_instances_pinned(self) -> None:
        self.pinned()
        self.kongming.configuration.set("rpc_response_timeout", 1)
        self.kongming.stop()
        agent = self.kongming.lone_agent("one")
        self.addCleanup(agent.stop)
        self.fleet.hard_reboot(VNF)
        self.eventually(lambda: self.observed() == PLACED)


class FullDiskTest(LifeTestCase):
    def test_log_says_so_until_there_is_room(self) -> None:
        def refuse(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with fixtures.MonkeyPatch("os.fsync", refuse):
            self.pin(**WISH)
            pattern = "Host one: its placements cannot be kept in .*/placements-one.json: No space"
            self.eventually(lambda: re.search(pattern, self.kongming.log.output))
        self.wait_for("applied")
        self.assertEqual(PLACED, self.observed())
        self.assertNotIn("Traceback", self.kongming.log.output)


class RaceTest(LifeTestCase):
    """Two conductors share the work; what they decide is as if there were one."""

    fleet_text = """
hosts:
- name: one
  nodes: 1
  cores_per_node: 8
  memory_mib_per_node: 8192
  instances:
""" + "".join(
        f"  - {{name: vm-{number}, vcpus: 1, memory_mib: 64, uuid: {number}{VNF[1:]}}}\n"
        for number in range(1, 9)
    )

    def setUp(self) -> None:
        super().setUp()
        self.uuids = [f"{number}{VNF[1:]}" for number in range(1, 9)]
        second = ConductorManager(self.conf)
        second.start()
        self.addCleanup(second.stop)

    def all_at_once(self, *requests_: tuple[str, str, Any]) -> list[requests.Response]:
        """Send requests (method, path, body) at the same time; return the answers."""
        with concurrent.futures.ThreadPoolExecutor(len(requests_)) as pool:
            sent = [
                pool.submit(self.request, method, path, json=body)
                for method, path, body in requests_
            ]
            return [each.result() for each in sent]

    def consistent(self) -> bool:
        """Return whether exactly the placements of dedicated pins are claimed."""
        wanted = {}
        for pin in base.rows("pins"):
            if pin["deleted"] or pin["status"] != "applied":
                return False
            for pcpu in range(8):
                if pin["wish"].cpu_policy == "dedicated" and pin["placement"].cpus >> pcpu & 1:
                    wanted["one", pcpu] = pin["instance_uuid"]
        return wanted == self.claims()

    def test_one_pcpu_for_many(self) -> None:
        body = {"cpu_policy": "dedicated", "vcpus": {"0": "3"}}
        answers = self.all_at_once(
            *(("POST", "/v1/pins", {"instance_uuid": uuid, **body}) for uuid in self.uuids)
        )
        statuses = sorted(answer.status_code for answer in answers)
        self.assertEqual([201] + [409] * 7, statuses)
        (winner,) = (answer.json() for answer in answers if answer.ok)
        self.assertEqual({("one", 3): winner["instance_uuid"]}, self.claims())
        for answer in answers:
            if not answer.ok:
                uuid = winner["instance_uuid"]
                self.assert_error(answer, 409, "cpu_already_claimed", uuid)
        self.eventually(self.consistent)

    def test_each_gets_its_own(self) -> None:
        answers = self.all_at_once(
            *(
                (
                    "POST",
                    "/v1/pins",
                    {"instance_uuid": uuid, "cpu_policy": "dedicated", "vcpus": {"0": str(pcpu)}},
                )
                for pcpu, uuid in enumerate(self.uuids)
            )
        )
        self.assertEqual({201}, {answer.status_code for answer in answers})
        self.eventually(self.consistent)
        self.assertEqual(8, len(self.claims()))

    def test_one_instance_is_pinned_once(self) -> None:
        answers = self.all_at_once(
            *(
                ("POST", "/v1/pins", {"instance_uuid": VNF, "vcpus": {"0": str(pcpu)}})
                for pcpu in range(8)
            )
        )
        statuses = sorted(answer.status_code for answer in answers)
        self.assertEqual([201] + [409] * 7, statuses)
        self.assertEqual(1, len(base.rows("pins")))
        self.assertEqual(["created"], self.events()[:1])
        self.eventually(self.consistent)

    def test_one_change_per_generation(self) -> None:
        self.pin(vcpus={"0": "0"})
        answers = self.all_at_once(
            *(
                ("PUT", f"/v1/pins/{VNF}", {"vcpus": {"0": str(pcpu)}, "generation": 1})
                for pcpu in range(8)
            )
        )
        statuses = sorted(answer.status_code for answer in answers)
        self.assertEqual([200] + [409] * 7, statuses)
        (winner,) = (answer.json() for answer in answers if answer.ok)
        self.wait_for("applied")
        self.assertEqual(winner["vcpus"], self.observed()["vcpus"])

    def test_everything_at_once(self) -> None:
        wishes = [
            {"cpu_policy": "dedicated", "vcpus": {"0": f"{pcpu}-{pcpu + 1}"}} for pcpu in range(7)
        ]
        todo: list[tuple[str, str, Any]] = []
        for uuid in self.uuids[:4]:
            for wish in wishes[:3]:
                todo.append(("POST", "/v1/pins", {"instance_uuid": uuid, **wish}))
                todo.append(("PUT", f"/v1/pins/{uuid}", wish))
            todo.append(("DELETE", f"/v1/pins/{uuid}", None))
        answers = self.all_at_once(*todo)
        statuses = {answer.status_code for answer in answers}
        self.assertLessEqual(statuses, {200, 201, 204, 404, 409})
        self.eventually(self.consistent)
