# SPDX-License-Identifier: Apache-2.0
import json

import hypothesis
from hypothesis import strategies

from kongming.compute.metadata import wish_of
from kongming.tests import base
from kongming.topology.wish import Wish, WishError

NODE_X = "numa_nodes.0.x"
JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=4),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=3) | strategies.just("0"), inner)
    ),
    max_leaves=6,
)


class WishOfTest(base.BareTestCase):
    def test_cpu_set_is_for_every_vcpu(self) -> None:
        self.assertEqual(Wish(every_vcpu=0b1_0000_1011), wish_of("0-3,^2,8"))
        self.assertEqual(Wish(every_vcpu=0b10), wish_of(" 1 "))

    def test_json_is_the_wish(self) -> None:
        self.assertEqual(Wish(cpu_policy="dedicated"), wish_of('{"cpu_policy": "dedicated"}'))
        text = ' {"vcpus": {"0": "4", "*": "5-7"}, "memory": {"nodes": "0"}, "emulator": "1"}'
        self.assertEqual(
            Wish(vcpus={0: 16}, every_vcpu=0b1110_0000, memory_nodes=1, emulator=2), wish_of(text)
        )
        self.assertEqual(
            Wish(memory_nodes=1, migrate=False),
            wish_of('{"memory": {"nodes": "0", "migrate": false}}'),
        )

    def test_nested_too_deeply(self) -> None:
        text = '{"numa_nodes": ' + "[" * 100_000
        error = self.assertRaises(WishError, wish_of, text)
        self.assertEqual("value", error.field)

    def test_refusals_name_the_field(self) -> None:
        for text, field, words in (
            ("", "value", "number"),
            ("1,^1", "value", "empty"),
            ("all", "value", "all"),
            ("{", "value", "JSON"),
            ('{"vcpu": {}}', "vcpu", "not known"),
            ('{"memory": {"node": "0"}}', "memory.node", "not known"),
            ('{"memory": "0"}', "memory", "object"),
            ('{"vcpus": ["0"]}', "vcpus", "object"),
            ('{"vcpus": {"0": 4}}', "vcpus.0", "CPU set"),
            ('{"iothreads": null}', "iothreads", "object"),
            ('{"cpu_policy": "mine"}', "cpu_policy", "dedicated"),
            ('{"qos": {"cpu_shares": 1}}', "qos.cpu_shares", "from 20 to"),
            ('{"numa_nodes": [{"vcpus": "0", "memory_mib": 4, "x": 1e999}]}', NODE_X, "unknown"),
            ('{"template": "gold"}', "template", "this agent is alone"),
        ):
            error = self.assertRaises(WishError, wish_of, text)
            self.assertEqual(field, error.field, text)
            self.assertIn(words, error.reason, text)

    @hypothesis.given(
        strategies.dictionaries(
            strategies.sampled_from(
                ["avoid", "cpu_policy", "emulator", "iothreads", "memory", "near"]
                + ["numa_nodes", "pci_device", "qos", "thread_policy", "vcpus"]
            ),
            JSON,
        )
    )
    def test_any_json_is_a_wish_or_refused(self, data: dict[str, object]) -> None:
        try:
            wish = wish_of(json.dumps(data))
        except WishError:
            return
        self.assertEqual(wish, Wish.from_dict(wish.to_dict()))
