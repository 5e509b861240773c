# SPDX-License-Identifier: Apache-2.0
"""A template changes: those who follow it get the new version, all of them or none."""

from typing import Any

from kongming.db import engine, models
from kongming.hypervisor.driver import Event
from kongming.tests.embedded import base
from kongming.tests.embedded.test_templates import TemplateTestCase

UUIDS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(1, 21)]
#: Two hosts of 40 pCPUs, with ten instances each.
FLEET = "hosts:\n" + "".join(
    f"- name: {host}\n  nodes: 2\n  cores_per_node: 10\n  threads_per_core: 2\n"
    "  memory_mib_per_node: 8192\n  instances:\n"
    + "".join(
        f"  - {{uuid: {uuid}, name: vnf-{uuid[:8]}, project_id: telco, user_id: mano, vcpus: 1,"
        " memory_mib: 64, state: running}\n"
        for uuid in uuids
    )
    for host, uuids in (("one", UUIDS[::2]), ("two", UUIDS[1::2]))
)
OLD, NEW = {"vcpus": {"*": "0-1"}}, {"vcpus": {"*": "2-3"}}
THIRTEENTH = UUIDS[12]


class RolloutTestCase(TemplateTestCase):
    fleet_text = FLEET

    def follow(self, **content: Any) -> dict[str, Any]:
        """Let all instances follow a template; return that."""
        made = self.template(**(content or {"wish": OLD}))
        for uuid in UUIDS:
            self.pin(uuid, template="gold")
        self.settled()
        return made

    def settled(self) -> None:
        """Wait until every pin is applied."""
        self.eventually(lambda: {pin["status"] for pin in base.rows("pins")} == {"applied"}, 60)

    def rollout(self, rollout_id: str) -> dict[str, Any]:
        """Return a rollout."""
        found: dict[str, Any] = self.get(f"/v1/rollouts/{rollout_id}").json()
        return found

    def ended(self, rollout_id: str, state: str) -> dict[str, Any]:
        """Return a rollout once it has come to an end, which must be that."""
        states = ("completed", "returned", "failed")
        self.eventually(lambda: self.rollout(rollout_id)["state"] in states, 60)
        found = self.rollout(rollout_id)
        self.assertEqual(state, found["state"], str(found))
        return found

    def where(self) -> set[str]:
        """Return on which pCPUs instances are, asked of the simulated kernel."""
        return {self.observed(uuid)["vcpus"]["0"] for uuid in UUIDS}

    def versions(self) -> set[int]:
        """Return which versions of their template pins have."""
        return {pin["template_version"] for pin in base.rows("pins")}

    def break_next(self, uuid: str = THIRTEENTH) -> None:
        """Let the next thing fail that the host of an instance does to it."""
        self.fleet.fail_next(uuid, 1, "the kernel says no")

    def hold(self) -> None:
        """Let no rollout get further than to the second pin, until the agent is started again."""
        self.kongming.stop_agent("two")


