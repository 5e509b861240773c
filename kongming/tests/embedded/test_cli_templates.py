# SPDX-License-Identifier: Apache-2.0
"""``openstack resource pin template …`` and ``… rollout …``, against the whole system."""

import json
import pathlib
from typing import Any

import fixtures

from kongming.tests.embedded import base, test_cli
from kongming.tests.embedded.base import OTHER, UNKNOWN, VNF

GOLD = "resource pin template create gold --cpu-policy dedicated --vcpu *=4-7 --emulator 0"


class TemplateTest(test_cli.Commands, base.EmbeddedTestCase):
    def file(self, content: Any) -> str:
        """Return the name of a file with some content."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "content"
        path.write_text(json.dumps(content))
        return str(path)

    def test_life(self) -> None:
        made = self.data(GOLD)
        wish = {"cpu_policy": "dedicated", "vcpus": {"*": "4-7"}, "emulator": "0"}
        self.assertEqual(("gold", False, 1, wish), tuple(map(made.get, _SHOWN)))
        self.assertEqual(made, self.data("resource pin template show gold"))
        self.assertEqual(made, self.data("resource pin template show", made["id"]))
        (listed,) = self.data("resource pin template list --name gold")
        self.assertEqual((made["id"], 1), (listed["ID"], listed["Version"]))
        self.assertEqual([], self.data("resource pin template list --project nobody"))

        changed = self.data("resource pin template set gold --emulator 1 --shared --batch-size 5")
        self.assertEqual(("gold", True, 2), tuple(map(changed.get, _SHOWN[:3])))
        self.assertEqual(wish | {"emulator": "1"}, changed["wish"])
        changed = self.data("resource pin template unset gold --emulator --no-shared")
        self.assertNotIn("emulator", changed["wish"])
        self.assertFalse(changed["shared"])
        changed = self.data("resource pin template set gold --replace --emulator 2")
        self.assertEqual({"emulator": "2"}, changed["wish"])

        versions = self.data("resource pin template version list gold")
        self.assertEqual([1, 2, 3, 4], [version["Version"] for version in versions])
        first = self.data("resource pin template version show gold 1")
        self.assertEqual((1, wish), (first["version"], first["wish"]))
        self.assertEqual("", self.ok("resource pin template delete gold").out)
        self.assertEqual([], self.data("resource pin template list"))

    def test_roles(self) -> None:
        roles = {"media": {"emulator": "1"}, "control": {"emulator": "2"}}
        made = self.data("resource pin template create vnf --roles", self.file(roles))
        self.assertEqual((roles, None), (made["roles"], made["wish"]))
        changed = self.data("resource pin template set vnf --role media --vcpu *=4")
        self.assertEqual({"emulator": "1", "vcpus": {"*": "4"}}, changed["roles"]["media"])
        self.assertEqual({"emulator": "2"}, changed["roles"]["control"])
        self.data("resource pin template set vnf --role edge --emulator 3")
        changed = self.data("resource pin template unset vnf --role media --vcpus")
        self.assertEqual(roles | {"edge": {"emulator": "3"}}, changed["roles"])
        changed = self.data("resource pin template set vnf --roles", self.file({"one": {}}))
        self.assertEqual({"one": {}}, changed["roles"])
        self.refused("resource pin template set vnf --emulator 1", words="vnf has roles; name one")
        self.ok(GOLD)
        self.refused("resource pin template set gold --role x --emulator 1", words="has no roles")

    def test_follow(self) -> None:
        made = self.data(GOLD, "--shared")
        pin = self.data("resource pin create vnf --template gold --iothread 1=2 --wait")
        self.assertEqual(("gold", 1), (pin["template"]["name"], pin["template"]["version"]))
        self.assertEqual({"iothreads": {"1": "2"}}, pin["overrides"])
        self.assertEqual("4-7", self.observed()["vcpus"]["3"])
        self.assertIn("| user of gold 1 noauth |", self.ok("resource pin history vnf").out)

        pin = self.data("resource pin set vnf --emulator 3 --wait")
        self.assertEqual({"iothreads": {"1": "2"}, "emulator": "3"}, pin["overrides"])
        pin = self.data("resource pin unset vnf --emulator --iothreads --wait")
        self.assertEqual(({}, "0"), (pin["overrides"], pin["emulator"]))
        self.refused("resource pin template delete gold", words="gold", code="template_in_use")

        pin = self.data("resource pin unset vnf --template --wait")
        self.assertEqual((None, "0"), (pin["template"], pin["emulator"]))
        pin = self.data("resource pin set vnf --replace --template", made["id"], "--wait")
        self.assertEqual(made["id"], pin["template"]["id"])
        asked = "resource pin candidate list --size vcpus=4,memory=1GiB --host two"
        (found,) = self.data(asked, "--template gold --project noauth")
        self.assertEqual("4-7", found["Placement"]["vcpus"]["0"])

    def test_rollout(self) -> None:
        self.ok("resource pin template create gold --vcpu *=4-5 --shared")
        for instance in ("vnf", "other"):
            self.ok("resource pin create", instance, "--template gold --wait")
        said = self.ok("resource pin template set gold --vcpu *=6-7 --batch-size 2 --wait -f json")
        self.assertRegex(said.err, r" completed 2 of 2 pins\n\Z")
        self.assertEqual((2, 2), (said.json["version"], said.json["current"]))
        for uuid in (VNF, OTHER):
            self.assertEqual("6-7", self.observed(uuid)["vcpus"]["0"])
        (listed,) = self.data("resource pin rollout list --state completed")
        self.assertEqual(("gold", 2, 2), tuple(map(listed.get, ("Template", "Done", "Total"))))
        told = [event["By"] for event in self.data("resource pin history vnf") if event["By"]]
        self.assertEqual(("rollout", listed["ID"]), (told[-1]["kind"], told[-1]["id"]))

        back = self.data("resource pin rollout create gold 1 --wait")
        self.assertEqual(("completed", 1, 2), tuple(map(back.get, ("state", "version", "former"))))
        self.assertEqual("4-5", self.observed()["vcpus"]["0"])
        self.assertEqual("completed", self.data("resource pin rollout show", back["id"])["state"])
        self.assertEqual("", self.ok("resource pin rollout wait", back["id"]).out)
        self.refused("resource pin rollout cancel", back["id"], words="", code="rollout_is_over")

        self.fleet.fail_next(OTHER, 1, "Invalid argument")
        said = self.shell.run("resource pin rollout create gold 2 --batch-size 2 --wait")
        self.assertEqual((1, ""), (said.status, said.out))
        self.assertRegex(
            said.err.splitlines()[-1], r"Rollout [0-9a-f-]{36} has returned: .*Invalid"
        )
        self.eventually(lambda: self.observed()["vcpus"]["0"] == "4-5")

    def test_refusals(self) -> None:
        self.ok(GOLD)
        for arguments, words in (
            ("template show x", "No template has the name or id 'x'."),
            ("template delete x", "No template has the name or id 'x'"),
            (f"template show {UNKNOWN}", "resource_pin.template_not_found: "),
            ("template version show gold 7", "resource_pin.template_version_not_found: "),
            ("template create gold --emulator 1", "resource_pin.template_exists: "),
            ("template create bad --emulator x", "wish.emulator: 'x' is neither"),
            ("template create bad --roles /nowhere", "--roles /nowhere: "),
            ("template create bad --roles /x --emulator 1", "leave the other options out"),
            ("template set gold", "There is nothing to set"),
            ("template unset gold", "There is nothing to unset"),
            ("template set gold --emulator 1 --batch-size 0", "batch_size: must be an integer"),
            ("create vnf --template none", "template: "),
            (f"rollout show {UNKNOWN}", "resource_pin.rollout_not_found: "),
            ("rollout show ../pins", "HTTP 404"),
            ("rollout cancel ../templates", "HTTP 404"),
            (f"rollout wait {UNKNOWN}", "resource_pin.rollout_not_found: "),
            ("rollout create none 1", "template: there is no such template"),
            ("rollout create gold 9", "version: the template has 1 to 1"),
        ):
            self.refused("resource pin", arguments, words=words)
        old = "--os-resource-pin-api-version 1.9 resource pin"
        for noun in ("template", "rollout"):
            self.refused(old, noun, "list", words="This needs version 1.10 of the API, not 1.9")

    def test_several_of_a_name(self) -> None:
        self.ok(GOLD)
        self.ok("resource pin template create gold --project telco --emulator 1")
        words = "Several templates are named 'gold': "
        self.refused("resource pin template show gold", words=words)


_SHOWN = ("name", "shared", "version", "wish")
