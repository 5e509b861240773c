# SPDX-License-Identifier: Apache-2.0
"""What a host that somebody broke into may say, and what not."""

import copy
import math
from typing import Any

from kongming import exception, objects
from kongming.conductor import reported
from kongming.tests import base
from kongming.tests.unit.conductor.base import TOPOLOGY, A, B
from kongming.topology.host import Host
from kongming.topology.placement import Part, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress
from kongming.topology.usage import Usage

INSTANCE: dict[str, Any] = {
    **{"uuid": A, "host": "one", "name": "vnf", "project_id": "telco", "user_id": None},
    **{"vcpus": 2, "memory_mib": 512, "iothreads": [1], "state": "running", "holds": "0-1"},
    **{"observed": Placement({Part("vcpu"): 1, Part("vcpu_quota"): -1}), "started_ms": 5},
}
OUTCOME: dict[str, Any] = {
    **{"instance_uuid": A, "generation": 1, "arrival": 0, "result": "applied"},
    **{"reason": None, "in_force": Placement({Part("emulator"): 3}), "cause": None},
    "receipt": Receipt(before={4: {0: 1}}, after={4: {1: 1}}, moved_mib=1, seconds=0.5),
}
NODE: dict[str, Any] = {
    **{"id": 0, "cpus": "0-3", "memory_mib": 4096, "reserved_mib": 0, "distances": {"0": 10}},
    "pages": [{"size_kib": 4, "total": 1048576, "free": 1}],
    "cores": [{"socket": 0, "die": -1, "core": 0, "cpus": "0-1"}],
}
HOST: dict[str, Any] = {"offline": "", "devices": {"0000:3b:00.1": -1}, "nodes": [NODE]}
USAGE: dict[str, Any] = {
    "at": "2027-01-01T00:00:00+00:00",
    "cpus": {"0": {"busy_percent": 1.5, "iowait_percent": 0, "steal_percent": 0.0}},
    "conflicts": [{"kind": "pinned", "cpus": "0", "instances": [A, B]}],
    "instances": {
        A: {
            "threads": [
                {
                    **{"kind": "vcpu", "number": 0, "name": "CPU 0/KVM", "tid": 7, "cpus": "0"},
                    **{"last_cpu": 0, "run_seconds": 1.0, "wait_seconds": 0.0},
                }
            ],
            "vcpus": {
                "0": {
                    **{"run_seconds": 1.0, "wait_seconds": 0.0},
                    **{"run_percent": None, "wait_percent": None},
                }
            },
            "memory": {"4": {"0": 512}},
            "locality_percent": None,
        }
    },
}