class RolloutTest(RolloutTestCase):
    def test_completed(self) -> None:
        made = self.follow()
        self.assertEqual({"0-1"}, self.where())
        changed = self.put(made, version=1, wish=NEW, batch_size=4)
        self.assertEqual((2, 1), (changed["version"], changed["current"]))
        found = self.ended(changed["rollout_id"], "completed")
        self.assertEqual(
            (20, 20, 4, 1, 2, None),
            tuple(
                found[name]
                for name in ("total", "done", "batch_size", "former", "version", "reason")
            ),
        )
        self.assertEqual(({"2-3"}, {2}), (self.where(), self.versions()))
        template = self.get(f"/v1/templates/{made['id']}").json()
        self.assertEqual((2, 2), (template["version"], template["current"]))
        by = self.history(THIRTEENTH)[-2]["by"]
        self.assertEqual(
            ("rollout", changed["rollout_id"], "gold", 2),
            (by["kind"], by["id"], by["template"], by["version"]),
        )

    def test_failure_of_one_brings_all_back(self) -> None:
        made = self.follow()
        self.break_next()
        changed = self.put(made, wish=NEW)
        found = self.ended(changed["rollout_id"], "returned")
        self.assertEqual((THIRTEENTH, 0, 20), (found["failed_pin"], found["done"], found["total"]))
        self.assertIn("the kernel says no", found["reason"])
        self.settled()
        self.assertEqual(({"0-1"}, {1}), (self.where(), self.versions()))
        told = [
            (event["event"], (event["by"] or {}).get("version"))
            for event in self.history(THIRTEENTH)
        ]
        self.assertEqual(
            [("changed", 2), ("failed", None), ("changed", 1), ("applied", None)], told[-4:]
        )
        # those after it were never touched
        later = [pin for pin in base.rows("pins") if pin["instance_uuid"] > THIRTEENTH]
        self.assertEqual([1] * 7, [pin["generation"] for pin in later])
        template = self.get(f"/v1/templates/{made['id']}").json()
        self.assertEqual((2, 1), (template["version"], template["current"]))

    def test_return_to_an_older_version(self) -> None:
        made = self.follow()
        self.ended(self.put(made, wish=NEW, batch_size=20)["rollout_id"], "completed")
        body = {"template": "gold", "version": 1, "batch_size": 7}
        answer = self.request("POST", "/v1/rollouts", json=body)
        self.assertEqual(201, answer.status_code, answer.text)
        self.ended(answer.json()["id"], "completed")
        self.assertEqual(({"0-1"}, {1}), (self.where(), self.versions()))
        listed = self.get("/v1/rollouts?state=completed&sort=created_at").json()["rollouts"]
        self.assertEqual(2, len(listed))

    def test_does_not_fit(self) -> None:
        made = self.follow()
        before = {table: base.rows(table) for table in models.Base.metadata.tables}
        wish: dict[str, Any] = {"cpu_policy": "dedicated", "vcpus": {"*": "7"}}
        answer = self.request("PUT", f"/v1/templates/{made['id']}", json={"wish": wish})
        self.assert_error(answer, 409, "cpu_already_claimed", *UUIDS[2:])
        self.assertNotIn(f"instance {UUIDS[0]}:", answer.json()["message"])
        after = {table: base.rows(table) for table in models.Base.metadata.tables}
        for changing in ("hosts", "instances"):
            before.pop(changing)
            after.pop(changing)
        self.assertEqual(before, after)

    def test_two_queue(self) -> None:
        made = self.follow()
        self.hold()
        first = self.put(made, wish=NEW)["rollout_id"]
        second = self.put(made, wish={"vcpus": {"*": "4-5"}}, batch_size=20)["rollout_id"]
        self.assertEqual("queued", self.rollout(second)["state"])
        third = self.put(made, wish={"vcpus": {"*": "6-7"}}, batch_size=20)["rollout_id"]
        cancelled = self.request("DELETE", f"/v1/rollouts/{third}")
        self.assertEqual((202, "returned"), (cancelled.status_code, cancelled.json()["state"]))
        self.kongming.start_agent("two")
        self.ended(first, "completed")
        self.ended(second, "completed")
        self.assertEqual(({"4-5"}, {3}), (self.where(), self.versions()))
        self.assertEqual(2, self.rollout(second)["former"])
        answer = self.request("DELETE", f"/v1/rollouts/{first}")
        self.assert_error(answer, 409, "rollout_is_over", "completed")

    def test_called_off(self) -> None:
        made = self.follow()
        self.hold()
        rollout_id = self.put(made, wish=NEW)["rollout_id"]
        self.eventually(lambda: self.rollout(rollout_id)["done"] > 0)
        answer = self.request("DELETE", f"/v1/rollouts/{rollout_id}")
        self.assertEqual(202, answer.status_code, answer.text)
        self.kongming.start_agent("two")
        found = self.ended(rollout_id, "returned")
        self.assertEqual("called off by user noauth", found["reason"])
        self.settled()
        self.assertEqual(({"0-1"}, {1}), (self.where(), self.versions()))

    def test_those_who_joined_meanwhile_get_it_too(self) -> None:
        made = self.template(wish=OLD)
        for uuid in UUIDS[:10]:
            self.pin(uuid, template="gold")
        self.settled()
        rollout_id = self.put(made, wish=NEW)["rollout_id"]
        for uuid in UUIDS[10:]:
            self.pin(uuid, template="gold")
        self.ended(rollout_id, "completed")
        self.settled()
        self.assertEqual(({"2-3"}, {2}), (self.where(), self.versions()))

    def test_who_stopped_following_is_left_alone(self) -> None:
        made = self.follow()
        self.break_next()
        self.hold()
        rollout_id = self.put(made, wish=NEW)["rollout_id"]
        self.eventually(lambda: self.rollout(rollout_id)["done"] > 0)
        answer = self.request("PUT", f"/v1/pins/{UUIDS[0]}", json={"vcpus": {"*": "9"}})
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{UUIDS[19]}").status_code)
        self.kongming.start_agent("two")
        self.ended(rollout_id, "returned")
        self.settled()
        self.assertEqual("9", self.observed(UUIDS[0])["vcpus"]["0"])
        self.assertEqual({"0-1"}, {self.observed(u)["vcpus"]["0"] for u in UUIDS[1:19]})

    def test_who_is_off_takes_it_without_being_waited_for(self) -> None:
        made = self.follow()
        host = self.fleet.host("one").instances[UUIDS[0]]
        host.state = "shutoff"
        self.fleet.events.send("one", UUIDS[0], Event.STOPPED)
        self.wait_for("waiting", UUIDS[0])
        self.ended(self.put(made, wish=NEW, batch_size=5)["rollout_id"], "completed")
        self.assertEqual({2}, self.versions())
        self.assertEqual("waiting", self.get(f"/v1/pins/{UUIDS[0]}").json()["status"])


