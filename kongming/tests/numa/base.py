# SPDX-License-Identifier: Apache-2.0
"""What the tests on real NUMA nodes share, first of all the guests: each takes a while to boot."""

import atexit
import functools
from typing import Any

import testtools

from kongming.tests import base
from kongming.tests.numa.fixtures.guest import Cgroup, Guest, Machine

HUGE_PAGES = 160
"""Huge pages of 2 MiB on each node: one instance and a bit."""

KINDS: dict[str, dict[str, str]] = {
    # Linux takes memory from the node of the pCPU that asks first.
    "default": {"cpus": "0-1"},
    "restrictive": {"mode": "restrictive"},
    "strict": {"mode": "strict"},
    "hugepages": {"mode": "restrictive", "backing": "hugepages"},
    "hugepages-strict": {"mode": "strict", "backing": "hugepages"},
    "memfd": {"mode": "restrictive", "backing": "memfd"},
}
"""Ways to have memory, by name, as ``start`` wants it: all of them on node 0 at first."""


@functools.cache
def shared_guest(cgroup: Cgroup) -> Guest:
    """The guest of this process with such control groups; tests leave it as they found it."""
    guest = Guest(Machine(cgroup, huge_pages=(HUGE_PAGES,) * 4))
    guest.setUp()
    atexit.register(guest.cleanUp)
    return guest


def mib_by_node(where: dict[str, Any]) -> dict[int, int]:
    """The memory that the program ``where`` has found, in MiB by node, pages of any size."""
    total: dict[int, float] = {}
    for nodes in where["memory_mib"].values():
        for node, mib in nodes.items():
            total[int(node)] = total.get(int(node), 0) + mib
    return {node: round(mib) for node, mib in sorted(total.items())}


class NumaCase(base.BareTestCase):
    """A test in guests of the lab."""

    def guest(self, cgroup: Cgroup) -> Guest:
        """The shared guest of that kind; its console is in the report if the test fails."""
        guest = shared_guest(cgroup)
        guest.resume()
        self.addCleanup(guest.pause)
        self.addOnException(
            lambda _: testtools.testcase.gather_details(guest.getDetails(), self.getDetails())
        )
        return guest

    def start(self, guest: Guest, **wanted: Any) -> str:
        """Start an instance for the test, whose guest has used all its memory; return its UUID.

        :param wanted: fields of ``programs/start.py``'s ``Wanted``.
        """
        uuid: str = guest.run_program("start", **wanted)["uuid"]
        self.addCleanup(guest.run_program, "stop", uuid=uuid)
        return uuid

    def call(self, guest: Guest, *calls: tuple[Any, ...]) -> list[Any]:
        """Have the driver of the agent called in the guest; return the answers.

        :param calls: as ``programs/driver.py`` wants them.
        :raises AssertionError: the driver raised an error.
        """
        answers = guest.run_program("driver", calls=calls)["answers"]
        for each in answers:
            self.assertNotIn("error", each)
        return [each["answer"] for each in answers]
