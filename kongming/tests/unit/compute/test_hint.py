# SPDX-License-Identifier: Apache-2.0
"""What a hint means."""

import testtools

from kongming.compute import hint

UUID = "2f6d11bb-3c5f-4a0e-9a5d-0f1f6e1c7a10"


class HintTest(testtools.TestCase):
    def test_forms(self) -> None:
        for value, wish in (
            ("0-3,^2,8", {"vcpus": {"*": "0-3,^2,8"}}),
            (" 5 ", {"vcpus": {"*": "5"}}),
            (["0-3", "^2"], {"vcpus": {"*": "0-3,^2"}}),
            ('{"cpu_policy": "dedicated"}', {"cpu_policy": "dedicated"}),
            (' {"vcpus": {"0": "4"}}', {"vcpus": {"0": "4"}}),
            ("{}", {}),
            ("template:gold", {"template": "gold"}),
            ("template: a:b", {"template": "a:b"}),
            (f"pin:{UUID.upper()}", hint.PinOf(UUID)),
        ):
            self.assertEqual(wish, hint.parse(value), f"{value}")

    def test_others_are_refused_by_name(self) -> None:
        deep = '{"a":' + "[" * 100_000
        for value, words in (
            ("", "is empty"),
            ("  ", "is empty"),
            ([], "is empty"),
            (["0", ""], "neither a number nor a range"),
            ("True", "'True' is neither"),
            ("3-1", "runs backwards"),
            ("9000", "above 8191"),
            ("^1", "the set is empty"),
            ("[1]", "neither a number"),
            ('{"a": 1', "is not JSON"),
            ('{"a": 1} x', "is not JSON"),
            ('{"a": 1, "a": 2}', "the same key twice"),
            ('{"a": NaN}', "NaN is not a number"),
            (deep, "is not JSON"),
            ("template:", "names no template"),
            ("pin:", "UUID"),
            ("pin:mine", "pin:mine does not name"),
            (5, "must be a CPU set"),
            ([5], "must be a CPU set"),
            ({"a": 1}, "must be a CPU set"),
        ):
            error = self.assertRaises(hint.HintError, hint.parse, value)
            self.assertTrue(str(error).startswith("resource_pin: "), error)
            self.assertIn(words, str(error))

    def test_messages_are_short(self) -> None:
        for value in ("x" * 70_000, "pin:" + "x" * 70_000, '{"' + "x" * 70_000):
            error = self.assertRaises(hint.HintError, hint.parse, value)
            self.assertLess(len(str(error)), 200)

    def test_iothreads(self) -> None:
        for named, highest in (
            (None, 0),
            ({}, 0),
            ({"1": "2"}, 1),
            ({"1-3": "2", "2": "4"}, 3),
            ({"0": "2"}, 0),
            ({"one": "2", "2": "4"}, 2),
            ("one", 0),
        ):
            self.assertEqual(highest, hint.iothreads({"iothreads": named}), f"{named}")
        self.assertEqual(0, hint.iothreads({}))
