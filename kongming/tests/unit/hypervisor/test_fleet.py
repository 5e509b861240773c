# SPDX-License-Identifier: Apache-2.0
"""The fleet file: what it may say, and what it is told when it says anything else."""

import contextlib
import copy
import dataclasses
import pathlib
import tempfile
import uuid
from typing import Any

import testtools
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from testtools import matchers

from kongming.hypervisor import fleet
from kongming.topology import cpuset
from kongming.topology.placement import EMULATOR, MEMORY, Part

UUID = "3d1f2a64-1b65-4a67-9f7b-3a44c0a5e4a1"
EXAMPLE = f"""
hosts:
- name: edge
  count: 1
  nodes: 2
  cores_per_node: 8
  threads_per_core: 2
  memory_mib_per_node: 65536
  huge_pages: {{2048: 1024}}
  offline: "31"
  devices: {{"0000:3b:00.1": 1, "0000:AF:00.0": 0, "0000:00:03.0": -1}}
  instances:
  - {{uuid: {UUID}, name: vnf-1, project_id: p, user_id: u, vcpus: 4, memory_mib: 8192,
     iothreads: 1, state: running, dedicated: true, vcpu_pins: {{"0": "4"}}, memory_nodes: "0"}}
  - {{name: vnf-2, vcpus: 2, memory_mib: 1024}}
"""
PARSED: dict[str, Any] = yaml.safe_load(EXAMPLE)
#: In place of a value: the field is left out.
ABSENT = object()


