# SPDX-License-Identifier: Apache-2.0
"""What a compute host has to run."""

import subprocess
import sys

import testtools

#: What control planes need; it would take a compute host tens of MiB.
_ELSEWHERE = {"alembic", "keystonemiddleware", "pecan", "sqlalchemy", "wsme"}


class TestAgent(testtools.TestCase):
    def test_loads_nothing_of_the_control_plane(self) -> None:
        program = "import sys, kongming.cmd.agent; print(*sys.modules)"
        command = [sys.executable, "-c", program]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        loaded = set(said.split())
        self.assertIn("kongming.agent.manager", loaded)
        self.assertEqual(set(), loaded & _ELSEWHERE)
