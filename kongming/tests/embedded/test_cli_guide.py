# SPDX-License-Identifier: Apache-2.0
"""The commands in the guide, run in order: each says what stands there."""

import pathlib
import re
import shlex
import textwrap
from collections.abc import Iterator

import kongming
from kongming.hypervisor import fleet
from kongming.tests import shell
from kongming.tests.embedded import base

GUIDE = pathlib.Path(kongming.__file__).parents[1] / "doc/source/user/cli.rst"
#: Stands for the rest of a line, or for lines.
MORE = "…"


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the guide with the lines that it prints there."""
    blocks = re.findall(r"\.\. code-block:: console\n\n((?:   .*\n|\n)+)", GUIDE.read_text())
    for block in blocks:
        for part in re.split(r"(?m)^\$ ", textwrap.dedent(block).strip())[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def _pattern(lines: list[str]) -> str:
    patterns = []
    for line in lines:
        if line == MORE:
            patterns.append(r"(?:.*\n)*?")
        else:
            patterns.append(re.escape(line).replace(MORE, ".*") + r"\n")
    return "".join(patterns)


class GuideTest(base.EmbeddedTestCase):
    fleet_text = fleet._DEFAULT_FILE.read_text()

    def test_commands(self) -> None:
        endpoint = {"auth_type": "none", "auth": {"endpoint": f"{self.kongming.url}/v1"}}
        openstack = self.useFixture(shell.Shell(endpoint))
        self.eventually(lambda: len(self.get("/v1/instances").json()["instances"]) == 5)
        tried = 0
        for command, lines in _commands():
            if command.startswith("export "):
                continue
            program, *words = shlex.split(command)
            self.assertEqual("openstack", program)
            said = openstack.plain("--os-cloud", "test", *words)
            text = f"{said.err}{said.out}".rstrip("\n") + "\n" if said.err or said.out else ""
            self.assertRegex(text, rf"\A{_pattern(lines)}\Z", command)
            tried += 1
        self.assertTrue(tried > 8)
