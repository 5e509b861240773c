# SPDX-License-Identifier: Apache-2.0
"""The same answers as Nova's, but for the differences that are named."""

import gzip
import json
import pathlib

from kongming.tests import base
from kongming.tests.unit.topology import nova_cases

ANSWERS = pathlib.Path(__file__).with_name("nova_answers.json.gz")
DIFFERENCES = {
    "isolate-half-managed",
    "isolate-with-smt",
    "search-remembers",
    "shared-but-pinned",
}


class NovaTest(base.TestCase):
    def test_fits_where_nova_says_so(self) -> None:
        with gzip.open(ANSWERS, "rt") as file:
            cases = json.load(file)
        self.assertGreaterEqual(len(cases), 1000)
        self.assertGreaterEqual(sum(case["nova"] for case in cases), 300)
        for number, case in enumerate(cases):
            difference = case.get("difference")
            if difference is not None:
                self.assertIn(difference, DIFFERENCES)
            fits = nova_cases.placed(case) is not None
            self.assertEqual(case["nova"] != (difference is not None), fits, f"{number}: {case}")
