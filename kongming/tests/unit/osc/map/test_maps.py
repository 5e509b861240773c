# SPDX-License-Identifier: Apache-2.0

import copy
import importlib.util
import io
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree  # nosec B405 # our own pictures

from rich import console

import kongming
from kongming.osc.map.host import host_map
from kongming.osc.map.instance import instance_map
from kongming.tests import base

TOP = pathlib.Path(kongming.__file__).parents[1]
MAPS = TOP / "doc/source/user/maps"
ESCAPE = "\x1b["


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("draw_maps", TOP / "tools/draw_maps.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DocumentationTest(base.BareTestCase):
    """What the documentation shows, which is also what these tests know of how maps look."""

    def setUp(self) -> None:
        super().setUp()
        self.tool = _tool()

    def test_text_is_up_to_date(self) -> None:
        for name in self.tool.MAPS:
            self.assertEqual((MAPS / f"{name}.txt").read_text(), self.tool.text(name))

    def test_pictures_are_up_to_date(self) -> None:
        for name in self.tool.MAPS:
            picture = ElementTree.parse(MAPS / f"{name}.svg")  # nosec B314
            words = "".join(
                text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text")
            )
            self.assertEqual(_letters((MAPS / f"{name}.txt").read_text()), _letters(words), name)

    def test_no_line_is_too_wide(self) -> None:
        for name, (width, _) in self.tool.MAPS.items():
            for line in (MAPS / f"{name}.txt").read_text().splitlines():
                self.assertTrue(len(line) <= width, line)


def _letters(text: str) -> str:
    return re.sub(r"\s", "", text.replace("\xa0", " "))


class MapsTestCase(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.small = json.loads((MAPS / "small.json").read_text())

    def drawn(self, width: int = 100, **options: Any) -> str:
        """Return the map of the small host as a terminal gets it."""
        return _drawn(host_map, self.small, width, **options)

    def instance(self, name: str) -> dict[str, Any]:
        """Return one of the instances."""
        (found,) = [one for one in self.small["instances"] if one["name"] == name]
        answer: dict[str, Any] = found
        return answer

    def pin(self, name: str) -> dict[str, Any]:
        """Return the pin of an instance."""
        uuid = self.instance(name)["uuid"]
        (found,) = [pin for pin in self.small["pins"] if pin["instance_uuid"] == uuid]
        answer: dict[str, Any] = found
        return answer


def _drawn(draw: Callable[..., Any], documents: Any, width: int, **options: Any) -> str:
    file = io.StringIO()
    # what this machine's environment says is not what a test is about
    environment = options.pop("environment", {})
    screen = console.Console(
        file=file, width=width, highlight=False, _environ=environment, **options
    )
    screen.print(draw(**documents))
    return file.getvalue()


class HostTest(MapsTestCase):
    def test_colours_are_no_news(self) -> None:
        plain = self.drawn()
        self.assertNotIn(ESCAPE, plain)
        coloured = self.drawn(force_terminal=True, color_system="256")
        self.assertEqual(plain, re.sub(r"\x1b\[[0-9;]*m", "", coloured))
        self.assertIn("48;5;", coloured)

    def test_no_color(self) -> None:
        environment = {"NO_COLOR": "1", "TERM": "xterm-256color"}
        drawn = self.drawn(force_terminal=True, environment=environment)
        self.assertNotIn("48;5;", drawn)

    def test_each_instance_has_a_colour_of_its_own(self) -> None:
        coloured = self.drawn(force_terminal=True, color_system="256")
        styles = {
            letter: set(re.findall(rf"\x1b\[([0-9;]*)m{letter}\x1b", coloured)) for letter in "ABCD"
        }
        backgrounds = [style for found in styles.values() for style in found]
        self.assertEqual(len(set(backgrounds)), len(backgrounds))

    def test_what_is_wrong_is_seen_on_black_and_on_white(self) -> None:
        coloured = self.drawn(force_terminal=True, color_system="256")
        for alarm in ("D~", "D?"):
            self.assertIn(f"{ESCAPE}1;37;41m{alarm}{ESCAPE}", coloured)
        self.assertIn(f"{ESCAPE}1;31m~ D router: vCPU 1 is on pCPU 10", coloured)
        for style in re.findall(r"\x1b\[([0-9;]+)m", coloured):
            color = re.match(r"(?:[12];)?3(\d)$", style)
            self.assertTrue(color is None or color[1] == "1", style)

    def test_terminal_without_unicode(self) -> None:
        class Latin(io.StringIO):
            encoding = "ascii"

        file = Latin()
        console.Console(file=file, width=80, _environ={}).print(host_map(**self.small))
        self.assertTrue(file.getvalue().isascii())

    def test_narrow_terminals(self) -> None:
        for width in (20, 30, 46, 80, 200):
            lines = self.drawn(width).splitlines()
            self.assertTrue(max(map(len, lines)) <= width, width)
            numbers = " ".join(re.findall(r"\d+(?=[A-Z*.])", "\n".join(lines)))
            for pcpu in range(31):
                self.assertIn(str(pcpu), numbers.split())

    def test_nobody_there(self) -> None:
        self.small["instances"] = self.small["pins"] = []
        self.assertIn("No instance is here.", self.drawn())

    def test_down(self) -> None:
        self.small["host"] |= {"status": "down", "reported_at": "2026-01-31T12:00:00Z"}
        first = self.drawn(200).splitlines()[0]
        self.assertIn("edge-1 down", first)
        self.assertIn("last heard of 2026-01-31T12:00:00Z", first)

    def test_conflict(self) -> None:
        uuids = [self.instance("database")["uuid"], self.instance("cache")["uuid"]]
        self.small["host"]["conflicts"] = [{"cpus": "8", "instances": uuids}]
        drawn = self.drawn()
        self.assertIn(" 8B! ", drawn)
        self.assertIn("! pCPU 8 is held by B database, A cache", drawn)

    def test_expected_instance(self) -> None:
        self.small["instances"].remove(self.instance("firewall"))
        drawn = self.drawn(120)
        # it is the last, since it has no name yet
        self.assertRegex(drawn, r"\nD +expected  applied  2-5 ")
        self.assertIn(" 2D? 18D= ", drawn)

    def test_pcpus_that_are_not_for_instances(self) -> None:
        cpus = self.small["host"]["cpus"]
        cpus["managed"] = "0-5,8-30"
        self.assertIn("  6-  22. ", self.drawn(120))

    def test_held_by_whom_is_not_seen(self) -> None:
        self.small["host"]["cpus"]["claimed"] += ",6"
        drawn = self.drawn(120)
        self.assertIn("  6#  22. ", drawn)
        self.assertIn("# held", drawn)

    def test_why_a_pin_failed(self) -> None:
        self.pin("cache").update(status="failed", reason="vCPU 0: no")
        self.assertIn("~ A cache: pin failed: vCPU 0: no", self.drawn())

    def test_memory_elsewhere(self) -> None:
        self.instance("cache")["observed"]["memory"]["nodes"] = "0-1"
        self.assertIn("memory is on NUMA node 0-1, and belongs on 1", self.drawn())

    def test_threads_that_are_bound_to_nothing_are_not_drawn(self) -> None:
        self.instance("database")["observed"]["vcpus"]["0"] = "0-7,16-23"
        self.assertIn("  6.  22. ", self.drawn(120))

    def test_off(self) -> None:
        self.instance("database").update(state="shutoff", observed=None, usage=None)
        drawn = self.drawn(120)
        self.assertRegex(drawn, r"B  database  shutoff  -        - ")
        # given to it by Nova still, says the host
        self.assertIn("  8#  24#  |", drawn)

    def test_more_instances_than_letters(self) -> None:
        first = self.instance("cache")
        self.small["instances"] = [
            copy.deepcopy(first) | {"uuid": f"{n:08}-0000-4000-8000-000000000000", "name": f"i{n}"}
            for n in range(60)
        ]
        self.assertRegex(self.drawn(120), r"\nAA  i0 ")

    def test_core_with_fewer_siblings(self) -> None:
        core = self.small["host"]["numa_nodes"][0]["cores"][0]
        core["cpus"] = "0"
        self.assertIn("  0D       |  1D ", self.drawn(120))

    def test_small_piece_of_memory_is_seen(self) -> None:
        self.instance("cache")["usage"]["memory"] = {"4": {"1": 1}}
        self.assertRegex(self.drawn(100), r"4 KiB  AB+")


class InstanceTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.documents = json.loads((MAPS / "instance.json").read_text())

    def drawn(self, width: int = 100) -> str:
        return _drawn(instance_map, self.documents, width)

    def test_without_the_host(self) -> None:
        self.documents["host"] = None
        drawn = self.drawn()
        self.assertNotIn("NUMA node 0", drawn)
        self.assertRegex(drawn, r"vCPU 1 +10 +16 .*~")

    def test_without_pin(self) -> None:
        self.documents["pin"] = None
        drawn = self.drawn()
        self.assertIn("no pin", drawn)
        self.assertRegex(drawn, r"vCPU 1 +10 +- ")
        self.assertNotIn("~", drawn)

    def test_off_without_pin(self) -> None:
        self.documents["pin"] = None
        self.documents["instance"] |= {"state": "shutoff", "observed": None, "usage": None}
        self.assertIn("It has no threads, and no pin that places them.", self.drawn())

    def test_off(self) -> None:
        self.documents["instance"] |= {"state": "shutoff", "observed": None, "usage": None}
        self.documents["pin"] |= {"status": "waiting", "reason": None}
        drawn = self.drawn()
        self.assertRegex(drawn, r"vCPU 1 +- +16 ")
        self.assertNotIn("~", drawn)

    def test_several_on_one_pcpu(self) -> None:
        vcpus = self.documents["instance"]["observed"]["vcpus"]
        vcpus["2"] = vcpus["0"]
        self.assertIn("  0v0+~ ", self.drawn())

    def test_narrow_terminal(self) -> None:
        for width in (20, 40):
            self.assertTrue(max(map(len, self.drawn(width).splitlines())) <= width)
