# SPDX-License-Identifier: Apache-2.0
"""Versioned objects: how they travel, and that nobody changes them unawares."""

import datetime
import types
from typing import Any

import oslo_messaging
from oslo_versionedobjects import fixture

from kongming import objects, rpc
from kongming.context import RequestContext, service_context
from kongming.objects.base import KongMingObject, Registry
from kongming.objects.host import MISSED_REPORTS
from kongming.objects.instance import ACTIVE_STATES, STATES
from kongming.tests import base
from kongming.topology.counted import Thread
from kongming.topology.fit import Size
from kongming.topology.host import Core, NumaNode, Pages
from kongming.topology.host import Host as HostTopology
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress
from kongming.topology.usage import Conflict, InstanceUsage, Load, Usage, VcpuUsage
from kongming.topology.wish import Wish

UUID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
THEN = datetime.datetime(2026, 2, 28, 23, 59, 58, tzinfo=datetime.UTC)

TOPOLOGY = HostTopology(
    nodes=(
        NumaNode(
            id=0,
            cpus=0b11,
            memory_mib=1024,
            pages=(Pages(4, 1000, 10),),
            distances={0: 10, 3: 20},
            cores=(Core(0, 1, 2, 0b11),),
            reserved_mib=256,
        ),
        NumaNode(id=3, cpus=0, memory_mib=512),
    ),
    offline=0b100,
    unmanaged=0b10,
    isolated=0b100,
    devices={"0000:3b:00.1": 3},
)
TOPOLOGY_DOCUMENT = {
    "offline": "2",
    "unmanaged": "1",
    "isolated": "2",
    "devices": {"0000:3b:00.1": 3},
    "nodes": [
        {
            "id": 0,
            "cpus": "0-1",
            "memory_mib": 1024,
            "pages": [{"size_kib": 4, "total": 1000, "free": 10}],
            "distances": {"0": 10, "3": 20},
            "cores": [{"socket": 0, "die": 1, "core": 2, "cpus": "0-1"}],
            "reserved_mib": 256,
        },
        {
            "id": 3,
            "cpus": "",
            "memory_mib": 512,
            "pages": [],
            "distances": {},
            "cores": [],
            "reserved_mib": 0,
        },
    ],
}
PLACEMENT = Placement({Part("vcpu", 0): 0b10, Part("iothread", 1): 1, EMULATOR: 3, MEMORY: 8})
PLACEMENT_DOCUMENT = {
    "vcpus": {"0": "1"},
    "emulator": "0-1",
    "iothreads": {"1": "0"},
    "memory": {"nodes": "3"},
}
USAGE = Usage(
    at=THEN,
    cpus={1: Load(50.0, 1.5, 0.0)},
    conflicts=(Conflict("shared", 0b10, (UUID, OTHER)),),
    instances={
        UUID: InstanceUsage(
            threads=(
                Thread(Part("vcpu", 0), "CPU 0/KVM", 41, 0b10, 1, 3.5, 0.125),
                Thread(EMULATOR, "qemu-system-x86", 40, 0, 0, 1.0, 0.0),
            ),
            vcpus={0: VcpuUsage(3.5, 0.125, 50.0, None)},
            memory={4: {0: 10, 3: 502}},
            locality_percent=2.0,
        )
    },
)
USAGE_DOCUMENT = {
    "at": "2026-02-28T23:59:58+00:00",
    "cpus": {"1": {"busy_percent": 50.0, "iowait_percent": 1.5, "steal_percent": 0.0}},
    "conflicts": [{"kind": "shared", "cpus": "1", "instances": [UUID, OTHER]}],
    "instances": {
        UUID: {
            "threads": [
                {"kind": "vcpu", "number": 0, "name": "CPU 0/KVM", "tid": 41, "cpus": "1"}
                | {"last_cpu": 1, "run_seconds": 3.5, "wait_seconds": 0.125},
                {"kind": "emulator", "number": None, "name": "qemu-system-x86", "tid": 40}
                | {"cpus": "", "last_cpu": 0, "run_seconds": 1.0, "wait_seconds": 0.0},
            ],
            "vcpus": {
                "0": {"run_seconds": 3.5, "wait_seconds": 0.125}
                | {"run_percent": 50.0, "wait_percent": None}
            },
            "memory": {"4": {"0": 10, "3": 502}},
            "locality_percent": 2.0,
        }
    },
}
WISH = Wish("dedicated", {0: 0b10}, 0b100, 0b11, {1: 1}, 0b1000)
WISH_DOCUMENT = {
    "cpu_policy": "dedicated",
    "vcpus": {"0": "1", "*": "2"},
    "emulator": "0-1",
    "iothreads": {"1": "0"},
    "memory": {"nodes": "3"},
}

