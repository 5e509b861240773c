# SPDX-License-Identifier: Apache-2.0
"""Parsers of what others write end with their own error, whatever that is, and soon."""

import pathlib
import resource
import subprocess
import sys

import fixtures

from kongming.tests import base, fuzz
from kongming.tests.fuzz.parsers import PARSERS

#: What one input may take, and what all of them may hold.
SECONDS, MEMORY_MIB = 30, 1024


class ParsersTest(base.BareTestCase):
    def test_samples_are_accepted(self) -> None:
        for parser in PARSERS.values():
            parser.read(parser.sample)

    def test_hostile_input(self) -> None:
        # what Linux counts as the most that a process has held begins with that of its parent
        own_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        for name, parser in PARSERS.items():
            with self.subTest(name):
                directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
                (directory / "sample").write_text(parser.sample)
                run = subprocess.run(
                    [
                        *(sys.executable, "-m", "kongming.tests.fuzz.parsers", name),
                        *(f"-runs={fuzz.INPUTS}", "-seed=1", "-max_len=4096"),
                        *(f"-timeout={SECONDS}", f"-rss_limit_mb={own_mib + MEMORY_MIB}"),
                        *(f"-artifact_prefix={directory}/", str(directory)),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    check=False,
                )
                self.assertEqual(0, run.returncode, run.stdout[-5000:])
                self.assertIn(f"Done {fuzz.INPUTS} runs", run.stdout)
