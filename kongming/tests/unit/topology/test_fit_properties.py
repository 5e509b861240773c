# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked of whatever host: a placement keeps every promise, or there are reasons."""

import collections

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.tests.unit.topology import hosts
from kongming.topology import exact, fit
from kongming.topology.inventory import Inventory
from kongming.topology.placement import EMULATOR, MEMORY
from kongming.topology.wish import Wish


class PropertiesTest(base.TestCase):
    @hypothesis.settings(max_examples=400, deadline=None)
    @hypothesis.given(strategies.data())
    def test_placement_is_valid_or_reasons_are_given(self, data: strategies.DataObject) -> None:
        offer = data.draw(hosts.inventories(data.draw(hosts.hosts())))
        wish, size = data.draw(hosts.questions())
        try:
            found = fit.place(wish, size, offer)
        except fit.DoesNotFit as error:
            self.assertNotEqual([], error.reasons)
            self.assertTrue(all(reason.detail and reason.code for reason in error.reasons))
            return
        self.check_cpus(wish, size, offer, found)
        self.check_nodes(wish, size, offer, found)
        self.check_memory(wish, offer, found)
        if wish.cpu_policy == "dedicated":
            self.check_dedicated(wish, size, offer, found)
        else:
            self.assertEqual(0, found.exclusive)

    def check_cpus(self, wish: Wish, size: fit.Size, offer: Inventory, found: fit.Fit) -> None:
        placement = found.placement
        self.assertEqual(0, placement.cpus & ~offer.host.online)
        avoided = 0
        for uuid in wish.avoid:
            avoided |= exact.whole_cores(offer.host, offer.occupancy[uuid].cpus)
        if wish.emulator_policy != "share":
            self.assertEqual(0, placement.cpus & avoided)
        self.assertEqual(
            [], [part for part, mask in placement.items() if not (part.is_number or mask)]
        )
        free = offer.free_dedicated if wish.cpu_policy == "dedicated" else offer.free_shared
        for number, cpus in placement.vcpus.items():
            self.assertTrue(cpus)
            if number in wish.vcpus:
                self.assertEqual(wish.vcpus[number], cpus)
            else:
                self.assertEqual(0, cpus & ~free)
        if found.nodes:
            self.assertEqual(set(range(size.vcpus)), set(placement.vcpus))

    def check_nodes(self, wish: Wish, size: fit.Size, offer: Inventory, found: fit.Fit) -> None:
        by_id = {node.id: node for node in offer.host.nodes}
        self.assertEqual(len(set(found.nodes)), len(found.nodes))
        if wish.near:
            self.assertTrue(all(offer.occupancy[wish.near].nodes >> n & 1 for n in found.nodes))
        if wish.pci_device and offer.devices[wish.pci_device] >= 0:
            self.assertIn(offer.devices[wish.pci_device], found.nodes)
        if wish.numa_nodes is None:
            return
        count = len(found.nodes)
        for guest, node in enumerate(found.nodes):
            if isinstance(wish.numa_nodes, tuple):
                vcpus = wish.numa_nodes[guest].vcpus
            else:
                each = size.vcpus // count
                vcpus = (1 << each) - 1 << guest * each
            for number, cpus in found.placement.vcpus.items():
                if vcpus >> number & 1:
                    self.assertEqual(0, cpus & ~by_id[node].cpus)

    def check_memory(self, wish: Wish, offer: Inventory, found: fit.Fit) -> None:
        for node, taken in found.memory.items():
            self.assertIn(node, found.nodes)
            for size, mib in taken.items():
                self.assertLessEqual(mib, offer.free_memory[node][size])
                self.assertEqual(0, mib * 1024 % size)
        if MEMORY in found.placement:
            self.assertEqual(found.placement[MEMORY], sum(1 << node for node in found.nodes))
            if wish.cpu_policy == "dedicated":
                self.assertEqual(set(found.nodes), set(found.memory))

    def check_dedicated(self, wish: Wish, size: fit.Size, offer: Inventory, found: fit.Fit) -> None:
        placement = found.placement
        chosen = {
            number: cpus for number, cpus in placement.vcpus.items() if number not in wish.vcpus
        }
        own = list(chosen.values())
        if wish.emulator_policy == "isolate":
            own.append(placement[EMULATOR])
        self.assertTrue(all(cpu.bit_count() == 1 for cpu in own))
        fixed = 0
        for cpus in wish.vcpus.values():
            fixed |= cpus
        self.assertEqual(len(own), (sum(own) & ~fixed).bit_count())
        self.assertEqual(0, sum(own) & ~offer.free_dedicated)
        self.assertEqual(0, (sum(own) | placement.vcpu_cpus) & ~found.exclusive)
        cores = [core.cpus for node in offer.host.nodes for core in node.cores]
        if wish.thread_policy == "isolate":
            for cpu in chosen.values():
                core = next(core for core in cores if core & cpu)
                self.assertEqual(0, core & ~offer.free_dedicated)
                self.assertEqual(core, core & found.exclusive)
                self.assertEqual(cpu, core & placement.cpus)
        else:
            self.assertEqual(sum(own) | fixed, found.exclusive)
        if wish.thread_policy == "require":
            alone: dict[int, int] = collections.Counter()
            for cpu in chosen.values():
                core = next(core for core in cores if core & cpu)
                self.assertGreaterEqual((core & offer.free_dedicated & ~fixed).bit_count(), 2)
                if (core & sum(chosen.values())).bit_count() == 1:
                    node = next(n.id for n in offer.host.nodes if n.cpus & cpu)
                    alone[node] += 1
            self.assertTrue(all(number == 1 for number in alone.values()))