def changed(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of JSON with another value at a path of keys and indices."""
    copied = copy.deepcopy(data)
    *way, last = path.split(".")
    place: Any = copied
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return copied


class ReportedTest(base.BareTestCase):
    def report(self, **change: Any) -> None:
        known: dict[str, Any] = {"host": "one", "sequence": 1, "interval": 60, "full": True}
        known |= {"topology": TOPOLOGY, "usage": None, "instances": [], "gone": [], "outcomes": []}
        reported.report("report", objects.Report(**known | change))

    def refused(self, field: str, **change: Any) -> None:
        error = self.assertRaises(exception.BadRequest, self.report, **change)
        self.assertIn(f"report.{field}", error.message)

    def test_instance(self) -> None:
        good: list[dict[str, Any]] = [{}, {"started_ms": None, "observed": None, "holds": ""}]
        good += [{"name": "a\xa0\U0001f600"}, {"vcpus": 0, "memory_mib": 0, "project_id": None}]
        for change in good:
            self.report(instances=[objects.Instance(**INSTANCE | change)])
        old = {name: value for name, value in INSTANCE.items() if name != "started_ms"}
        self.report(instances=[objects.Instance(**old)])
        bad: list[tuple[str, Any]] = [
            ("host", "two"),
            *(("holds", text) for text in ("x", "0-8192", "1,^1")),
            *(("vcpus", number) for number in (4097, 2**40)),
            ("memory_mib", 2**40),
            *(("iothreads", numbers) for numbers in ([-1], [2**31], [1] * 4097)),
            *((name, "a\0") for name in ("name", "project_id", "user_id")),
            *((name, "a\ud800") for name in ("name", "project_id", "user_id")),
            *((name, "a" * 256) for name in ("name", "project_id", "user_id")),
            *(("started_ms", number) for number in (-1, 2**63)),
            *(
                ("observed", Placement({part: value}))
                for part, value in (
                    (Part("colour"), 1),  # type: ignore[arg-type]
                    (Part("vcpu", -1), 1),
                    (Part("vcpu", 2**31), 1),
                    (Part("vcpu_quota"), math.inf),
                    (Part("vcpu_quota"), "x"),
                    (Part("cpu_shares"), 2**63),
                )
            ),
        ]
        for name, value in bad:
            instance = objects.Instance(**INSTANCE | {name: value})
            self.refused(f"instances.{name}", instances=[instance])

    def test_topology(self) -> None:
        self.report(topology=Host.from_dict(HOST))
        # what libvirt makes of a core that the kernel calls -1
        self.report(topology=Host.from_dict(changed(HOST, "nodes.0.cores.0.core", 2**32 - 1)))
        many = [NODE | {"id": number} for number in range(1025)]
        for path, value in (
            *(("nodes.0.id", number) for number in (-1, 8192, 10**9, "0", 1.5, None)),
            *((f"nodes.0.{name}", -1) for name in ("memory_mib", "reserved_mib")),
            *((f"nodes.0.{name}", "x") for name in ("memory_mib", "reserved_mib")),
            *((f"nodes.0.{name}", math.inf) for name in ("memory_mib", "reserved_mib")),
            ("nodes.0.pages.0.size_kib", 0),
            ("nodes.0.pages.0.size_kib", "4"),
            ("nodes.0.pages.0.free", -1),
            ("nodes.0.pages.0.total", 2**63),
            ("nodes.0.distances", {"8192": 10}),
            ("nodes.0.distances", {"0": "x"}),
            *((f"nodes.0.cores.0.{name}", "a") for name in ("socket", "die", "core")),
            ("devices", [1]),
            ("devices", {"0000:3b:00.1": "0"}),
            ("devices", {"0000:3b:00.1": 8192}),
            ("devices", {"x" * 256: 0}),
            ("nodes", [NODE, NODE]),
            ("nodes", many),
        ):
            self.refused("topology", topology=Host.from_dict(changed(HOST, path, value)))

    def test_usage(self) -> None:
        self.report(usage=Usage.from_dict(USAGE))
        for path, value in (
            *((f"cpus.0.{name}_percent", math.inf) for name in ("busy", "iowait", "steal")),
            *((f"cpus.0.{name}_percent", "x") for name in ("busy", "iowait", "steal")),
            ("conflicts.0.kind", 5),
            ("conflicts.0.instances", [None]),
            (f"instances.{A}.threads.0.kind", "colour"),
            (f"instances.{A}.threads.0.number", 1.5),
            (f"instances.{A}.threads.0.name", None),
            (f"instances.{A}.threads.0.tid", "x"),
            (f"instances.{A}.threads.0.last_cpu", "x"),
            (f"instances.{A}.threads.0.run_seconds", math.nan),
            (f"instances.{A}.vcpus.0.run_seconds", math.inf),
            (f"instances.{A}.vcpus.0.wait_percent", "x"),
            (f"instances.{A}.memory.4.0", "x"),
            (f"instances.{A}.locality_percent", math.inf),
            (f"instances.{A}.locality_percent", 10**400),
            (f"instances.{A}.vcpus.0.wait_seconds", None),
        ):
            self.refused("usage", usage=Usage.from_dict(changed(USAGE, path, value)))

    def test_what_nobody_thought_of(self) -> None:
        strange = changed(USAGE, f"instances.{A}.threads.0.kind", ["vcpu"])
        error = self.assertRaises(exception.BadRequest, self.report, usage=Usage.from_dict(strange))
        self.assertIn("report: is none: ", error.message)
        self.assertIn("The report of host 'one' is refused", self.log.output)

    def test_outcomes_and_moves(self) -> None:
        good: list[dict[str, Any]] = [{}, {"reason": "x" * 10**6}, {"in_force": None}]
        for change in good:
            self.report(outcomes=[objects.Outcome(**OUTCOME | change)])
        old = {k: v for k, v in OUTCOME.items() if k not in ("cause", "receipt")}
        self.report(outcomes=[objects.Outcome(**old)])
        for name, value in (
            ("reason", "a\0"),
            ("reason", "a\ud800"),
            ("cause", "x" * 33),
            ("in_force", Placement({Part("vcpu", -1): 1})),
            ("receipt", Receipt({4: {0: 1.5}}, {}, 1, 1.0)),  # type: ignore[dict-item]
            ("receipt", Receipt({}, {}, 1, math.inf)),
            ("receipt", Receipt({}, {}, 1, 1.0, (None,))),  # type: ignore[arg-type]
        ):
            outcome = objects.Outcome(**OUTCOME | {name: value})
            self.refused(f"outcomes.{name}", outcomes=[outcome])
        told = {"instance_uuid": A, "generation": 1, "arrival": 0}
        self.report(moving=[objects.Moving(**told, progress=Progress(1, 2, 0.5))])
        for progress in (Progress(-1, 2, 0.5), Progress(1, 2, math.nan)):
            self.refused("moving", moving=[objects.Moving(**told, progress=progress)])