PROGRESS = Progress(96, 256, 0.5)
RECEIPT = Receipt({4: {0: 200}, 2048: {0: 56}}, {4: {1: 200}, 2048: {1: 56}}, 256, 1.5, ("why",))
RECEIPT_DOCUMENT = {
    "before": {"4": {"0": 200}, "2048": {"0": 56}},
    "after": {"4": {"1": 200}, "2048": {"1": 56}},
    "moved_mib": 256,
    "seconds": 1.5,
    "warnings": ["why"],
}

HOST = objects.Host(
    name="one", topology=TOPOLOGY, generation=3, report_interval=60, reported_at=THEN
)
INSTANCE = objects.Instance(
    uuid=UUID,
    host="one",
    name="vnf \N{SNOWMAN}",
    project_id="telco",
    user_id=None,
    vcpus=2,
    memory_mib=512,
    iothreads=[1, 2],
    state="running",
    observed=PLACEMENT,
    started_ms=1790000000000,
    updated_at=THEN,
)
ASLEEP = objects.Instance(
    uuid=OTHER,
    host="one",
    name="asleep",
    project_id=None,
    user_id=None,
    vcpus=1,
    memory_mib=128,
    iothreads=[],
    state="shutoff",
    observed=None,
    started_ms=None,
    updated_at=THEN,
)
PIN = objects.Pin(
    instance_uuid=UUID,
    project_id="telco",
    user_id="mano",
    host="one",
    wish=WISH,
    placement=PLACEMENT,
    in_force=None,
    generation=2,
    arrival=3,
    status="failed",
    reason="because",
    progress=PROGRESS,
    cancelled=True,
    created_at=THEN,
    updated_at=None,
    asked={"vcpus": {"*": "4"}},
    template_id=OTHER,
    template_role="media",
    template_version=2,
)
NEW_PIN = objects.Pin(instance_uuid=UUID, project_id=None, user_id=None, wish=Wish())
EVENT = objects.PinEvent(
    instance_uuid=UUID,
    project_id="telco",
    at=THEN,
    event="created",
    generation=1,
    host=None,
    reason=None,
    user_id="mano",
    request_id="req-1",
    wish=WISH,
    cause=None,
    receipt=None,
    asked_by={"kind": "rollout", "version": 2},
)
OUTCOME = objects.Outcome(
    instance_uuid=UUID,
    generation=2,
    arrival=3,
    result="drifted",
    reason="why",
    in_force=PLACEMENT,
    cause="migration",
    receipt=RECEIPT,
)
MOVING = objects.Moving(instance_uuid=UUID, generation=2, arrival=3, progress=PROGRESS)
REPORT = objects.Report(
    host="one",
    sequence=1790000000000,
    interval=60,
    full=True,
    topology=TOPOLOGY,
    usage=USAGE,
    instances=[INSTANCE, ASLEEP],
    gone=[OTHER],
    moving=[MOVING],
    outcomes=[OUTCOME],
)
TEMPLATE = objects.Template(
    id=OTHER,
    name="gold",
    project_id="telco",
    user_id=None,
    shared=True,
    version=2,
    current=1,
    content={"roles": {"media": {"vcpus": {"*": "4"}}}},
    created_at=THEN,
    updated_at=None,
    rollout_id=UUID,
)
ROLLOUT = objects.Rollout(
    id=UUID,
    template_id=OTHER,
    template_name="gold",
    project_id="telco",
    user_id="mano",
    version=2,
    former=1,
    batch_size=5,
    state="running",
    reason=None,
    failed_pin=None,
    total=20,
    done=12,
    created_at=THEN,
    updated_at=THEN,
)
COLLISION = objects.Collision(
    instance_uuid=UUID, host="one", start=THEN, end=THEN, windows=30, reason="no room"
)
CALENDAR = objects.Calendar(
    id=OTHER,
    name="nights",
    project_id="telco",
    user_id="mano",
    all_projects=False,
    cron="0 22 * * *",
    timezone="Europe/Paris",
    duration_s=3600,
    starts_at=None,
    ends_at=None,
    overlay={"qos": {"vcpu_quota": 5000}},
    template_id=UUID,
    template_role="media",
    template_version=2,
    only_qos=True,
    pins=[UUID],
    following=None,
    metadata_key="tier",
    metadata_value="batch",
    priority=-5,
    on_collision="skip",
    enabled=True,
    generation=3,
    created_at=THEN,
    updated_at=None,
    collisions=[COLLISION],
    checked_until=THEN,
)
EXAMPLES = (
    *(HOST, INSTANCE, ASLEEP, PIN, NEW_PIN, EVENT, OUTCOME, MOVING, REPORT),
    *(TEMPLATE, ROLLOUT, COLLISION, CALENDAR),
)


