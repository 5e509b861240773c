# SPDX-License-Identifier: Apache-2.0
"""What a wish says of CPU time, and what it becomes."""

import json
from typing import Any

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology import fit, qos
from kongming.topology.form import WishError
from kongming.topology.host import Host, NumaNode
from kongming.topology.inventory import Inventory
from kongming.topology.part import SHARES, Part
from kongming.topology.placement import Placement
from kongming.topology.wish import Wish

HOST = Host((NumaNode(id=0, cpus=0b1111, memory_mib=4096, distances={0: 10}),))
FULL = {
    "cpu_shares": 2048,
    "global_quota": 200000,
    "emulator_quota": 20000,
    "emulator_period": 50000,
    "iothread_quota": 30000,
    "vcpu_quota": 80000,
    "vcpu_period": 90000,
    "vcpus": {"0,2": {"weight": 200}, "1": {"quota": -1, "period": 1000, "weight": 1}},
}


def numbers(data: Any, vcpus: int = 2, iothreads: tuple[int, ...] = ()) -> dict[str, int]:
    """Return the numbers of an instance in words."""
    parts = qos.parse("qos", data).parts(vcpus, iothreads)
    return {str(part): value for part, value in parts.items()}


class ParseTest(base.TestCase):
    def test_wish_there_and_back(self) -> None:
        wish = Wish.from_dict({"qos": FULL})
        shown = wish.to_dict()
        self.assertEqual({"0", "1", "2"}, set(shown["qos"]["vcpus"]))
        self.assertEqual(wish, Wish.from_dict(json.loads(json.dumps(shown))))

    def test_absent(self) -> None:
        self.assertIsNone(Wish.from_dict({}).qos)
        self.assertNotIn("qos", Wish.from_dict({}).to_dict())

    def test_refused(self) -> None:
        vcpu: dict[str, Any] = {"quota": 1000}
        for data, field, words in (
            (None, "qos", "must be an object"),
            ([], "qos", "must be an object"),
            ({}, "qos", "must name some quota"),
            ({"vcpus": {}}, "qos", "must name some quota"),
            ({"vcpu_weight": 3}, "qos.vcpu_weight", "unknown field"),
            ({"x" * 99: 3}, "qos." + "x" * 32, "unknown field"),
            ({"vcpus": []}, "qos.vcpus", "must be an object"),
            ({"vcpus": {"a": vcpu}}, "qos.vcpus.a", ""),
            ({"vcpus": {"1": {}}}, "qos.vcpus.1", "quota, period or weight"),
            ({"vcpus": {"1": 5}}, "qos.vcpus.1", "quota, period or weight"),
            ({"vcpus": {"1": {"shares": 5}}}, "qos.vcpus.1.shares", "unknown field"),
            ({"vcpus": {"0-2": vcpu, "2": vcpu}}, "qos.vcpus.2", "2 is named twice"),
            (
                {"global_quota": 50000, "vcpu_quota": 50001},
                "qos.vcpu_quota",
                "more CPU time than global_quota",
            ),
            (
                {"global_quota": 50000, "emulator_quota": 10000, "emulator_period": 10000},
                "qos.emulator_quota",
                "more CPU time than global_quota",
            ),
            (
                {"global_quota": 50000, "vcpu_quota": 5000, "vcpus": {"3": {"period": 5000}}},
                "qos.vcpus.3.quota",
                "more CPU time than global_quota",
            ),
        ):
            error = self.assertRaises(WishError, qos.parse, "qos", data)
            self.assertEqual(field, error.field)
            self.assertIn(words, error.reason)

    def test_bounds(self) -> None:
        quota, period = (1000, 17592186044415), (1000, 1000000)
        for name, (low, high) in {
            "cpu_shares": (20, 102400),
            "global_quota": quota,
            "global_period": period,
            "vcpu_quota": quota,
            "vcpu_period": period,
            "emulator_quota": quota,
            "emulator_period": period,
            "iothread_quota": quota,
            "iothread_period": period,
        }.items():
            self.bounds(low, high, f"qos.{name}", lambda value, name=name: {name: value})
        for name, (low, high) in {
            "quota": quota,
            "period": period,
            "weight": (1, 10000),
        }.items():
            self.bounds(
                low,
                high,
                f"qos.vcpus.0.{name}",
                lambda value, name=name: {"vcpus": {"0": {name: value}}},
            )

    def bounds(self, low: int, high: int, field: str, of: Any) -> None:
        """Insist on the least and the greatest value of a field."""
        for value in (low, high):
            qos.parse("qos", of(value))
        refused: tuple[Any, ...] = (low - 1, high + 1, 0, -2, None, True, 5000.5, "5000")
        for value in refused:
            error = self.assertRaises(WishError, qos.parse, "qos", of(value))
            self.assertEqual(field, error.field)
            self.assertIn(f"from {low} to {high}", error.reason)
        if field.endswith("quota"):
            qos.parse("qos", of(-1))
        else:
            self.assertRaises(WishError, qos.parse, "qos", of(-1))


