# SPDX-License-Identifier: Apache-2.0

import importlib.metadata

from osc_lib import exceptions

from kongming.osc import base as osc
from kongming.osc import plugin
from kongming.tests import base

GROUP = "openstack.resource_pin.v1"


class CommandsTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        entries = importlib.metadata.entry_points(group=GROUP)
        self.commands = {entry.name.replace("_", " "): entry for entry in entries}

    def test_each_is_there_and_says_what_it_does(self) -> None:
        self.assertIn("resource pin create", self.commands)
        for name, entry in self.commands.items():
            self.assertTrue(entry.load().__doc__, name)

    def test_none_begins_another(self) -> None:
        # "pin map host" could be a command with an argument, and a longer command
        for name in self.commands:
            longer = [other for other in self.commands if other.startswith(f"{name} ")]
            self.assertEqual([], longer, name)


class StructureTest(base.BareTestCase):
    def test_for_people(self) -> None:
        placement = {"vcpus": {"0": "4", "1": "5-7", "2": "5-7"}, "emulator": "0", "near": None}
        text = osc.Structure(placement).human_readable()
        self.assertEqual("vcpus: 0=4 1-2=5-7\nemulator: 0", text)
        self.assertEqual("0: 4\n1-2: 5", osc.Structure({"0": 4, "1": 5, "2": 5}).human_readable())
        self.assertEqual("a\nb=1", osc.Structure(["a", {"b": 1}]).human_readable())

    def test_for_programs(self) -> None:
        self.assertEqual({"1": "2"}, osc.Structure({"1": "2"}).machine_readable())

    def test_numbers_and_sizes(self) -> None:
        self.assertEqual((0, 5), (osc.count(""), osc.count("0-3,9")))
        sizes = [osc.kib(size) for size in (4, 2048, 1048576, 1536)]
        self.assertEqual(["4 KiB", "2 MiB", "1 GiB", "1536 KiB"], sizes)


class EachTest(base.BareTestCase):
    def test_goes_on_after_a_failure(self) -> None:
        done = []

        def act(name: str) -> None:
            if name != "b":
                raise exceptions.CommandError(f"No {name}.")
            done.append(name)

        error = self.assertRaises(exceptions.CommandError, osc.each, ["a", "b", "c"], act)
        self.assertEqual((["b"], "No a; No c"), (done, str(error)))


class VersionTest(base.BareTestCase):
    def test_versions(self) -> None:
        for version in ("1", "1.0", "1.10"):
            self.assertTrue(plugin.check_api_version(version))
        for version in ("2", "", "1.", "latest", "1.9.1"):
            self.assertRaises(exceptions.CommandError, plugin.check_api_version, version)
