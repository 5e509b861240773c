# SPDX-License-Identifier: Apache-2.0
"""Every command of the tutorial does what the tutorial says."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import fixtures

from kongming.tests import base, guide
from kongming.tests.functional.fixtures.server import free_port

_SECONDS = 300


class TutorialTest(base.BareTestCase):
    def test_every_command(self) -> None:
        shown = [
            block for block in guide.blocks("user/tutorial.rst") if block.language == "console"
        ]
        tutorial = [step for block in shown for step in block.steps()]
        self.assertGreater(len(tutorial), 20)
        separator = "---- the next command ----"
        lines = []
        for step in tutorial:
            lines += [step.command, f"echo; echo '{separator}' $?"]
        said = self.run_shell("\n".join(lines).replace("9517", str(free_port())))
        answers = re.split(f"\n{separator} ([0-9]+)\n", said)
        for step, output, code in zip(tutorial, answers[::2], answers[1::2], strict=False):
            self.assertEqual("0", code, f"{step.command}\n{output}")
            self.assertTrue(step.matches(output), f"{step}\n{output}")
        self.assertEqual(len(tutorial), len(answers) // 2, said)

    def run_shell(self, script: str) -> str:
        """Return what a script writes to its standard output."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        programs = pathlib.Path(sys.executable).parent
        environment = {
            name: value
            for name, value in os.environ.items()
            if "PROXY" not in name.upper() and not name.startswith("OS_")
        }
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        with (directory / "errors").open("wb") as errors:
            shell = subprocess.Popen(
                ["bash", "-c", script],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # what it leaves behind ends with it
                start_new_session=True,
            )
            try:
                said, _ = shell.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                said, _ = shell.communicate()
        return said
