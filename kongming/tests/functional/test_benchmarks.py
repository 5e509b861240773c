# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that need no Nova."""

import math

from kongming.tests import base, benchmarks


class BenchmarksTest(base.BareTestCase):
    def test_agent(self) -> None:
        figures = benchmarks.run("agent.py", "--instances", "2", "--seconds", "1", "--settle", "0")
        (size,) = figures["sizes"]
        self.assertEqual(2, size["instances"])
        self.assertGreater(size["pss_mib"], 0)

    def test_start(self) -> None:
        (start,) = benchmarks.run("start.py", "--vcpus", "2", "--rounds", "1")["starts"]
        # a thread that does not come to its place is not a number
        self.assertFalse(math.isnan(start["ratio"]), start)
