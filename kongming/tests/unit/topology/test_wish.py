# SPDX-License-Identifier: Apache-2.0
"""The form of a wish."""

import json
from typing import Any

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology.wish import Wish, WishError

FULL = {
    "cpu_policy": "dedicated",
    "vcpus": {"0": "4", "1": "5-7", "2": "5-7", "*": "8,10"},
    "emulator": "0-1",
    "iothreads": {"1": "2", "3": "2"},
    "memory": {"nodes": "0-1"},
}

masks = strategies.integers(1, (1 << 64) - 1)
numbered = strategies.dictionaries(strategies.integers(0, 300), masks, max_size=5)
optional = strategies.none() | masks
wishes = strategies.builds(
    Wish,
    cpu_policy=strategies.sampled_from(("dedicated", "shared")),
    vcpus=numbered,
    every_vcpu=optional,
    emulator=optional,
    iothreads=numbered,
    memory_nodes=optional,
)


class FromDictTest(base.TestCase):
    def test_everything(self) -> None:
        self.assertEqual(
            Wish(
                cpu_policy="dedicated",
                vcpus={0: 0b1_0000, 1: 0b1110_0000, 2: 0b1110_0000},
                every_vcpu=0b101_0000_0000,
                emulator=0b11,
                iothreads={1: 0b100, 3: 0b100},
                memory_nodes=0b11,
            ),
            Wish.from_dict(FULL),
        )

    def test_nothing(self) -> None:
        bodies: tuple[dict[str, Any], ...] = (
            {},
            {"cpu_policy": None, "vcpus": None, "emulator": None, "iothreads": None},
            {"vcpus": {}, "iothreads": {}},
            {"memory": None},
            {"generation": 3, "instance_uuid": "of the body, but not of the wish"},
        )
        for nothing in bodies:
            self.assertEqual(Wish("shared", {}, None, None, {}, None), Wish.from_dict(nothing))

    def test_keys_are_sets(self) -> None:
        wish = Wish.from_dict({"vcpus": {"0-3,^2": "1"}, "iothreads": {"1,4": "0"}})
        self.assertEqual({0: 2, 1: 2, 3: 2}, wish.vcpus)
        self.assertEqual({1: 1, 4: 1}, wish.iothreads)

    def test_malformed(self) -> None:
        for data, field, reason in (
            ({"cpu_policy": "exclusive"}, "cpu_policy", "must be one of dedicated, shared"),
            ({"vcpus": {"0": "4-"}}, "vcpus.0", "'4-' is neither"),
            ({"vcpus": {"0": ""}}, "vcpus.0", "neither"),
            ({"vcpus": {"x": "4"}}, "vcpus.x", "'x' is neither"),
            ({"vcpus": {"": "4"}}, "vcpus.", "neither"),
            ({"vcpus": {"9" * 99: "4"}}, f"vcpus.{'9' * 32}", "above 8191"),
            ({"vcpus": {"0": "4", "0-1": "5"}}, "vcpus.0-1", "0 is named twice"),
            ({"vcpus": {"0": "4", "00": "4"}}, "vcpus.00", "0 is named twice"),
            ({"vcpus": {"*": "all"}}, "vcpus.*", "'all' is neither"),
            ({"vcpus": {"* ": "1"}}, "vcpus.* ", "neither"),
            ({"emulator": ""}, "emulator", "neither"),
            ({"emulator": "1,^1"}, "emulator", "the set is empty"),
            ({"iothreads": {"*": "1"}}, "iothreads.*", "neither"),
            ({"iothreads": {"1": "1", "1-2": "1"}}, "iothreads.1-2", "1 is named twice"),
            ({"iothreads": {"1": "8192"}}, "iothreads.1", "above 8191"),
            ({"memory": {"nodes": "0:1"}}, "memory.nodes", "'0:1' is neither"),
            ({"memory": {"migrate": False}}, "memory.migrate", "belongs to memory.nodes"),
            ({"memory": {"migrate": True, "page_size_kib": 4}}, "memory.migrate", "belongs to"),
            ({"memory": {"nodes": "0", "migrate": 0}}, "memory.migrate", "must be true or false"),
            ({"memory": {"nodes": "0", "migrate": "no"}}, "memory.migrate", "true or false"),
        ):
            error = self.assertRaises(WishError, Wish.from_dict, data)
            self.assertEqual(field, error.field)
            self.assertIn(reason, error.reason)
            self.assertEqual(f"{error.field}: {error.reason}", str(error))

    def test_memory_moves_unless_it_shall_not(self) -> None:
        for memory, migrate in (
            ({"nodes": "0"}, True),
            ({"nodes": "0", "migrate": True}, True),
            ({"nodes": "0", "migrate": False}, False),
        ):
            wish = Wish.from_dict({"memory": memory})
            self.assertEqual((1, migrate), (wish.memory_nodes, wish.migrate))
            shown = {"nodes": "0"} if migrate else {"nodes": "0", "migrate": False}
            self.assertEqual(shown, wish.to_dict()["memory"])

    def test_source_is_left_alone(self) -> None:
        data: dict[str, Any] = {"vcpus": {"*": "1"}}
        Wish.from_dict(data)
        self.assertEqual({"vcpus": {"*": "1"}}, data)


class ToDictTest(base.TestCase):
    def test_everything(self) -> None:
        self.assertEqual(FULL, Wish.from_dict(FULL).to_dict())

    def test_numbers_are_in_order(self) -> None:
        wish = Wish(vcpus={10: 1, 9: 1}, iothreads={3: 1, 2: 1})
        self.assertEqual(["9", "10"], list(wish.to_dict()["vcpus"]))
        self.assertEqual(["2", "3"], list(wish.to_dict()["iothreads"]))

    def test_what_is_absent_stays_absent(self) -> None:
        self.assertEqual({"cpu_policy": "shared"}, Wish().to_dict())

    @hypothesis.given(wishes)
    def test_round_trip_through_json(self, wish: Wish) -> None:
        self.assertEqual(wish, Wish.from_dict(json.loads(json.dumps(wish.to_dict()))))
