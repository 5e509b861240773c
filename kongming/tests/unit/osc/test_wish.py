# SPDX-License-Identifier: Apache-2.0

import argparse
import io
import pathlib
from typing import Any

import fixtures
from osc_lib import exceptions

from kongming.osc import wish
from kongming.sdk.pin import Pin
from kongming.tests import base


class WishTestCase(base.BareTestCase):
    def options(self, *arguments: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser(exit_on_error=False)
        wish.add_options(parser)
        return parser.parse_args(arguments)

    def wished(self, *arguments: str) -> dict[str, Any]:
        return wish.from_options(self.options(*arguments))

    def refused(self, words: str, *arguments: str) -> None:
        """Insist that options are refused before anybody is asked."""
        errors = (argparse.ArgumentError, exceptions.CommandError)
        self.assertIn(words, str(self.assertRaises(errors, self.wished, *arguments)))


class OptionsTest(WishTestCase):
    def test_nothing(self) -> None:
        self.assertEqual({}, self.wished())

    def test_each_field_has_an_option(self) -> None:
        found = self.wished(
            *("--cpu-policy", "dedicated", "--thread-policy", "isolate", "--emulator", "share"),
            *("--vcpu", "0=4", "--vcpu", "1-2=5-7", "--iothread", "1=2", "--memory-nodes", "0-1"),
            *("--page-size", "2MiB", "--numa-nodes", "2", "--near", "a", "--avoid", "b"),
            *("--avoid", "c", "--pci-device", "0000:3b:00.1", "--qos", "vcpu_quota=50000"),
            *("--override", "--no-enforce", "--at-next-start"),
        )
        self.assertEqual(
            {
                "cpu_policy": "dedicated",
                "thread_policy": "isolate",
                "emulator": "share",
                "vcpus": {"0": "4", "1": "5-7", "2": "5-7"},
                "iothreads": {"1": "2"},
                "memory": {"nodes": "0-1", "migrate": False, "page_size_kib": 2048},
                "numa_nodes": 2,
                "near": "a",
                "avoid": ["b", "c"],
                "pci_device": "0000:3b:00.1",
                "qos": {"vcpu_quota": 50000},
                "override": True,
                "enforce": False,
            },
            found,
        )
        self.assertEqual(set(Pin.WISH), set(found))
        self.assertEqual(set(Pin.WISH), set(wish.FIELDS))

    def test_places(self) -> None:
        self.assertEqual({"*": "0-3"}, self.wished("--vcpu", "*=0-3")["vcpus"])
        # the later one counts
        found = self.wished("--vcpu", "0-1=4", "--vcpu", "1=5,7")["vcpus"]
        self.assertEqual({"0": "4", "1": "5,7"}, found)
        self.refused("'4' is not of the form", "--vcpu", "4")
        self.refused("--vcpu x: 'x' is neither", "--vcpu", "x=4")
        self.refused("--iothread 3-1", "--iothread", "3-1=4")

    def test_numa_nodes(self) -> None:
        first = "vcpus=0-3,8,memory=4GiB,page-size=1GiB,host-node=0"
        found = self.wished("--numa-node", first, "--numa-node", "vcpus=4-7,memory=512")
        self.assertEqual(
            [
                {"vcpus": "0-3,8", "memory_mib": 4096, "page_size_kib": 1048576, "host_node": 0},
                {"vcpus": "4-7", "memory_mib": 512},
            ],
            found["numa_nodes"],
        )
        self.refused("exclude each other", "--numa-node", first, "--numa-nodes", "2")
        self.refused("'cpus' is none of vcpus, memory", "--numa-node", "cpus=0")
        self.refused("'x' is not a number", "--numa-node", "host-node=x")

    def test_sizes(self) -> None:
        for text, mib in (("8192", 8192), ("8GiB", 8192), ("1TiB", 1 << 20), ("2048KiB", 2)):
            self.assertEqual(mib, wish.mebibytes(text))
        for text in ("8GB", "8 GiB", "-1", "1.5GiB", "", "4KiB"):
            self.assertRaises(argparse.ArgumentTypeError, wish.mebibytes, text)
        for text, kib in (("4", 4), ("4KiB", 4), ("1GiB", 1048576), ("large", "large")):
            memory = self.wished("--page-size", text)["memory"]
            self.assertEqual({"page_size_kib": kib}, memory)

    def test_size_of_an_instance(self) -> None:
        found = wish.size("vcpus=4,memory=8GiB,iothreads=1")
        self.assertEqual({"vcpus": 4, "memory_mib": 8192, "iothreads": 1}, found)
        for text in ("vcpus=4", "memory=1", "4", "vcpus=x,memory=1", "vcpus=4,memory=1,disk=2"):
            self.assertRaises(argparse.ArgumentTypeError, wish.size, text)

    def test_qos(self) -> None:
        arguments = ("cpu_shares=2048", "vcpus.0-1.quota=9000", "vcpus.1.weight=7", "vcpu_quota=-1")
        found = self.wished(*(word for text in arguments for word in ("--qos", text)))
        vcpus = {"0": {"quota": 9000}, "1": {"quota": 9000, "weight": 7}}
        self.assertEqual({"cpu_shares": 2048, "vcpu_quota": -1, "vcpus": vcpus}, found["qos"])
        self.refused("'much' is not a number", "--qos", "cpu_shares=much")
        self.refused("--qos vcpus. x: 'x'", "--qos", "vcpus.x.quota=1")


class FileTest(WishTestCase):
    def file(self, text: str) -> str:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "wish"
        path.write_text(text)
        return str(path)

    def test_options_go_over_the_file(self) -> None:
        path = self.file('{"cpu_policy": "dedicated", "vcpus": {"0": "4", "1": "5"}}')
        found = self.wished("--file", path, "--vcpu", "1=6")
        self.assertEqual({"cpu_policy": "dedicated", "vcpus": {"0": "4", "1": "6"}}, found)

    def test_yaml_and_standard_input(self) -> None:
        text = "emulator: 0-1\nmemory: {nodes: '0'}\n"
        self.useFixture(fixtures.MonkeyPatch("sys.stdin", io.StringIO(text)))
        expected = {"emulator": "0-1", "memory": {"nodes": "0"}}
        self.assertEqual(expected, self.wished("--file", "-"))
        self.assertEqual(expected, self.wished("--file", self.file(text)))

    def test_no_wish(self) -> None:
        for text in ("{", "- a", "3", "", "a: [", "{]"):
            error = self.assertRaises(
                exceptions.CommandError, self.wished, "--file", self.file(text)
            )
            self.assertNotIn("\n", str(error))
        self.refused("No such file", "--file", "/nowhere")


class MergedTest(base.BareTestCase):
    def test_entries_of_mappings_are_replaced_one_by_one(self) -> None:
        present = {"emulator": "0", "vcpus": {"0": "4", "1": "5"}, "numa_nodes": [1]}
        changes = {"vcpus": {"1": "6"}, "numa_nodes": 2}
        expected = {"emulator": "0", "vcpus": {"0": "4", "1": "6"}, "numa_nodes": 2}
        self.assertEqual(expected, wish.merged(present, changes))
        self.assertEqual("5", present["vcpus"]["1"])  # type: ignore[index]

    def test_other_nodes_are_for_now(self) -> None:
        present = {"memory": {"nodes": "0", "migrate": False, "page_size_kib": 4}}
        found = wish.merged(present, {"memory": {"nodes": "1"}})
        self.assertEqual({"memory": {"nodes": "1", "page_size_kib": 4}}, found)
        found = wish.merged(present, {"memory": {"page_size_kib": 2048}})
        self.assertFalse(found["memory"]["migrate"])