class PartsTest(base.TestCase):
    def test_one_value_for_all(self) -> None:
        self.assertEqual(
            {
                "instance's period": 100000,
                "instance's quota": 200000,
                "I/O thread 2's period": 100000,
                "I/O thread 2's quota": 4000,
                "vCPU 0's quota": 5000,
                "vCPU 0's period": 6000,
                "vCPU 1's quota": 5000,
                "vCPU 1's period": 6000,
            },
            numbers(
                {"global_quota": 200000, "iothread_quota": 4000}
                | {"vcpu_quota": 5000, "vcpu_period": 6000},
                iothreads=(2,),
            ),
        )

    def test_own_values_of_a_vcpu(self) -> None:
        self.assertEqual(
            {
                "vCPU 0's quota": 7000,
                "vCPU 0's period": 6000,
                "vCPU 0's weight": 9,
                "vCPU 1's quota": 5000,
                "vCPU 1's period": 6000,
            },
            numbers(
                {"vcpu_quota": 5000, "vcpu_period": 6000}
                | {"vcpus": {"0": {"quota": 7000, "weight": 9}}}
            ),
        )

    def test_a_quota_has_a_period(self) -> None:
        self.assertEqual(
            {"vCPU 1's quota": -1, "vCPU 1's period": 100000},
            numbers({"vcpus": {"1": {"quota": -1}}}),
        )
        self.assertEqual({"emulator's period": 5000}, numbers({"emulator_period": 5000}))

    def test_shares_are_a_whole_weight(self) -> None:
        for asked, placed in ((1024, 1024), (2048, 2048), (1000, 1004), (20, 20), (102400, 102400)):
            self.assertEqual({"cpu_shares": placed}, numbers({"cpu_shares": asked}))

    @hypothesis.given(strategies.integers(*qos.WEIGHT))
    def test_weights_there_and_back(self, weight: int) -> None:
        self.assertEqual(weight, qos.weight_of(qos.shares_of(weight)))

    def test_defaults_meet(self) -> None:
        self.assertEqual((100, 1024), (qos.weight_of(1024), qos.shares_of(100)))
        self.assertEqual(
            [2, 10000], [qos.weight_of(shares) for shares in qos.CPU_SHARES], "libvirt takes 2 on"
        )


class FitTest(base.TestCase):
    def place(self, data: Any, **fields: Any) -> fit.Fit:
        """Place two vCPUs without I/O thread."""
        wish = Wish.from_dict({"qos": data, **fields})
        return fit.place(wish, fit.Size(2, 512), Inventory.of_empty(HOST))

    def test_qos_alone_claims_nothing(self) -> None:
        found = self.place({"vcpu_quota": 5000, "cpu_shares": 512})
        self.assertEqual((0, 0, {}), (found.placement.cpus, found.exclusive, found.memory))
        self.assertEqual(5, len(found.placement))

    def test_beside_places(self) -> None:
        found = self.place({"vcpu_quota": 5000}, cpu_policy="dedicated")
        self.assertEqual(2, found.exclusive.bit_count())
        self.assertEqual(found.exclusive, found.placement.cpus)
        self.assertEqual(5000, found.placement[Part("vcpu_quota", 1)])

    def test_of_what_the_instance_lacks(self) -> None:
        for data, field, code in (
            ({"vcpus": {"1-2": {"weight": 5}}}, "qos.vcpus.2", "vcpu_unknown"),
            ({"iothread_quota": 5000}, "qos.iothread_quota", "iothread_unknown"),
            ({"iothread_period": 5000}, "qos.iothread_period", "iothread_unknown"),
        ):
            error = self.assertRaises(fit.DoesNotFit, self.place, data)
            self.assertEqual([(field, code)], [(r.field, r.code) for r in error.reasons])


class PlacementTest(base.TestCase):
    def test_there_and_back(self) -> None:
        placement = Placement(qos.parse("qos", FULL).parts(3, (1, 2)))
        data = placement.to_dict()
        self.assertEqual(["qos"], list(data))
        self.assertEqual({"quota": 30000, "period": 100000}, data["qos"]["iothreads"]["2"])
        self.assertEqual({"quota": -1, "period": 1000, "weight": 1}, data["qos"]["vcpus"]["1"])
        self.assertEqual(placement, Placement.from_dict(json.loads(json.dumps(data))))

    def test_joined_has_the_newer_number(self) -> None:
        older, newer = Placement({SHARES: 3000}), Placement({SHARES: 1000})
        self.assertEqual(newer, older.joined(newer))
        self.assertEqual(older, older.joined(None))

    def test_differences(self) -> None:
        wanted = Placement({Part("vcpu_quota", 2): 50000, SHARES: 512, Part("global_quota"): -1})
        self.assertEqual(
            [
                "vCPU 2's quota is unlimited instead of 50000 µs",
                "cpu_shares is 1024 instead of 512",
            ],
            wanted.differences(Placement()),
        )
        self.assertEqual(
            ["instance's quota is 1000 µs instead of unlimited"],
            wanted.differences(Placement(wanted | {Part("global_quota"): 1000})),
        )
