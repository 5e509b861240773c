# SPDX-License-Identifier: Apache-2.0
"""A table of calendars that are refused: each row is a test, and none leaves a trace."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from kongming.db import models
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF, rows

GOOD: dict[str, Any] = {
    "name": "nights",
    "cron": "0 22 * * *",
    "timezone": "Europe/Paris",
    "duration_s": 3600,
    "all_projects": True,
    "pins": [VNF],
    "qos": {"vcpu_quota": 50000},
}
_NO_CRON = dict.fromkeys(("cron", "timezone", "duration_s"))
_ONCE = _NO_CRON | {"start": "2999-01-01T00:00:00Z", "end": "2999-01-02T00:00:00Z"}


@dataclasses.dataclass(frozen=True)
class Row:
    """What differs from `GOOD` (None: it is not there), and words of the message."""

    changes: dict[str, Any]
    words: Sequence[str]
    code: str = "invalid_field"
    status: int = 400


ROWS = {
    # when
    "cron_never": Row({"cron": "0 0 31 2 *"}, ["cron: never fires"]),
    "cron_malformed": Row({"cron": "0 25 * * *"}, ["cron: Bad hour"]),
    "cron_fields": Row({"cron": "0 0 22 * * *"}, ["cron: must have five fields"]),
    "cron_word": Row({"cron": "@daily"}, ["cron: must have five fields"]),
    "cron_empty": Row({"cron": ""}, ["cron: must have five fields"]),
    "cron_long": Row({"cron": f"{'0,' * 200}0 * * * *"}, ["cron: must have five fields"]),
    "cron_each_minute": Row({"cron": "* * * * *"}, ["cron: fires at 00:00 and at 00:01"]),
    "cron_null": Row({"cron": "0 0 * * *\0"}, ["cron: Bad day-of-week"]),
    "cron_type": Row({"cron": 5}, ["cron: must be a string"]),
    "cron_missing": Row({"cron": None}, ["cron: is missing"]),
    "zone_unknown": Row({"timezone": "Mars/Olympus"}, ["timezone: must be the name"]),
    "zone_case": Row({"timezone": "europe/paris"}, ["timezone: must be the name"]),
    "zone_path": Row({"timezone": "../Europe/Paris"}, ["timezone: must be the name"]),
    "zone_folder": Row({"timezone": "Europe"}, ["timezone: must be the name"]),
    "zone_null": Row({"timezone": "UTC\0"}, ["timezone: must be the name"]),
    "zone_missing": Row({"timezone": None}, ["timezone: is missing"]),
    "duration_zero": Row({"duration_s": 0}, ["duration_s: must be from 60 to 2678400"]),
    "duration_negative": Row({"duration_s": -3600}, ["duration_s: must be from 60"]),
    "duration_short": Row({"duration_s": 59}, ["duration_s: must be from 60"]),
    "duration_long": Row({"duration_s": 2678401}, ["duration_s: must be from 60"]),
    "duration_huge": Row({"duration_s": 10**40}, ["duration_s: must be from 60"]),
    "duration_fraction": Row({"duration_s": 60.5}, ["duration_s: must be an integer"]),
    "duration_missing": Row({"duration_s": None}, ["duration_s: is missing"]),
    "once_reversed": Row(_ONCE | {"end": "2998-01-01T00:00:00Z"}, ["end: must be after start"]),
    "once_empty": Row(_ONCE | {"end": "2999-01-01T00:00:00Z"}, ["end: must be after start"]),
    "once_long": Row(_ONCE | {"end": "2999-03-01T00:00:00Z"}, ["end: must be from 60"]),
    "once_far": Row(_ONCE, ["start: must be within 3660 days"]),
    "once_over": Row(
        _NO_CRON | {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"},
        ["end: is over"],
    ),
    "once_local": Row(_ONCE | {"start": "2999-01-01T00:00:00"}, ["start: must be a time with"]),
    "once_fraction": Row(_ONCE | {"end": "2999-01-02T00:00:00.5Z"}, ["end: must be a time"]),
    "once_no_time": Row(_ONCE | {"start": "soon"}, ["start: must be a time"]),
    "once_year_0": Row(_ONCE | {"start": "0000-01-01T00:00:00Z"}, ["start: must be a time"]),
    "once_without_end": Row(_ONCE | {"end": None}, ["end: is missing"]),
    "both": Row({"start": "2999-01-01T00:00:00Z"}, ["cron: does not go with start"]),
    "neither": Row(_NO_CRON, ["cron: is missing"]),
    # what
    "qos_and_template": Row({"template": "gold"}, ["qos: does not go with template"]),
    "nothing": Row({"qos": None}, ["template: is missing, or qos"]),
    "qos_empty": Row({"qos": {}}, ["qos: must name some"]),
    "qos_unknown": Row({"qos": {"speed": 1}}, ["qos.speed: unknown field"]),
    "qos_bounds": Row({"qos": {"vcpu_quota": 1}}, ["qos.vcpu_quota"]),
    "template_unknown": Row(
        {"qos": None, "template": "tin"}, ["template: there is no template tin"]
    ),
    "template_form": Row({"qos": None, "template": "a/b/c"}, ["template: must read NAME"]),
    "role_missing": Row(
        {"qos": None, "template": "gold/media"}, ["template: has no roles, so none can be media"]
    ),
    "role_unknown": Row({"qos": None, "template": "set/x"}, ["template: has no role x"]),
    "role_not_named": Row({"qos": None, "template": "set"}, ["template: a role must be named"]),
    "version_unknown": Row(
        {"qos": None, "template": "gold", "template_version": 7},
        ["template_version: gold has no such version"],
    ),
    "version_zero": Row(
        {"qos": None, "template": "gold", "template_version": 0}, ["template_version: must be"]
    ),
    "version_huge": Row(
        {"qos": None, "template": "gold", "template_version": 2**31}, ["template_version: must be"]
    ),
    "version_alone": Row({"template_version": 1}, ["template_version: belongs to template"]),
    "only_qos_alone": Row({"only_qos": True}, ["only_qos: belongs to template"]),
    "only_qos_without": Row(
        {"qos": None, "template": "gold", "only_qos": True}, ["only_qos: template gold has no qos"]
    ),
    "fits_no_host": Row(
        {"qos": None, "template": "vast", "priority": 1},
        [VNF, "numa_nodes"],
        code="calendar_collides",
        status=409,
    ),
    # which
    "pins_empty": Row({"pins": []}, ["pins: must be a list of 1 to 256"]),
    "pins_many": Row({"pins": [VNF] * 257}, ["pins: must be a list of 1 to 256"]),
    "pins_twice": Row({"pins": [VNF, VNF.upper()]}, ["pins.1: is listed twice"]),
    "pins_no_uuid": Row({"pins": ["vnf"]}, ["pins.0: must be the UUID"]),
    "pins_type": Row({"pins": {VNF: True}}, ["pins: must be a list"]),
    "pins_number": Row({"pins": [1]}, ["pins.0: must be the UUID"]),
    "pins_unknown": Row({"pins": [VNF, UNKNOWN]}, [f"pins.1: instance {UNKNOWN} has no pin"]),
    "pins_of_others": Row({"all_projects": None}, [f"pins.0: instance {VNF} has no pin"]),
    "pins_and_following": Row({"following": "gold"}, ["following: does not go with pins"]),
    "no_pins": Row({"pins": None}, ["pins: is missing, or following or metadata"]),
    "following_unknown": Row({"pins": None, "following": "tin"}, ["following: there is no"]),
    "following_role": Row({"pins": None, "following": "set/a"}, ["following: names no role"]),
    "metadata_empty": Row({"pins": None, "metadata": {}}, ["metadata: must be an object with one"]),
    "metadata_two": Row({"pins": None, "metadata": {"a": "b", "c": "d"}}, ["with one key"]),
    "metadata_long": Row({"pins": None, "metadata": {"a": "b" * 256}}, ["metadata: key and"]),
    "metadata_null": Row({"pins": None, "metadata": {"a": "\0"}}, ["metadata: key and value"]),
    "metadata_type": Row({"pins": None, "metadata": {"a": 1}}, ["metadata.a: must be a string"]),
    "metadata_not_followed": Row(
        {"pins": None, "metadata": {"tier": "batch"}},
        ["metadata: no conductor hears Nova's notifications"],
        code="metadata_not_followed",
        status=409,
    ),
    # the rest
    "name_missing": Row({"name": None}, ["name: is missing"]),
    "name_long": Row({"name": "x" * 256}, ["name: must be 1 to 255"]),
    "name_null": Row({"name": "a\0b"}, ["name: must be 1 to 255 printable"]),
    "priority_bounds": Row({"priority": 1001}, ["priority: must be an integer from -1000"]),
    "priority_huge": Row({"priority": -(2**63)}, ["priority: must be an integer from -1000"]),
    "on_collision": Row({"on_collision": "hope"}, ["on_collision: must be one of refuse, skip"]),
    "enabled": Row({"enabled": "yes"}, ["enabled: must be true or false"]),
    "unknown_field": Row({"colour": "red"}, ["colour: unknown field"]),
    "generation": Row({"generation": 1}, ["generation: unknown field"]),
    "owner": Row({"project_id": "shop"}, ["project_id: unknown field"]),
}


def rows_are_tests(cls: type) -> type:
    """Give a class a test for each row, of a POST, and of a PUT where that has the field."""

    def test(row: Row, put: bool) -> Callable[[Any], None]:
        return lambda self: self.check(row, put)

    for name, row in ROWS.items():
        setattr(cls, f"test_post_{name}", test(row, False))
        if name not in ("pins_of_others", "generation"):
            setattr(cls, f"test_put_{name}", test(row, True))
    return cls


@rows_are_tests
class RefusedTest(base.SharedTestCase):
    calendar: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        talk = cls("test_query")
        cls.kongming.create_pin({"instance_uuid": VNF})
        for template in (
            {"name": "gold", "wish": {"emulator": "0"}},
            {"name": "set", "roles": {"a": {}, "b": {}}},
            {"name": "vast", "wish": {"numa_nodes": 7}},
        ):
            talk.request("POST", "/v1/templates", json=template).raise_for_status()
        # one that began on its own would be a trace that nobody left
        made = talk.request("POST", "/v1/calendars", json=GOOD | {"enabled": False})
        made.raise_for_status()
        cls.calendar = f"/v1/calendars/{made.json()['id']}"

    def check(self, row: Row, put: bool) -> None:
        body = {key: value for key, value in (GOOD | row.changes).items() if value is not None}
        before = self.state()
        if put:
            answer = self.request("PUT", self.calendar, json=body)
        else:
            answer = self.request("POST", "/v1/calendars", json=body)
        self.assert_error(answer, row.status, row.code, *row.words)
        self.assertEqual(before, self.state())

    def state(self) -> dict[str, Any]:
        """Return all tables but that of the hosts, who report."""
        return {name: rows(name) for name in models.Base.metadata.tables if name != "hosts"}

    def test_query(self) -> None:
        for path in (f"{self.calendar}/preview", f"/v1/pins/{VNF}/schedule"):
            for query in ("days=0", "days=367", "days=-1", "days=x", "days=", "days=1&days=1"):
                self.assert_error(self.get(f"{path}?{query}"), 400, "invalid_field", "days: ")
            self.assert_error(self.get(f"{path}?hours=1"), 400, "invalid_field", "hours: unknown")
        self.assert_error(self.get(f"/v1/pins/{OFF}/schedule"), 404, "pin_not_found")
        self.assert_error(self.get(f"/v1/calendars/{UNKNOWN}/preview"), 404, "calendar_not_found")
        self.assert_error(self.get("/v1/calendars/nights"), 404, "calendar_not_found")

    def test_stale(self) -> None:
        before = self.state()
        answer = self.request("PUT", self.calendar, json=GOOD | {"generation": 9})
        self.assert_error(answer, 409, "stale_calendar", "generation: 9 is stale")
        answer = self.request("PUT", f"/v1/calendars/{OTHER}", json=GOOD)
        self.assert_error(answer, 404, "calendar_not_found", OTHER)
        self.assertEqual(before, self.state())