class RestartTest(RolloutTestCase):
    """The conductor that took the last step is gone; another one finds only what is stored."""

    def test_goes_on(self) -> None:
        made = self.follow()
        self.hold()
        rollout_id = self.put(made, wish=NEW)["rollout_id"]
        self.eventually(lambda: self.rollout(rollout_id)["done"] > 0)
        self.kongming.stop()
        self.assertEqual({1, 2}, self.versions())
        self.kongming.start()
        self.ended(rollout_id, "completed")
        self.assertEqual(({"2-3"}, {2}), (self.where(), self.versions()))

    def test_goes_back(self) -> None:
        made = self.follow()
        self.break_next()
        rollout_id = self.put(made, wish=NEW)["rollout_id"]
        # who looks seldom finds it over
        back = ("returning", "returned")
        self.eventually(lambda: base.rows("rollouts")[0]["state"] in back)
        self.kongming.stop()
        self.kongming.start()
        self.ended(rollout_id, "returned")
        self.settled()
        self.assertEqual(({"0-1"}, {1}), (self.where(), self.versions()))

    def test_pin_was_to_be_changed_next(self) -> None:
        """Stop between the two transactions of a batch."""
        made = self.follow()
        rollout_id = self.put(made, wish=NEW, batch_size=20)["rollout_id"]
        self.eventually(lambda: base.rows("rollouts")[0]["state"] == "completed", 60)
        with engine.writer() as session:
            pin = session.get(models.Pin, UUIDS[7])
            rollout = session.get(models.Rollout, rollout_id)
            template = session.get(models.Template, made["id"])
            assert pin is not None and rollout is not None and template is not None
            pin.template_version, template.current = 1, 1
            rollout.state = "running"
            rollout.touched = [{"uuid": uuid, "had": None} for uuid in UUIDS[:7]]
        self.kongming.stop()
        self.kongming.start()
        self.ended(rollout_id, "completed")
        self.assertEqual({2}, self.versions())


class TwoConductorsTest(RolloutTestCase):
    def test_race_is_harmless(self) -> None:
        made = self.follow()
        self.break_next()
        assert self.kongming.parts is not None
        first = self.kongming.parts._conductor._roller
        other = type(first)(first._tell)
        other.start()
        self.addCleanup(other.stop)
        rollout_id = self.put(made, wish=NEW, batch_size=3)["rollout_id"]
        while self.rollout(rollout_id)["state"] not in ("returned", "failed", "completed"):
            other.wake()
            first.wake()
        self.ended(rollout_id, "returned")
        self.settled()
        self.assertEqual(({"0-1"}, {1}), (self.where(), self.versions()))
        changed = [event for event in self.history(UUIDS[0]) if event["event"] == "changed"]
        self.assertEqual([2, 1], [event["by"]["version"] for event in changed])
