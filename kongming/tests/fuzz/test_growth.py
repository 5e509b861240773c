# SPDX-License-Identifier: Apache-2.0
"""Twice the input takes about twice the time, whatever the input is."""

import contextlib
import json
import time
from collections.abc import Callable

from kongming.tests import base
from kongming.tests.fuzz.parsers import PARSERS

#: Seconds below which a measurement says nothing.
_LEAST = 0.1
#: Four times the input may take that many times as long: 4 is linear, 16 quadratic.
_MOST = 9
#: What takes too long each time does so by itself, and not because others were at it, too.
_TRIES = 3
_CPU = "<cpu id='0' socket_id='0' core_id='0' siblings='0'/>"


def _vcpus(n: int) -> str:
    return json.dumps({"vcpus": {f"{number % 8192:06}": "0-8191" for number in range(n)}})


HOSTILE: dict[str, tuple[str, Callable[[int], str]]] = {
    "set: many parts": ("cpuset", lambda n: "0-8191,^5," * n + "1"),
    "set: one long part": ("cpuset", lambda n: "9" * n),
    "set: blanks": ("cpuset", lambda n: " " * n),
    "set: carets": ("cpuset", lambda n: "^" * n),
    "capabilities: nesting": ("capabilities", lambda n: "<a>" * n + "</a>" * n),
    "capabilities: attributes": ("capabilities", lambda n: f"<a b='{'&lt;' * n}'/>"),
    "capabilities: cells": (
        "capabilities",
        lambda n: (
            "<capabilities><host><topology><cells>"
            + f"<cell id='0'><cpus>{_CPU}</cpus></cell>" * n
            + "</cells></topology></host></capabilities>"
        ),
    ),
    "domain: pins": (
        "domain",
        lambda n: PARSERS["domain"].sample.replace(
            "<cputune>", "<cputune>" + "<vcpupin vcpu='0' cpuset='0-8191'/>" * n
        ),
    ),
    "device: nesting": ("device", lambda n: "<a>" * n + "</a>" * n),
    "arrival: pins": (
        "arrival",
        lambda n: "<domain><cputune>" + "<vcpupin cpuset='9'/>" * n + "</cputune></domain>",
    ),
    "hint: nesting": ("hint", lambda n: '{"a":' * n),
    "hint: I/O threads": (
        "hint",
        lambda n: json.dumps(
            {"iothreads": {f"{number % 8000}, {number}": "" for number in range(n)}}
        ),
    ),
    "metadata: nesting": ("metadata", lambda n: '{"a":' + "[" * n),
    "metadata: numbers": ("metadata", lambda n: '{"numa_nodes": ' + "9" * n + "}"),
    "wish: vCPUs": ("wish", _vcpus),
    "wish: nesting": ("wish", lambda n: '{"numa_nodes":' + "[" * n),
    "fleet: references": (
        "fleet",
        lambda n: "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(n)),
    ),
}


class GrowthTest(base.BareTestCase):
    def test_no_input_takes_longer_than_it_is_long(self) -> None:
        for title, (name, make) in HOSTILE.items():
            with self.subTest(title):
                size = 500
                while self.took(name, make(size)) < _LEAST and size < 1_000_000:
                    size *= 2
                tries = []
                for _ in range(_TRIES):
                    times = [self.took(name, make(size * factor)) for factor in (1, 2, 4)]
                    tries.append(times)
                    if times[2] < _MOST * max(times[0], _LEAST):
                        break
                else:
                    self.fail(f"{title}: {tries} at {size}")

    def took(self, name: str, text: str) -> float:
        """Return the seconds of this process that a parser takes, at best."""
        parser = PARSERS[name]
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            with contextlib.suppress(parser.refuses):
                parser.read(text)
            best = min(best, time.process_time() - start)
        return best