def change(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    fields.update(changes)
    for key in [key for key, value in changes.items() if value is ABSENT]:
        del fields[key]


def example(**changes: Any) -> dict[str, Any]:
    """Return the example with some fields of its host changed."""
    document = copy.deepcopy(PARSED)
    change(document["hosts"][0], changes)
    return document


def with_instance(which: int = 1, **changes: Any) -> dict[str, Any]:
    """Return the example with some fields of one instance changed."""
    document = example()
    change(document["hosts"][0]["instances"][which], changes)
    return document


class ReadTest(testtools.TestCase):
    def test_every_field_is_read(self) -> None:
        [host] = fleet.parse(example())
        self.assertEqual(
            (
                "edge",
                2,
                8,
                2,
                65536,
                {2048: 1024},
                1 << 31,
                {"0000:3b:00.1": 1, "0000:af:00.0": 0, "0000:00:03.0": -1},
            ),
            (
                host.name,
                host.nodes,
                host.cores_per_node,
                host.threads_per_core,
                host.memory_mib_per_node,
                host.huge_pages,
                host.offline,
                host.devices,
            ),
        )
        self.assertEqual(
            fleet.InstanceSpec(
                uuid=UUID,
                name="vnf-1",
                project_id="p",
                user_id="u",
                vcpus=4,
                memory_mib=8192,
                iothreads=1,
                state="running",
                dedicated=True,
                vcpu_pins={0: 1 << 4},
                memory_nodes=1 << 0,
            ),
            host.instances[0],
        )

    def test_defaults(self) -> None:
        [host] = fleet.parse(
            {"hosts": [{"name": "h", "nodes": 1, "cores_per_node": 4, "memory_mib_per_node": 1024}]}
        )
        self.assertEqual(
            (1, {}, 0, {}, ()),
            (
                host.threads_per_core,
                host.huge_pages,
                host.offline,
                host.devices,
                host.instances,
            ),
        )
        instance = fleet.parse_instance({"name": "i", "vcpus": 1, "memory_mib": 1}, "i", host)
        self.assertEqual(
            (0, "running", False, {}, None),
            (
                instance.iothreads,
                instance.state,
                instance.dedicated,
                instance.vcpu_pins,
                instance.memory_nodes,
            ),
        )

    def test_owner_made_up_is_one_and_the_same(self) -> None:
        document = with_instance(0, project_id=ABSENT, user_id=ABSENT)
        first, second = fleet.parse(document)[0].instances
        self.assertEqual((first.project_id, first.user_id), (second.project_id, second.user_id))
        self.assertNotEqual(first.project_id, first.user_id)
        self.assertEqual(first.project_id, uuid.UUID(first.project_id).hex)

    def test_copies_have_names_and_uuids_of_their_own(self) -> None:
        document = with_instance(0, uuid=ABSENT)
        document["hosts"][0]["count"] = 3
        hosts = fleet.parse(document)
        self.assertEqual(["edge-0001", "edge-0002", "edge-0003"], [host.name for host in hosts])
        uuids = [instance.uuid for host in hosts for instance in host.instances]
        self.assertEqual(6, len({uuid.UUID(text) for text in uuids}))
        self.assertEqual(
            [["vnf-1", "vnf-2"]] * 3, [[i.name for i in host.instances] for host in hosts]
        )
        self.assertEqual([1 << 31] * 3, [host.offline for host in hosts])

    def test_uuid_follows_from_the_names_of_host_and_instance(self) -> None:
        def uuid_of(host: str, instance: str) -> str:
            document = with_instance(name=instance)
            document["hosts"][0]["name"] = host
            return fleet.parse(document)[0].instances[1].uuid

        self.assertEqual(uuid_of("a", "x"), uuid_of("a", "x"))
        self.assertEqual(3, len({uuid_of("a", "x"), uuid_of("b", "x"), uuid_of("a", "y")}))
        # Whoever wrote one down must find it again after an upgrade.
        self.assertEqual("b6faa551-30e1-5f1c-ae09-10c85f814d11", uuid_of("a", "x"))

    def test_uuid_in_other_spellings(self) -> None:
        for text in (UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}"):
            [host] = fleet.parse(with_instance(0, uuid=text))
            self.assertEqual(UUID, host.instances[0].uuid)

    def test_sets_may_be_numbers_and_ranges(self) -> None:
        [host] = fleet.parse(
            with_instance(vcpus=4, vcpu_pins={0: 7, "1-2": "5-7,^6"}, memory_nodes=1)
        )
        self.assertEqual({0: 0x80, 1: 0xA0, 2: 0xA0}, host.instances[1].vcpu_pins)
        self.assertEqual(0b10, host.instances[1].memory_nodes)

    def test_default_fleet(self) -> None:
        hosts = fleet.load()
        self.assertEqual(hosts, fleet.load(None))
        self.assertEqual(
            [(2, 8, 2)] * 3, [(h.nodes, h.cores_per_node, h.threads_per_core) for h in hosts]
        )
        states = [instance.state for host in hosts for instance in host.instances]
        self.assertIn("running", states)


class ModelTest(testtools.TestCase):
    def test_cpu_numbers(self) -> None:
        [host] = fleet.parse(example())
        self.assertEqual((1 << 32) - 1, host.cpus)
        self.assertEqual(0b11, host.node_ids)
        for node, core, siblings in (
            (0, 0, "0,16"),
            (0, 7, "7,23"),
            (1, 0, "8,24"),
            (1, 7, "15,31"),
        ):
            self.assertEqual(siblings, cpuset.to_text(host.core_cpus(node, core)))

    def test_huge_pages_are_not_small_ones(self) -> None:
        [host] = fleet.parse(example(huge_pages={2048: 3, 1048576: 2}))
        self.assertEqual(65536 - 6 - 2048, host.small_pages_mib)

    def test_what_nova_gave(self) -> None:
        cases: list[tuple[dict[str, Any], dict[Part, int]]] = [
            ({}, {}),
            ({"dedicated": True}, {}),
            ({"memory_nodes": "0-1"}, {MEMORY: 0b11}),
            ({"vcpu_pins": {0: "4-5"}}, {Part("vcpu", 0): 0b110000}),
            (
                {"vcpu_pins": {0: 4, 1: 5}, "dedicated": True},
                {Part("vcpu", 0): 0b10000, Part("vcpu", 1): 0b100000, EMULATOR: 0b110000},
            ),
        ]
        for fields, expected in cases:
            [host] = fleet.parse(with_instance(**fields))
            self.assertEqual(expected, host.instances[1].given())

    def test_iothread_ids(self) -> None:
        [host] = fleet.parse(with_instance(iothreads=3))
        self.assertEqual([[1], [1, 2, 3]], [instance.iothread_ids for instance in host.instances])

    def test_allocate(self) -> None:
        free = {0: 10, 1: 5, 2: 7}
        for nodes, mib, expected in (
            (0b001, 10, {0: 10}),
            (0b001, 11, None),
            (0b111, 12, {0: 10, 1: 2, 2: 0}),
            (0b110, 12, {1: 5, 2: 7}),
            (0b110, 13, None),
            (0b100, 0, {2: 0}),
        ):
            self.assertEqual(expected, fleet.allocate(free, nodes, mib))


def number(low: int, high: int) -> str:
    return f"must be a whole number from {low} to {high}"


MIB = number(1, 1 << 24)
REQUIRED = "a value is required"
TEXT = "must be text (quote a number) of 1 to 255 characters"
NAME = "must be a host name of at most 200 characters"
SET = "must be a set such as '0-3,8'"
ADDRESS = "a key must be the address of a PCI device such as 0000:3b:00.1, in quotes"
NODE = "must be a NUMA node from 0 to 1, or -1"
STATES = "must be one of running, paused, shutoff"
DEDICATED = "a dedicated vCPU has one pCPU, which no other vCPU has"
TEN = [{"name": str(n), "vcpus": 1, "memory_mib": 1} for n in range(10)]
LIMIT = "a fleet has at most 10000 hosts and 100000 instances"


class RefusalTest(testtools.TestCase):
    #: A document, and the whole message.
    DOCUMENTS: list[tuple[Any, str]] = [
        (None, "must be a mapping"),
        ([], "must be a mapping"),
        ({}, "hosts: a fleet has at least one host"),
        ({"hosts": None}, f"hosts: {REQUIRED}"),
        ({"hosts": {}}, "hosts: must be a list of at most 10000 entries"),
        ({"hosts": [{}] * 10001}, "hosts: must be a list of at most 10000 entries"),
        ({"hosts": [7]}, "hosts[0]: must be a mapping"),
        ({"hosts": [{7: 7}]}, "hosts[0]: has a key that is not text"),
        ({**example(), "zones": []}, "zones: unknown key"),
        (
            {"hosts": example()["hosts"] + example(instances=[])["hosts"]},
            "hosts[1].name: there already is a host edge",
        ),
        (
            {"hosts": example(name="a")["hosts"] + example(name="b")["hosts"]},
            "hosts[1].instances[0].uuid: another instance has this UUID",
        ),
        (
            {"hosts": [example(name=n, count=5001, instances=[])["hosts"][0] for n in "ab"]},
            f"hosts[1]: {LIMIT}",
        ),
        (
            example(count=10000, instances=[*TEN, {"name": "x", "vcpus": 1, "memory_mib": 1}]),
            f"hosts[0]: {LIMIT}",
        ),
    ]

    #: What replaces fields of the host in the example, the path from there, the reason.
    HOSTS: list[tuple[dict[str, Any], str, str]] = [
        ({"cpus": 4}, ".cpus", "unknown key"),
        ({"x" * 100: 4}, f".{'x' * 64}", "unknown key"),
        ({"name": ABSENT}, ".name", REQUIRED),
        ({"name": 7}, ".name", TEXT),
        ({"name": "a/b"}, ".name", NAME),
        ({"name": "a" * 201}, ".name", NAME),
        ({"count": 0}, ".count", number(1, 10000)),
        ({"count": 10001}, ".count", number(1, 10000)),
        ({"count": True}, ".count", number(1, 10000)),
        ({"count": 1.0}, ".count", number(1, 10000)),
        ({"count": 2}, ".instances[0].uuid", "impossible when count is more than 1"),
        ({"nodes": ABSENT}, ".nodes", REQUIRED),
        ({"nodes": 65}, ".nodes", number(1, 64)),
        ({"nodes": "2"}, ".nodes", number(1, 64)),
        ({"cores_per_node": ABSENT}, ".cores_per_node", REQUIRED),
        ({"cores_per_node": 0}, ".cores_per_node", number(1, 512)),
        ({"cores_per_node": 513}, ".cores_per_node", number(1, 512)),
        ({"threads_per_core": 9}, ".threads_per_core", number(1, 8)),
        ({"nodes": 64, "cores_per_node": 65}, "", "has over 8192 pCPUs"),
        ({"memory_mib_per_node": ABSENT}, ".memory_mib_per_node", REQUIRED),
        ({"memory_mib_per_node": 1 << 25}, ".memory_mib_per_node", MIB),
        ({"huge_pages": []}, ".huge_pages", "must be a mapping"),
        ({"huge_pages": {4: 1}}, ".huge_pages", "sizes in KiB are 2048 and 1048576"),
        ({"huge_pages": {"2048": 1}}, ".huge_pages", "sizes in KiB are 2048 and 1048576"),
        ({"huge_pages": {2048: -1}}, ".huge_pages.2048", number(0, 1 << 24)),
        (
            {"huge_pages": {1048576: 65}},
            ".huge_pages",
            "larger than the memory of a NUMA node",
        ),
        ({"offline": "x"}, ".offline", "'x' is neither a number nor a range"),
        ({"offline": ["1"]}, ".offline", SET),
        ({"offline": None}, ".offline", REQUIRED),
        ({"offline": "30-33"}, ".offline", "the host has no pCPU 32-33"),
        ({"offline": "0-31"}, ".offline", "no pCPU would be left"),
        ({"move_mib_per_s": 0}, ".move_mib_per_s", MIB),
        ({"move_mib_per_s": None}, ".move_mib_per_s", REQUIRED),
        ({"isolated": "32"}, ".isolated", "the host has no pCPU 32"),
        ({"devices": ["0000:3b:00.1"]}, ".devices", "must be a mapping"),
        ({"devices": {"3b:00.1": 0}}, ".devices", ADDRESS),
        ({"devices": {3.0: 0}}, ".devices", ADDRESS),
        ({"devices": {"0000:3b:00.1": 2}}, ".devices.0000:3b:00.1", NODE),
        ({"devices": {"0000:3b:00.1": -2}}, ".devices.0000:3b:00.1", NODE),
        ({"devices": {"0000:3b:00.1": "0"}}, ".devices.0000:3b:00.1", NODE),
        ({"devices": {"0000:3b:00.1": None}}, ".devices.0000:3b:00.1", NODE),
        ({"devices": {"0000:3b:00.1": False}}, ".devices.0000:3b:00.1", NODE),
        (
            {"devices": {"0000:3b:00.1": 0, "0000:3B:00.1": 0}},
            ".devices.0000:3b:00.1",
            "is named twice",
        ),
        ({"instances": "x"}, ".instances", "must be a list of at most 100000 entries"),
        ({"instances": [1]}, ".instances[0]", "must be a mapping"),
    ]

    #: The same for the second instance in the example.
    INSTANCES: list[tuple[dict[str, Any], str, str]] = [
        ({"uiud": UUID}, ".uiud", "unknown key"),
        ({"name": ABSENT}, ".name", REQUIRED),
        ({"name": "vnf-1"}, ".name", "another instance of this host has this name"),
        ({"name": "a\nb"}, ".name", TEXT),
        ({"project_id": ""}, ".project_id", TEXT),
        ({"user_id": "u" * 256}, ".user_id", TEXT),
        ({"uuid": "vnf"}, ".uuid", "is not a UUID"),
        ({"uuid": 7}, ".uuid", "is not a UUID"),
        ({"uuid": None}, ".uuid", REQUIRED),
        ({"uuid": UUID}, ".uuid", "another instance has this UUID"),
        ({"vcpus": ABSENT}, ".vcpus", REQUIRED),
        ({"vcpus": 0}, ".vcpus", number(1, 1024)),
        ({"vcpus": 1025}, ".vcpus", number(1, 1024)),
        ({"memory_mib": ABSENT}, ".memory_mib", REQUIRED),
        ({"memory_mib": "1 GiB"}, ".memory_mib", MIB),
        ({"memory_mib": 0}, ".memory_mib", MIB),
        # The first instance has 8192 of the 63488 MiB on node 0.
        (
            {"memory_mib": 55297, "memory_nodes": "0"},
            ".memory_mib",
            "NUMA nodes 0 have only 55296 MiB left",
        ),
        ({"memory_mib": 118785}, ".memory_mib", "NUMA nodes 0-1 have only 118784 MiB left"),
        ({"iothreads": -1}, ".iothreads", number(0, 64)),
        ({"iothreads": 65}, ".iothreads", number(0, 64)),
        ({"state": "crashed"}, ".state", STATES),
        ({"state": ["running"]}, ".state", STATES),
        ({"dedicated": 1}, ".dedicated", "must be one of false, true"),
        ({"vcpu_pins": ["0"]}, ".vcpu_pins", "must be a mapping"),
        ({"vcpu_pins": {"one": 1}}, ".vcpu_pins", "'one' is neither a number nor a range"),
        ({"vcpus": 7, "vcpu_pins": {"7": "1"}}, ".vcpu_pins.7", "the instance has no vCPU 7"),
        ({"vcpu_pins": {"0-2": 1}}, ".vcpu_pins.0-2", "the instance has no vCPU 2"),
        ({"vcpu_pins": {0: 1, "0": 2}}, ".vcpu_pins.0", "vCPU 0 is named twice"),
        ({"vcpu_pins": {0: ""}}, ".vcpu_pins.0", "'' is neither a number nor a range"),
        ({"vcpu_pins": {0: True}}, ".vcpu_pins.0", SET),
        ({"vcpu_pins": {0: -1}}, ".vcpu_pins.0", SET),
        ({"vcpu_pins": {0: 8192}}, ".vcpu_pins.0", SET),
        ({"vcpu_pins": {1: "32"}}, ".vcpu_pins.1", "the host has no pCPU 32"),
        ({"vcpu_pins": {1: "30-31"}}, ".vcpu_pins.1", "pCPU 31 is offline"),
        ({"vcpu_pins": {0: "1-2"}, "dedicated": True}, ".vcpu_pins.0", DEDICATED),
        ({"vcpu_pins": {0: 1, 1: 1}, "dedicated": True}, ".vcpu_pins.1", DEDICATED),
        ({"memory_nodes": "1-2"}, ".memory_nodes", "the host has no NUMA node 2"),
    ]

    def assert_refused(self, document: Any, message: str) -> None:
        try:
            outcome = f"accepted: {fleet.parse(document)}"
        except fleet.FleetError as error:
            outcome = str(error)
        self.assertEqual(message, outcome)

    def test_documents(self) -> None:
        for document, message in self.DOCUMENTS:
            self.assert_refused(document, message)

    def test_hosts(self) -> None:
        for fields, path, reason in self.HOSTS:
            self.assert_refused(example(**fields), f"hosts[0]{path}: {reason}")

    def test_instances(self) -> None:
        for fields, path, reason in self.INSTANCES:
            message = f"hosts[0].instances[1]{path}: {reason}"
            self.assert_refused(with_instance(**fields), message)

    def test_what_just_fits_is_not_refused(self) -> None:
        for document in (
            with_instance(memory_mib=55296, memory_nodes="0"),
            with_instance(memory_mib=118784),
            with_instance(memory_mib=118785, state="shutoff"),
            example(nodes=64, cores_per_node=128, threads_per_core=1),
            example(offline="1-31", instances=[]),
            example(huge_pages={1048576: 64}, instances=[]),
            with_instance(name="n" * 255, vcpus=1024, iothreads=64),
            with_instance(name="n"),
            {"hosts": [example(name=f"h{n}", instances=[])["hosts"][0] for n in range(10000)]},
            example(count=10000, instances=TEN),
        ):
            fleet.parse(document)


class LoadTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = pathlib.Path(directory.name) / "fleet.yaml"

    def test_load(self) -> None:
        self.file.write_text(EXAMPLE)
        self.assertEqual(fleet.parse(example()), fleet.load(str(self.file)))

    def test_unreadable(self) -> None:
        for content in (
            b"hosts: [",
            b"\xff\xfe\xff",
            b"hosts: !!python/object/apply:os.getcwd []",
            b"hosts: !!timestamp x",
            b"hosts: 2001-99-99",
            b"[" * 10000,
        ):
            self.file.write_bytes(content)
            error = self.assertRaises(fleet.FleetError, fleet.load, str(self.file))
            self.assertThat(str(error), matchers.StartsWith(f"{self.file}: unreadable: "))

    def test_numbers_too_long_to_print(self) -> None:
        digits = "0x" + "f" * 5000
        for text, message in (
            (f"hosts: {digits}", "hosts: must be a list of at most 10000 entries"),
            (f"? {digits}\n: 1", "has a key that is not text"),
            (f"hosts:\n- ? {digits}\n  : 1", "hosts[0]: has a key that is not text"),
        ):
            self.file.write_text(text)
            error = self.assertRaises(fleet.FleetError, fleet.load, str(self.file))
            self.assertEqual(message, str(error))

    def test_absent(self) -> None:
        error = self.assertRaises(fleet.FleetError, fleet.load, str(self.file))
        self.assertIn("No such file", str(error))


def replaced(value: Any, at: list[int], by: Any) -> Any:
    """Return a copy of a document in which one place was replaced; ``at`` chooses the way down."""
    for step, choice in enumerate(at):
        if isinstance(value, dict) and value:
            key = sorted(value, key=str)[choice % len(value)]
            return {**value, key: replaced(value[key], at[step + 1 :], by)}
        if isinstance(value, list) and value:
            index = choice % len(value)
            return [*value[:index], replaced(value[index], at[step + 1 :], by), *value[index + 1 :]]
    return copy.deepcopy(by)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.sampled_from(["0", "0-3", "31", "running", UUID, 2048])
)
KNOWN = {
    field.name for cls in (fleet.HostSpec, fleet.InstanceSpec) for field in dataclasses.fields(cls)
} | {"hosts", "count"}
KEYS = st.text() | st.integers() | st.none() | st.sampled_from(["hosts", "name", "instances", "0"])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=10
)


class AnyStructureTest(testtools.TestCase):
    @settings(deadline=None, max_examples=300)
    @given(ANYTHING)
    def test_anything(self, document: Any) -> None:
        with contextlib.suppress(fleet.FleetError):
            fleet.parse(document)

    @settings(deadline=None, max_examples=1000)
    @given(st.lists(st.integers(0, 20), max_size=6), ANYTHING)
    def test_example_with_anything_somewhere(self, at: list[int], value: Any) -> None:
        with contextlib.suppress(fleet.FleetError):
            hosts = fleet.parse(replaced(example(), at, value))
            self.assertTrue(all(host.cpus & ~host.offline for host in hosts))

    @settings(deadline=None, max_examples=200)
    @given(
        st.text().filter(lambda key: key not in KNOWN) | st.integers() | st.none(),
        ANYTHING,
        st.sampled_from([(), ("hosts", 0), ("hosts", 0, "instances", 1)]),
    )
    def test_unknown_key(self, key: Any, value: Any, place: tuple[Any, ...]) -> None:
        document = example()
        target: Any = document
        for step in place:
            target = target[step]
        target[key] = value
        self.assertRaises(fleet.FleetError, fleet.parse, document)
