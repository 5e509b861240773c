# SPDX-License-Identifier: Apache-2.0
"""``openstack resource pin calendar …`` and ``… schedule show``, against the whole system."""

import datetime
from typing import Any

import fixtures

from kongming import clock
from kongming.tests.embedded import base, test_cli
from kongming.tests.embedded.base import UNKNOWN, VNF

#: An hour of each day that ends as the next one begins: its window is always there.
DAILY = "--timezone Europe/Berlin --duration 24h"


class CalendarTest(test_cli.Commands, base.EmbeddedTestCase):
    def setUp(self) -> None:
        # on a day of 24 hours, of which some are left
        noon = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
        self.useFixture(fixtures.MonkeyPatch("kongming.clock.now", lambda: noon))
        super().setUp()
        self.ok("resource pin create vnf --vcpu *=4-7 --wait")

    def cron(self, *arguments: str) -> Any:
        """Make a calendar with windows that follow each other without a gap."""
        words = ["--os-cloud", "test", "resource", "pin", "calendar", "create", "daily"]
        words += ["--cron", "0 0 * * *", *DAILY.split()]
        words += [word for argument in arguments for word in argument.split()]
        said = self.shell.plain(*words, "-f", "json")
        self.assertEqual(0, said.status, said.err)
        return said.json

    def test_life(self) -> None:
        made = self.cron("--qos vcpu_quota=50000 --pin vnf --all-projects --priority 5")
        self.assertEqual(
            ("0 0 * * *", 86400, {"vcpu_quota": 50000}, [VNF], 5, []),
            tuple(map(made.get, ("cron", "duration_s", "qos", "pins", "priority", "collisions"))),
        )
        self.eventually(lambda: "qos" in self.observed())
        shown = self.data("resource pin calendar show daily")
        self.assertEqual(made["id"], self.data("resource pin calendar show", made["id"])["id"])
        self.assertTrue(shown["window"])
        # what is shown is the wish of the pin with that of the calendar over it
        self.refused("resource pin set vnf --emulator 1", words="Calendar daily is in force until")
        pin = self.data("resource pin set vnf --replace --vcpu *=4-7 --emulator 1 --wait")
        self.assertEqual(("daily", "1"), (pin["calendar"]["name"], pin["emulator"]))
        (listed,) = self.data("resource pin calendar list --name daily")
        self.assertEqual((made["id"], 5), (listed["ID"], listed["Priority"]))
        previewed = self.data("resource pin calendar preview daily --days 3")
        self.assertEqual([VNF], previewed[0]["Instances"])
        scheduled = self.data("resource pin schedule show vnf --days 3")
        self.assertEqual(
            [(one["Start"], one["End"]) for one in previewed],
            [(one["Start"], one["End"]) for one in scheduled],
        )
        self.assertEqual("daily", scheduled[0]["Calendar"]["name"])

        changed = self.data("resource pin calendar set daily --no-enabled --name nightly")
        self.assertEqual((False, 5), (changed["enabled"], changed["priority"]))
        self.eventually(lambda: "qos" not in self.observed())
        start, end = (clock.now() + datetime.timedelta(days=days) for days in (7, 8))
        once = f"--start {start:%Y-%m-%dT00:00:00Z} --end {end:%Y-%m-%dT00:00:00Z}"
        changed = self.data("resource pin calendar set nightly", once)
        self.assertEqual((None, f"{start:%Y-%m-%dT00:00:00Z}"), (changed["cron"], changed["start"]))
        self.assertEqual("", self.ok("resource pin calendar delete nightly").out)
        self.assertEqual([], self.data("resource pin calendar list"))

    def test_templates(self) -> None:
        self.ok("resource pin template create gold --vcpu *=4-5 --qos vcpu_quota=70000 --shared")
        made = self.cron("--template gold --only-qos --pin vnf --all-projects")
        self.assertEqual(("gold", 1), (made["template"]["name"], made["template"]["version"]))
        changed = self.data("resource pin calendar set daily --priority 1")
        self.assertEqual((made["template"], True), (changed["template"], changed["only_qos"]))
        changed = self.data("resource pin calendar set daily --following gold")
        self.assertEqual(("gold", None), (changed["following"]["name"], changed["pins"]))
        changed = self.data("resource pin calendar set daily --qos vcpu_quota=50000")
        self.assertEqual((None, {"vcpu_quota": 50000}), (changed["template"], changed["qos"]))

    def test_refusals(self) -> None:
        self.cron("--qos vcpu_quota=50000 --pin vnf --all-projects")
        for arguments, words in (
            ("show x", "No calendar has the name or id 'x'."),
            (f"show {UNKNOWN}", "resource_pin.calendar_not_found: "),
            ("preview daily --days 0", "days: must be"),
            ("create x", "is missing"),
            ("set daily --timezone Mars/Base", "timezone: "),
            ("set daily --pin nobody", "No instance has the name or UUID 'nobody'."),
            ("delete x", "No calendar has the name or id 'x'"),
        ):
            self.refused("resource pin calendar", arguments, words=words)
        self.refused(f"resource pin schedule show {UNKNOWN}", words="", code="pin_not_found")
        old = "--os-resource-pin-api-version 1.10 resource pin calendar list"
        self.refused(old, words="This needs version 1.11 of the API, not 1.10")
        for option in ("--duration 1w", "--metadata x"):
            said = self.shell.run("resource pin calendar create x", option)
            self.assertEqual((2, ""), (said.status, said.out))
