# SPDX-License-Identifier: Apache-2.0
"""Calendars, from the API to the simulated kernels, with a clock that the tests set."""

import datetime
from typing import Any

import fixtures

from kongming.policies import base as base_rules
from kongming.policies import pins as pin_rules
from kongming.tests import base as tests
from kongming.tests import nova
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, VNF, WISH, rows
from kongming.tests.embedded.test_auth import AuthTestCase

NIGHTS: dict[str, Any] = {
    "name": "nights",
    "cron": "0 22 * * *",
    "timezone": "Europe/Paris",
    "duration_s": 8 * 3600,
    "all_projects": True,
    "pins": [VNF],
    "qos": {"vcpu_quota": 50000},
}


class CalendarTestCase(base.EmbeddedTestCase):
    def setUp(self) -> None:
        self.at("2026-06-01T12:00:00")
        self.useFixture(fixtures.MonkeyPatch("kongming.clock.now", lambda: self.now))
        # five seconds in which the conductor does not look
        self.useFixture(fixtures.MonkeyPatch("kongming.conductor.timekeeper._INTERVAL", 0.05))
        super().setUp()

    def calendar(self, expect: int = 201, **fields: Any) -> dict[str, Any]:
        """POST a calendar, `NIGHTS` but for some fields (None: not given); return the answer."""
        body = {key: value for key, value in (NIGHTS | fields).items() if value is not None}
        answer = self.request("POST", "/v1/calendars", json=body)
        self.assertEqual(expect, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def put(self, calendar: dict[str, Any], expect: int = 200, **fields: Any) -> dict[str, Any]:
        """PUT a calendar, `NIGHTS` but for some fields."""
        body = {key: value for key, value in (NIGHTS | fields).items() if value is not None}
        answer = self.request("PUT", f"/v1/calendars/{calendar['id']}", json=body)
        self.assertEqual(expect, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def at(self, when: str) -> None:
        """Let it be some time (UTC)."""
        self.now = datetime.datetime.fromisoformat(when).replace(tzinfo=datetime.UTC)

    def wait_for_quota(self, quota: int, uuid: str = VNF) -> dict[str, Any]:
        """Return the pin of an instance once its vCPUs really have a quota."""

        def found() -> dict[str, Any] | None:
            pin: dict[str, Any] = self.get(f"/v1/pins/{uuid}").json()
            real = self.observed(uuid).get("qos", {}).get("vcpus", {}).get("0", {}).get("quota")
            return pin if (pin.get("status"), real) == ("applied", quota) else None

        result: dict[str, Any] = tests.eventually(found)
        return result


class LifeTest(CalendarTestCase):
    def test_a_window_from_its_begin_to_its_end(self) -> None:
        self.pin(qos={"vcpu_quota": 90000})
        before = self.wait_for_quota(90000)
        self.assertIsNone(before["calendar"])
        made = self.calendar()
        self.assertEqual(([], None, 1), (made["collisions"], made["window"], made["generation"]))
        self.assertEqual("2026-07-01T12:00:00Z", made["checked_until"])
        self.at("2026-06-01T20:00:00")
        pin = self.wait_for_quota(50000)
        window = {"start": "2026-06-01T20:00:00Z", "end": "2026-06-02T04:00:00Z"}
        self.assertEqual({"id": made["id"], "name": "nights", "window": window}, pin["calendar"])
        self.assertEqual(window, self.get(f"/v1/calendars/{made['id']}").json()["window"])
        self.at("2026-06-02T04:00:00")
        self.assertIsNone(self.wait_for_quota(90000)["calendar"])
        by = {"kind": "calendar", "id": made["id"], "name": "nights", **window}
        told = [line["by"] for line in self.history() if line["event"] == "changed"]
        self.assertEqual([by | {"ended": False}, by | {"ended": True}], told)

    def test_a_conductor_that_was_away(self) -> None:
        self.pin(qos={"vcpu_quota": 90000})
        self.wait_for_quota(90000)
        self.calendar()
        self.kongming.stop()
        self.at("2026-06-04T21:00:00")
        self.kongming.start()
        self.wait_for_quota(50000)
        changes = [line["by"]["start"] for line in self.history() if line["event"] == "changed"]
        self.assertEqual(["2026-06-04T20:00:00Z"], changes)

    def test_changed_and_deleted_inside_a_window(self) -> None:
        self.pin(qos={"vcpu_quota": 90000})
        made = self.calendar()
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(50000)
        self.assert_error(
            self.request(
                "PUT",
                f"/v1/calendars/{made['id']}",
                json=NIGHTS | {"generation": 7},
            ),
            409,
            "stale_calendar",
            "7 is stale",
        )
        changed = self.put(made, qos={"vcpu_quota": 20000}, generation=1)
        self.assertEqual((2, True), (changed["generation"], changed["all_projects"]))
        self.wait_for_quota(20000)
        answer = self.request("DELETE", f"/v1/calendars/{made['id']}")
        self.assertEqual(204, answer.status_code)
        self.wait_for_quota(90000)
        self.assert_error(self.get(f"/v1/calendars/{made['id']}"), 404, "calendar_not_found")

    def test_a_change_of_the_pin_inside_a_window(self) -> None:
        self.pin(qos={"vcpu_quota": 90000})
        self.calendar()
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(50000)
        body = {"qos": {"vcpu_quota": 70000}, "emulator": "0"}
        answer = self.request("PUT", f"/v1/pins/{VNF}", json=body)
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual(50000, answer.json()["qos"]["vcpu_quota"])
        self.at("2026-06-02T04:00:00")
        self.assertEqual("0", self.wait_for_quota(70000)["emulator"])

    def test_a_template_and_those_who_follow_one(self) -> None:
        for name, quota in (("day", 90000), ("night", 30000)):
            wish = {"emulator": "0", "qos": {"vcpu_quota": quota}}
            answer = self.request(
                "POST", "/v1/templates", json={"name": name, "shared": True, "wish": wish}
            )
            self.assertEqual(201, answer.status_code, answer.text)
        self.pin(template="day")
        self.pin(OTHER, qos={"vcpu_quota": 80000})
        made = self.calendar(template="night", qos=None, pins=None, following="day")
        self.assertEqual(("night", 1), (made["template"]["name"], made["template"]["version"]))
        self.assertEqual(("day", None), (made["following"]["name"], made["qos"]))
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(30000)
        self.wait_for_quota(80000, OTHER)
        answer = self.request("DELETE", f"/v1/templates/{made['template']['id']}")
        self.assert_error(answer, 409, "template_in_use", "named by calendars")

    def test_a_rollout_inside_a_window(self) -> None:
        body = {"name": "day", "shared": True, "wish": {"qos": {"vcpu_quota": 90000}}}
        template = self.request("POST", "/v1/templates", json=body).json()
        self.pin(template="day")
        self.calendar()
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(50000)
        wish = {"emulator": "0", "qos": {"vcpu_quota": 80000}}
        answer = self.request("PUT", f"/v1/templates/{template['id']}", json={"wish": wish})
        self.assertEqual(200, answer.status_code, answer.text)
        self.eventually(lambda: [row["state"] for row in rows("rollouts")] == ["completed"])
        pin = self.wait_for_quota(50000)
        self.assertEqual(("0", 2), (pin["emulator"], pin["template"]["version"]))
        self.at("2026-06-02T04:00:00")
        self.assertEqual("0", self.wait_for_quota(80000)["emulator"])

    def test_old_callers_see_none_of_it(self) -> None:
        old = {"OpenStack-API-Version": "resource_pin 1.10"}
        self.pin()
        self.assertNotIn("calendar", self.get(f"/v1/pins/{VNF}", headers=old).json())
        for path in ("/v1/calendars", f"/v1/pins/{VNF}/schedule"):
            self.assertEqual(404, self.get(path, headers=old).status_code)
        self.calendar()
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(50000)
        history = self.get(f"/v1/pins/{VNF}/history", headers=old).json()["history"]
        by = next(line["by"] for line in history if line["event"] == "changed")
        self.assertEqual({"kind", "id"}, set(by))


class CollisionTest(CalendarTestCase):
    def test_what_collides_is_refused_or_skipped(self) -> None:
        self.pin(**WISH)
        self.pin(OTHER, cpu_policy="dedicated", vcpus={"*": "8-9"})
        self.wait_for("applied")
        wish = {"vcpus": {"*": "8-11"}}
        answer = self.request("POST", "/v1/templates", json={"name": "wide", "wish": wish})
        self.assertEqual(201, answer.status_code, answer.text)
        body = {key: value for key, value in NIGHTS.items() if key != "qos"} | {"template": "wide"}
        answer = self.request("POST", "/v1/calendars", json=body)
        window = "window from 2026-06-01T20:00:00Z to 2026-06-02T04:00:00Z, 30 in all"
        held = f"held by the pin of instance {OTHER}"
        self.assert_error(answer, 409, "calendar_collides", VNF, window, held)
        self.assertEqual([], rows("calendars"))
        made = self.calendar(template="wide", qos=None, on_collision="skip")
        (collision,) = made["collisions"]
        self.assertEqual(
            (VNF, "one", "2026-06-01T20:00:00Z", "2026-06-02T04:00:00Z", 30),
            tuple(collision[n] for n in ("instance_uuid", "host", "start", "end", "windows")),
        )
        self.at("2026-06-01T20:00:00")
        self.eventually(lambda: self.history()[-1]["event"] == "refused")
        line = self.history()[-1]
        self.assertIn(OTHER, line["reason"])
        self.assertEqual((made["id"], False), (line["by"]["id"], line["by"]["ended"]))
        self.assertEqual("applied", self.get(f"/v1/pins/{VNF}").json()["status"])
        # then it fits, in the same window
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{OTHER}").status_code)
        self.eventually(lambda: [row["instance_uuid"] for row in rows("pins")] == [VNF])
        self.eventually(lambda: self.observed()["vcpus"]["0"] == "8-11")


class ScheduleTest(CalendarTestCase):
    def test_what_will_be_in_force_when(self) -> None:
        self.pin()
        self.pin(OFF)
        nights = self.calendar(pins=[VNF, OFF], timezone="UTC")
        once = self.calendar(
            name="once",
            cron=None,
            timezone=None,
            duration_s=None,
            start="2026-06-01T23:00:00Z",
            end="2026-06-02T01:00:00+01:00",
            priority=3,
            qos={"vcpu_quota": 10000},
        )
        answer = self.get(f"/v1/pins/{VNF}/schedule?days=2").json()
        self.assertEqual("2026-06-03T12:00:00Z", answer["until"])
        self.assertEqual(
            [
                ("2026-06-01T22:00:00Z", "2026-06-01T23:00:00Z", nights["id"], 0, 50000),
                ("2026-06-01T23:00:00Z", "2026-06-02T00:00:00Z", once["id"], 3, 10000),
                ("2026-06-02T00:00:00Z", "2026-06-02T06:00:00Z", nights["id"], 0, 50000),
                ("2026-06-02T22:00:00Z", "2026-06-03T06:00:00Z", nights["id"], 0, 50000),
            ],
            [
                (
                    *(entry["start"], entry["end"], entry["calendar"]["id"], entry["priority"]),
                    entry["qos"]["vcpu_quota"],
                )
                for entry in answer["schedule"]
            ],
        )
        whole = {"start": "2026-06-01T22:00:00Z", "end": "2026-06-02T06:00:00Z"}
        self.assertEqual(whole, answer["schedule"][2]["window"])
        preview = self.get(f"/v1/calendars/{nights['id']}/preview?days=1").json()
        self.assertEqual(
            [
                ("2026-06-01T22:00:00Z", "2026-06-01T23:00:00Z", [VNF]),
                ("2026-06-01T22:00:00Z", "2026-06-02T06:00:00Z", [OFF]),
                ("2026-06-02T00:00:00Z", "2026-06-02T06:00:00Z", [VNF]),
            ],
            [(e["start"], e["end"], e["instances"]) for e in preview["preview"]],
        )
        self.assertEqual(whole, preview["preview"][0]["window"])

    def test_as_much_as_an_answer_may_have(self) -> None:
        self.pin()
        often = self.calendar(cron="*/5 * * * *", duration_s=60)
        for path in (f"pins/{VNF}/schedule", f"calendars/{often['id']}/preview"):
            answer = self.get(f"/v1/{path}?days=366").json()
            found = answer.get("schedule") or answer["preview"]
            self.assertEqual(1000, len(found))
            self.assertEqual("2026-06-04T23:20:00Z", answer["until"])

    def test_what_is_overruled_is_not_looked_at_without_end(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.v1.schedules._MOST_LOOKED_AT", 20))
        self.pin()
        self.pin(OFF)
        often = self.calendar(cron="*/5 * * * *", duration_s=60, pins=[VNF, OFF])
        self.calendar(duration_s=31 * 86400, cron="0 0 * * *", priority=1)
        schedule = self.get(f"/v1/pins/{VNF}/schedule?days=366").json()
        self.assertEqual("2026-06-01T12:25:00Z", schedule["until"])
        self.assertEqual(["nights"], [e["calendar"]["name"] for e in schedule["schedule"]])
        preview = self.get(f"/v1/calendars/{often['id']}/preview?days=366").json()
        self.assertEqual("2026-06-01T12:11:00Z", preview["until"])
        self.assertEqual([[OFF]] * 3, [entry["instances"] for entry in preview["preview"]])

    def test_a_calendar_without_pins_and_one_that_is_not_in_use(self) -> None:
        self.pin()
        made = self.calendar()
        self.request("DELETE", f"/v1/pins/{VNF}")
        preview = self.get(f"/v1/calendars/{made['id']}/preview?days=1").json()["preview"]
        self.assertEqual([[]], [entry["instances"] for entry in preview])
        self.put(made, enabled=False)
        self.assertEqual([], self.get(f"/v1/calendars/{made['id']}/preview").json()["preview"])

    def test_lists(self) -> None:
        self.pin()
        made = [self.calendar(name=name) for name in ("b", "a", "c")]
        found = self.get("/v1/calendars?sort=name&limit=2").json()
        self.assertEqual(["a", "b"], [calendar["name"] for calendar in found["calendars"]])
        rest = self.get(found["next"].removeprefix(self.kongming.url)).json()
        self.assertEqual([made[2]["id"]], [calendar["id"] for calendar in rest["calendars"]])
        (named,) = self.get("/v1/calendars?name=a").json()["calendars"]
        self.assertEqual(made[1]["id"], named["id"])


class MetadataTest(CalendarTestCase):
    def options(self) -> dict[str, dict[str, Any]]:
        return {"notifications": {"handlers": ["versioned"]}}

    def test_servers_with_an_entry(self) -> None:
        told = self.useFixture(nova.Publisher("fake://"))
        self.eventually(lambda: "Listening to Nova" in self.kongming.log.output)
        event = "instance.update"
        told.send(event, nova.payload(event, VNF, {"tier": "batch", "x": "y"}, state="active"))
        told.send(event, nova.payload(event, OTHER, {"tier": "gold"}, state="active"))
        self.eventually(lambda: len(rows("server_metadata")) == 3)
        self.pin(qos={"vcpu_quota": 90000})
        self.pin(OTHER, qos={"vcpu_quota": 80000})
        made = self.calendar(pins=None, metadata={"tier": "batch"})
        self.assertEqual(({"tier": "batch"}, None), (made["metadata"], made["pins"]))
        self.at("2026-06-01T20:00:00")
        self.wait_for_quota(50000)
        self.wait_for_quota(80000, OTHER)
        told.send(event, nova.payload(event, VNF, {"tier": "gold"}, state="active"))
        self.eventually(lambda: "batch" not in [row["value"] for row in rows("server_metadata")])
        self.wait_for_quota(90000)
        event = "instance.delete.end"
        told.send(event, nova.payload(event, OTHER, {}, host=None, state="deleted"))
        self.eventually(lambda: {row["instance_uuid"] for row in rows("server_metadata")} == {VNF})


class OwnerTest(AuthTestCase):
    """Who may see and change calendars, and whose pins they reach."""

    def test_projects(self) -> None:
        self.post("admin", VNF)
        self.post("admin", OTHER)
        own = {key: value for key, value in NIGHTS.items() if key != "all_projects"}
        made = self.ask("telco", "POST", "/v1/calendars", json=own)
        self.assertEqual((201, "telco"), (made.status_code, made.json()["project_id"]))
        path = f"/v1/calendars/{made.json()['id']}"
        for token, seen in (("telco", 200), ("admin", 200), ("shop", 404)):
            self.assertEqual(seen, self.ask(token, "GET", path).status_code)
            self.assertEqual(seen, self.ask(token, "GET", f"{path}/preview").status_code)
            listed = self.ask(token, "GET", "/v1/calendars").json()["calendars"]
            self.assertEqual(int(seen == 200), len(listed))
        for method, body in (("PUT", own), ("DELETE", None)):
            answer = self.ask("shop", method, path, json=body)
            self.assert_error(answer, 404, "calendar_not_found")
        # neither the pins of others, nor whether there are any
        messages = {
            self.ask("telco", "POST", "/v1/calendars", json=own | {"pins": [uuid]})
            .json()["message"]
            .replace(uuid, "")
            for uuid in (OTHER, OFF)
        }
        self.assertEqual({"pins.0: instance  has no pin that this calendar may change"}, messages)
        self.assertEqual(404, self.ask("shop", "GET", f"/v1/pins/{VNF}/schedule").status_code)
        self.assertEqual(204, self.ask("telco", "DELETE", path).status_code)

    def test_for_all_projects(self) -> None:
        self.post("admin", VNF)
        self.post("admin", OTHER)
        both = NIGHTS | {"pins": [VNF, OTHER]}
        answer = self.ask("telco", "POST", "/v1/calendars", json=both)
        self.assert_error(answer, 403, "forbidden", "calendars:create_for_all")
        made = self.ask("admin", "POST", "/v1/calendars", json=both).json()
        for token in ("telco", "shop"):
            self.assertEqual(404, self.ask(token, "GET", f"/v1/calendars/{made['id']}").status_code)
        # but who may see a pin sees what will be in force for it
        (first, *_) = self.ask("shop", "GET", f"/v1/pins/{OTHER}/schedule").json()["schedule"]
        self.assertEqual({"id": made["id"], "name": "nights"}, first["calendar"])

    def test_who_may_not_change_pins(self) -> None:
        self.kongming.set_policy({pin_rules.UPDATE: base_rules.ADMIN})
        body = {"name": "vnf", "wish": {"qos": {"vcpu_quota": 50000}}}
        self.assertEqual(201, self.ask("telco", "POST", "/v1/templates", json=body).status_code)
        own = {key: value for key, value in NIGHTS.items() if key not in ("all_projects", "pins")}
        for which in ({"following": "vnf"}, {"metadata": {"tier": "batch"}}):
            answer = self.ask("telco", "POST", "/v1/calendars", json=own | which)
            self.assert_error(answer, 403, "forbidden", pin_rules.UPDATE)
        self.assertEqual([], rows("calendars"))

    def test_templates_that_are_not_shared(self) -> None:
        self.post("telco", VNF)
        for name, shared in (("quiet", False), ("loud", True)):
            body = {"name": name, "shared": shared, "wish": {"qos": {"vcpu_quota": 50000}}}
            answer = self.ask("admin", "POST", "/v1/templates", json=body)
            self.assertEqual(201, answer.status_code, answer.text)
            body = {key: value for key, value in NIGHTS.items() if key != "qos"} | {
                "template": name,
                "priority": int(shared),
            }
            made = self.ask("admin", "POST", "/v1/calendars", json=body)
            self.assertEqual(201, made.status_code, made.text)
            shown = {
                token: self.ask(token, "GET", f"/v1/pins/{VNF}/schedule?days=1").json()
                for token in ("admin", "telco")
            }
            names = {
                token: (answer["schedule"][0]["template"] or {}).get("name")
                for token, answer in shown.items()
            }
            self.assertEqual({"admin": name, "telco": name if shared else None}, names)

    def test_who_has_no_project(self) -> None:
        self.post("admin", VNF)
        answer = self.ask("unscoped", "POST", "/v1/calendars", json=NIGHTS)
        self.assert_error(answer, 400, "invalid_field", "project_id: is missing")
