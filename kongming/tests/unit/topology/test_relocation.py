# SPDX-License-Identifier: Apache-2.0
"""How far memory has moved, and what came of it."""

import json

from kongming.tests import base
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress


class ProgressTest(base.TestCase):
    def test_rate(self) -> None:
        self.assertEqual(256.4, Progress(100, 256, 0.39).mib_per_s)
        self.assertEqual(0.0, Progress(0, 256, 0.0).mib_per_s)

    def test_through_json(self) -> None:
        for thing in (
            Progress(100, 256, 0.39),
            Receipt({4: {0: 200, 1: 56}}, {4: {1: 256}}, 200, 1.5, ("numad runs",)),
        ):
            self.assertEqual(thing, type(thing).from_dict(json.loads(json.dumps(thing.to_dict()))))
