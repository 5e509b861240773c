# SPDX-License-Identifier: Apache-2.0
"""pCPUs among which the kernel balances no load."""

import dataclasses
from typing import Any

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.tests.unit.topology import hosts
from kongming.topology import cpuset
from kongming.topology.fit import DoesNotFit, Fit, Size, place
from kongming.topology.host import Core, Host, NumaNode
from kongming.topology.inventory import Inventory
from kongming.topology.placement import EMULATOR
from kongming.topology.wish import Wish

#: pCPUs 0-7 on NUMA node 0, 8-15 on node 1, two siblings a core; 4-7 and 12-13 are isolated.
HOST = Host(
    nodes=tuple(
        NumaNode(
            id=node,
            cpus=0xFF << 8 * node,
            memory_mib=4096,
            cores=tuple(Core(node, 0, core, 0b11 << 8 * node + 2 * core) for core in range(4)),
        )
        for node in (0, 1)
    ),
    isolated=cpuset.parse("4-7,12-13"),
)


def answer(size: int = 2, used: str = "", host: Host = HOST, **wish: Any) -> Fit:
    """Return the fit of a wish for so many vCPUs; the pCPUs ``used`` are others'."""
    inventory = Inventory.of_empty(host)
    if used:
        left = inventory.free_dedicated & ~cpuset.parse(used)
        inventory = dataclasses.replace(inventory, free_dedicated=left)
    return place(Wish.from_dict(wish), Size(size, 1024, (1,)), inventory)


def chosen(vcpus: int, used: str = "", **wish: Any) -> str:
    """Return the pCPUs that dedicated vCPUs get."""
    return cpuset.to_text(answer(vcpus, used, cpu_policy="dedicated", **wish).placement.vcpu_cpus)


class ExactTest(base.TestCase):
    def test_a_thread_may_have_one_isolated_pcpu_and_no_other(self) -> None:
        tail = (
            "is isolated: a thread must have it as its only one,"
            " as the kernel moves none from there to another pCPU"
        )
        for wish, expected in (
            ({"vcpus": {"1": "4-5"}}, f"vcpus.1: pCPU 4-5 {tail}"),
            ({"vcpus": {"*": "3-4"}}, f"vcpus.*: pCPU 4 {tail}"),
            ({"emulator": "0,12"}, f"emulator: pCPU 12 {tail}"),
            ({"iothreads": {"1": "0-15"}}, f"iothreads.1: pCPU 4-7,12-13 {tail}"),
        ):
            error = self.assertRaises(DoesNotFit, answer, **wish)
            self.assertEqual(expected, str(error))
            self.assertEqual(["pcpu_isolated"], [reason.code for reason in error.reasons])

    def test_one_each_and_others_at_will(self) -> None:
        found = answer(vcpus={"0": "4", "1": "0-3"}, emulator="12", iothreads={"1": "8-9"})
        self.assertEqual("0-4,8-9,12", cpuset.to_text(found.placement.cpus))


class SharedTest(base.TestCase):
    def test_chosen_places_leave_isolated_pcpus_out(self) -> None:
        found = answer(cpu_policy="shared", numa_nodes=1)
        self.assertEqual({"0-3"}, set(map(cpuset.to_text, found.placement.vcpus.values())))
        found = answer(5, cpu_policy="shared", numa_nodes=1)
        self.assertEqual({"8-11,14-15"}, set(map(cpuset.to_text, found.placement.vcpus.values())))

    def test_isolated_pcpus_are_no_room_for_them(self) -> None:
        error = self.assertRaises(DoesNotFit, answer, 7, cpu_policy="shared", numa_nodes=1)
        text = "NUMA node 1 has 6 of the 7 shared pCPUs needed: 1 short"
        self.assertIn(text, [reason.detail for reason in error.reasons])


class EmulatorTest(base.TestCase):
    def emulator(self, **wish: Any) -> str:
        placement = answer(emulator="share", **wish).placement
        return cpuset.to_text(placement[EMULATOR])

    def test_is_where_others_share_but_not_on_isolated_ones(self) -> None:
        self.assertEqual("0-3", self.emulator(used="0-5", cpu_policy="dedicated"))

    def test_is_with_its_vcpus_that_are_not_isolated(self) -> None:
        self.assertEqual("1", self.emulator(vcpus={"0": "1", "1": "4"}))

    def test_is_on_one_pcpu_if_all_are_isolated(self) -> None:
        self.assertEqual("4", self.emulator(cpu_policy="dedicated"))


class DedicatedTest(base.TestCase):
    def test_are_on_isolated_pcpus_while_there_are_enough(self) -> None:
        self.assertEqual("4-5", chosen(2))
        self.assertEqual("12-13", chosen(2, used="4-6"))
        self.assertEqual("4-7", chosen(4))

    def test_are_anywhere_else(self) -> None:
        self.assertEqual("8-12", chosen(5, used="0-3"))
        self.assertEqual("0,2", chosen(2, used="5,7,13", thread_policy="isolate"))

    def test_a_host_with_nothing_but_isolated_pcpus_is_as_any(self) -> None:
        host = dataclasses.replace(HOST, isolated=HOST.online)
        plain = dataclasses.replace(HOST, isolated=0)
        for policy in ("prefer", "require", "isolate"):
            wish = {"cpu_policy": "dedicated", "thread_policy": policy}
            self.assertEqual(answer(3, "2", plain, **wish), answer(3, "2", host, **wish))


class AnyHostTest(base.TestCase):
    @hypothesis.given(strategies.data())
    def test_no_choice_spreads_a_thread_over_isolated_pcpus(self, data: Any) -> None:
        host = data.draw(hosts.hosts())
        isolated = host.online & data.draw(strategies.integers(0, host.online))
        inventory = data.draw(hosts.inventories(dataclasses.replace(host, isolated=isolated)))
        wish, size = data.draw(hosts.questions())
        try:
            found = place(wish, size, inventory)
        except DoesNotFit:
            return
        for mask in found.placement.vcpus.values():
            self.assertTrue(mask.bit_count() == 1 or not mask & isolated)
        emulator = found.placement.get(EMULATOR, 0)
        self.assertTrue(emulator.bit_count() == 1 or not emulator & isolated)

    @hypothesis.given(strategies.data())
    def test_isolation_leaves_no_dedicated_instance_without_a_place(self, data: Any) -> None:
        host = data.draw(hosts.hosts())
        isolated = host.online & data.draw(strategies.integers(0, host.online))
        inventory = data.draw(hosts.inventories(host))
        wish, size = data.draw(hosts.questions())
        hypothesis.assume(wish.cpu_policy == "dedicated")
        apart = dataclasses.replace(host, isolated=isolated)
        fits = []
        for one in (inventory, dataclasses.replace(inventory, host=apart)):
            try:
                fits.append(bool(place(wish, size, one)))
            except DoesNotFit:
                fits.append(False)
        self.assertEqual(fits[0], fits[1])
