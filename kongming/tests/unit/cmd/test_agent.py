# SPDX-License-Identifier: Apache-2.0
"""What a compute host has to run."""

import subprocess
import sys

import testtools

#: What control planes need; it would take a compute host tens of MiB.
_ELSEWHERE = {"alembic", "keystonemiddleware", "kongming.db", "pecan", "sqlalchemy", "wsme"}
#: What an agent loads by name.
_PARTS = ("kongming.cmd.agent", "kongming.hypervisor.simulated", "kongming.compute.notifications")


class TestAgent(testtools.TestCase):
    def test_loads_nothing_of_the_control_plane(self) -> None:
        program = f"import sys, {', '.join(_PARTS)}; print(*sys.modules)"
        command = [sys.executable, "-c", program]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        loaded = set(said.split())
        self.assertIn("kongming.agent.manager", loaded)
        self.assertEqual(set(), loaded & _ELSEWHERE)