class Echo:
    """An RPC endpoint that answers with what it was told."""

    target = oslo_messaging.Target(version="1.0")

    @oslo_messaging.expose
    def echo(self, context: RequestContext, thing: Any) -> Any:
        self.heard = thing
        return thing


class TravelTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configuration.set("transport_url", "fake://")
        transport = rpc.transport(self.conf)
        self.endpoint = Echo()
        server = rpc.server(transport, "echo", "here", self.endpoint)
        server.start()
        self.addCleanup(transport.cleanup)
        self.addCleanup(server.stop)
        self.client = rpc.client(transport, "echo", "1.0")

    def test_every_object_there_and_back(self) -> None:
        examples = {type(example).__name__ for example in EXAMPLES}
        self.assertEqual(set(Registry.obj_classes()), examples)
        # one call for all: to stop the server is what takes time
        heard = self.client.call(service_context(), "echo", thing=list(EXAMPLES))
        for example, there, back in zip(EXAMPLES, self.endpoint.heard, heard, strict=True):
            for travelled in (there, back):
                self.assertIs(type(example), type(travelled))
                self.assertIsNot(example, travelled)
                self.assertEqual(plain(example), plain(travelled))
        pin = heard[EXAMPLES.index(PIN)]
        self.assertEqual((WISH, PLACEMENT), (pin.wish, pin.placement))
        self.assertIsInstance(pin.placement, Placement)
        self.assertEqual(TOPOLOGY, heard[EXAMPLES.index(REPORT)].topology)
        self.assertEqual(Size(2, 512, (1, 2)), heard[EXAMPLES.index(INSTANCE)].size)
        self.assertFalse(heard[EXAMPLES.index(NEW_PIN)].obj_attr_is_set("status"))


def plain(thing: Any) -> Any:
    """Return an object as JSON's types, without the order in which it was filled."""
    if isinstance(thing, KongMingObject):
        thing = thing.obj_to_primitive()
    if isinstance(thing, dict):
        return {
            key: sorted(value) if key == "kongming_object.changes" else plain(value)
            for key, value in thing.items()
        }
    return [plain(item) for item in thing] if isinstance(thing, list) else thing


