# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

from kongming import exception
from kongming.conductor import arguments
from kongming.tests import base
from kongming.tests.unit.conductor.base import A
from kongming.topology.answer import Size
from kongming.topology.wish import Wish

SIZE = {"vcpus": 2, "memory_mib": 64, "iothreads": [1]}


class ArgumentsTest(base.BareTestCase):
    def refused(self, check: Callable[[Any], Any], *values: Any) -> None:
        for value in values:
            self.assertRaises(exception.BadRequest, check, value)

    def test_instance(self) -> None:
        self.assertEqual(A, arguments.instance(A))
        self.refused(arguments.instance, None, 1, "", "x", A.upper(), f"{{{A}}}", [A], "'; --")

    def test_size(self) -> None:
        self.assertEqual(Size(2, 64, (1,)), arguments.size(SIZE))
        for name, value in (
            ("vcpus", 0),
            ("vcpus", "2"),
            ("vcpus", True),
            ("memory_mib", -1),
            ("memory_mib", 2**80),
            ("iothreads", [0]),
            ("iothreads", 1),
        ):
            self.refused(arguments.size, SIZE | {name: value})
        self.refused(arguments.size, {}, None, [])

    def test_wish(self) -> None:
        self.assertEqual(Wish(every_vcpu=2), arguments.wish({"vcpus": {"*": "1"}}))
        self.refused(
            arguments.wish, {"vcpus": {"*": "x"}}, {"vcpus": 7}, {"memory": 7}, {"qos": []}, None, 7
        )

    def test_limits(self) -> None:
        self.assertEqual({"pins": -1}, arguments.limits({"pins": -1}))
        self.refused(arguments.limits, None, [], {"colour": 1}, {"pins": -2}, {"pins": "1"})
