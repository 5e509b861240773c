# SPDX-License-Identifier: Apache-2.0
"""What fits the schema of a wish is a wish, unless it contradicts itself."""

import collections
import json

import hypothesis
import schemathesis

from kongming.api import openapi
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.tests import base, fuzz
from kongming.topology.wish import Wish, WishError

#: What a schema cannot tell: how numbers, or fields, go together.
CONTRADICTIONS = (
    "the set is empty",
    "is a range that runs backwards",
    "is named twice",
    "is for cpu_policy dedicated alone",
    "belongs to the guest nodes that numa_nodes lists",
    "guest nodes need as many NUMA nodes",
    "is not among memory.nodes",
    "is in an earlier guest node too",
    "an earlier guest node is on this node",
    "is in no guest node",
    "is no multiple of",
    "a vCPU is above",
    "allows more CPU time than global_quota",
)


class WishTest(base.BareTestCase):
    def test_what_fits_the_schema(self) -> None:
        schema = schemathesis.openapi.from_dict(openapi.document(Root(), MAX_VERSION))
        operation = schema["/v1/pins/{instance_uuid}"]["PUT"]
        outcomes: collections.Counter[str] = collections.Counter()

        @hypothesis.settings(
            max_examples=fuzz.INPUTS // 5, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            # an integer to JSON Schema, to nobody else
            hypothesis.assume(".0" not in json.dumps(case.body))
            try:
                Wish.from_dict(case.body)
            except WishError as error:
                reason = [text for text in CONTRADICTIONS if text in error.reason]
                self.assertTrue(reason, f"{error} in {case.body}")
                outcomes[reason[0]] += 1
            else:
                outcomes["accepted"] += 1

        check()
        self.assertGreater(outcomes["accepted"], outcomes.total() / 4, str(outcomes))
        print(outcomes)