class FormTest(base.TestCase):
    """What is on the wire; the fingerprints do not cover what is inside of topology fields."""

    def test_topology(self) -> None:
        self.assertEqual(TOPOLOGY_DOCUMENT, data(HOST)["topology"])
        self.assertEqual(TOPOLOGY, reread(HOST).topology)

    def test_placement(self) -> None:
        self.assertEqual(PLACEMENT_DOCUMENT, data(PIN)["placement"])
        self.assertIsNone(data(PIN)["in_force"])
        self.assertEqual(PLACEMENT, reread(PIN).placement)

    def test_usage(self) -> None:
        self.assertEqual(USAGE_DOCUMENT, data(REPORT)["usage"])
        self.assertEqual(USAGE, reread(REPORT).usage)

    def test_wish(self) -> None:
        self.assertEqual(WISH_DOCUMENT, data(PIN)["wish"])
        self.assertEqual(WISH, reread(PIN).wish)

    def test_move(self) -> None:
        progress = {"moved_mib": 96, "total_mib": 256, "seconds": 0.5}
        self.assertEqual(progress, data(MOVING)["progress"])
        self.assertEqual(PROGRESS, reread(MOVING).progress)
        self.assertEqual(RECEIPT_DOCUMENT, data(OUTCOME)["receipt"])
        self.assertEqual(RECEIPT, reread(OUTCOME).receipt)

    def test_sender_that_does_not_know_a_field(self) -> None:
        old = objects.Outcome(instance_uuid=UUID, generation=2, result="applied")
        self.assertIsNone(reread(old).receipt)
        self.assertEqual([], reread(objects.Report(host="one")).moving)

    def test_namespace(self) -> None:
        primitive = PIN.obj_to_primitive()
        self.assertEqual("kongming", primitive["kongming_object.namespace"])

    def test_fields_take_documents(self) -> None:
        pin = objects.Pin(wish=WISH_DOCUMENT, placement=PLACEMENT_DOCUMENT)
        self.assertEqual((WISH, PLACEMENT), (pin.wish, pin.placement))

    def test_wrong_values_are_refused(self) -> None:
        for cls, field, value in (
            (objects.Pin, "status", "finished"),
            (objects.Pin, "wish", None),
            (objects.Instance, "state", "asleep"),
            (objects.Instance, "vcpus", -1),
            (objects.Outcome, "result", "waiting"),
            (objects.Report, "instances", [PIN]),
        ):
            self.assertRaises(ValueError, cls, **{field: value})


def data(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = thing.obj_to_primitive()["kongming_object.data"]
    return found


def reread(thing: Any) -> Any:
    return KongMingObject.obj_from_primitive(thing.obj_to_primitive())


class FingerprintTest(base.TestCase):
    #: Who changes an object also raises its VERSION: mixed versions run during upgrades.
    FINGERPRINTS = {
        "Calendar": "1.0-567106fe5f454d04e0668ca8eac4e8e1",
        "Collision": "1.0-51de4ba3221eb77da0073a76567e4fc1",
        "Host": "1.0-e8495a3ae9784ee2c5bb0aa18f2e9474",
        "Instance": "1.1-129486eac6013d00a1912e456e411035",
        "Moving": "1.0-9e36519e744ee756ff38399304b49bb8",
        "Outcome": "1.2-04b5da395b50a4cec9dc25e591514913",
        "Pin": "1.3-1240198ac4376dcede699395a3b9fb6f",
        "PinEvent": "1.2-233e6280992ad5da4229ec986e5968c5",
        "Report": "1.1-9ed1244619aa61a2a1351559203ba80e",
        "Rollout": "1.0-56a3cbd2afb1ffd64d02245edeb43888",
        "Template": "1.0-ecfc55f816312672fa956abb3d54c8ab",
    }

    def test_fingerprints(self) -> None:
        checker = fixture.ObjectVersionChecker(Registry.obj_classes())
        expected, actual = checker.test_hashes(self.FINGERPRINTS)
        self.assertEqual(expected, actual)


class FromRowTest(base.TestCase):
    def test_fields_that_the_row_has(self) -> None:
        row = types.SimpleNamespace(
            name="one", generation=7, reported_at=THEN.replace(tzinfo=None), surplus="ignored"
        )
        host = objects.Host.from_row(row)
        self.assertEqual(("one", 7, THEN), (host.name, host.generation, host.reported_at))
        self.assertFalse(host.obj_attr_is_set("topology"))

    def test_no_time_at_all(self) -> None:
        self.assertIsNone(objects.Pin.from_row(types.SimpleNamespace(updated_at=None)).updated_at)


class HostTest(base.TestCase):
    def test_status(self) -> None:
        for silence, status in ((0, "up"), (29, "up"), (31, "down"), (86400 * 30, "down")):
            now = datetime.datetime.now(datetime.UTC)
            host = objects.Host(
                report_interval=10, reported_at=now - datetime.timedelta(seconds=silence)
            )
            self.assertEqual(status, host.status, f"after {silence} s")
        self.assertEqual(3, MISSED_REPORTS)


class InstanceTest(base.TestCase):
    def test_threads(self) -> None:
        without = set()
        for state in STATES:
            if not objects.Instance(state=state).has_threads:
                without.add(state)
        self.assertEqual({"nostate", "shutoff", "crashed"}, without)
        self.assertEqual(set(STATES) - without, set(ACTIVE_STATES))
