# SPDX-License-Identifier: Apache-2.0
"""The model of a host, and its form in JSON."""

import dataclasses
import json

import hypothesis
from hypothesis import strategies

from kongming.tests import base
from kongming.topology.host import Core, Host, NumaNode, Pages

HOST = Host(
    nodes=(
        NumaNode(
            id=0,
            cpus=0b0000_0011,
            memory_mib=1024,
            pages=(Pages(4, 262144, 1000), Pages(2048, 8, 4)),
            distances={0: 10, 4: 21},
            cores=(Core(0, 0, 0, 0b01), Core(0, 1, 7, 0b10)),
            reserved_mib=512,
        ),
        NumaNode(id=4, cpus=0, memory_mib=2048, distances={0: 21, 4: 10}),
        NumaNode(id=1, cpus=0b0011_0000, memory_mib=0),
    ),
    offline=0b1100_0000,
    unmanaged=0b0000_0001,
    isolated=0b0011_0000,
    devices={"0000:3b:00.1": 4, "0000:00:03.0": -1},
)
DOCUMENT = {
    "offline": "6-7",
    "unmanaged": "0",
    "isolated": "4-5",
    "devices": {"0000:00:03.0": -1, "0000:3b:00.1": 4},
    "nodes": [
        {
            "id": 0,
            "cpus": "0-1",
            "memory_mib": 1024,
            "pages": [
                {"size_kib": 4, "total": 262144, "free": 1000},
                {"size_kib": 2048, "total": 8, "free": 4},
            ],
            "distances": {"0": 10, "4": 21},
            "cores": [
                {"socket": 0, "die": 0, "core": 0, "cpus": "0"},
                {"socket": 0, "die": 1, "core": 7, "cpus": "1"},
            ],
            "reserved_mib": 512,
        },
        {
            "id": 4,
            "cpus": "",
            "memory_mib": 2048,
            "pages": [],
            "distances": {"0": 21, "4": 10},
            "cores": [],
            "reserved_mib": 0,
        },
        {
            "id": 1,
            "cpus": "4-5",
            "memory_mib": 0,
            "pages": [],
            "distances": {},
            "cores": [],
            "reserved_mib": 0,
        },
    ],
}

numbers = strategies.integers(0, 1 << 40)
small = strategies.integers(0, 64)
masks = strategies.integers(0, (1 << 128) - 1)
hosts = strategies.builds(
    Host,
    nodes=strategies.lists(
        strategies.builds(
            NumaNode,
            id=small,
            cpus=masks,
            memory_mib=numbers,
            pages=strategies.lists(
                strategies.builds(Pages, size_kib=numbers, total=numbers, free=numbers), max_size=3
            ).map(tuple),
            distances=strategies.dictionaries(small, small, max_size=4),
            cores=strategies.lists(
                strategies.builds(Core, socket=small, die=small, core=small, cpus=masks),
                max_size=4,
            ).map(tuple),
            reserved_mib=numbers,
        ),
        max_size=4,
    ).map(tuple),
    offline=masks,
    isolated=masks,
    devices=strategies.dictionaries(
        strategies.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True),
        strategies.integers(-1, 64),
        max_size=4,
    ),
)


class HostTest(base.TestCase):
    def test_online_is_the_union_of_the_nodes(self) -> None:
        self.assertEqual(0b0011_0011, HOST.online)

    def test_node_ids(self) -> None:
        self.assertEqual(0b1_0011, HOST.node_ids)

    def test_documented_form(self) -> None:
        self.assertEqual(DOCUMENT, HOST.to_dict())

    def test_reads_the_documented_form(self) -> None:
        self.assertEqual(HOST, Host.from_dict(DOCUMENT))

    def test_reads_what_was_stored_before_there_were_devices_or_isolated_pcpus(self) -> None:
        newer = ("devices", "isolated")
        stored = {key: value for key, value in DOCUMENT.items() if key not in newer}
        plain = dataclasses.replace(HOST, devices={}, isolated=0)
        self.assertEqual(plain, Host.from_dict(stored))

    @hypothesis.given(hosts)
    def test_round_trip_through_json(self, host: Host) -> None:
        self.assertEqual(host, Host.from_dict(json.loads(json.dumps(host.to_dict()))))
