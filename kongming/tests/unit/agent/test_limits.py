# SPDX-License-Identifier: Apache-2.0
"""What the operator withholds from instances."""

from typing import Any

from kongming.agent.limits import Limits, LimitsError, nonsense
from kongming.tests import base
from kongming.topology.host import Host, NumaNode
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

HOST = Host(nodes=(NumaNode(0, 0b0011, 1024), NumaNode(1, 0b0100, 1024)), offline=0b1000)


class LimitsTest(base.TestCase):
    def limits(self, managed: str | None = None, reserved: dict[str, str] | None = None) -> Limits:
        self.configuration.set("managed_cpus", managed, "agent")
        self.configuration.set("reserved_memory_mib", reserved or {}, "agent")
        return Limits.from_conf(self.conf)

    def test_nothing_is_withheld_unless_asked(self) -> None:
        self.assertEqual(HOST, self.limits().applied_to(HOST))

    def test_pcpus(self) -> None:
        self.assertEqual(0b0101, self.limits("1,3,8").applied_to(HOST).unmanaged)

    def test_memory(self) -> None:
        nodes = self.limits(reserved={"1": "512", "7": "1"}).applied_to(HOST).nodes
        self.assertEqual([0, 512], [node.reserved_mib for node in nodes])

    def test_placements_outside(self) -> None:
        placement = Placement({Part("vcpu", 1): 0b0110, EMULATOR: 0b0010, MEMORY: 0b1000})
        reason = "vCPU 1: pCPU 2 is not among [agent] managed_cpus"
        self.assertEqual([reason], self.limits("0-1").refusals(placement))
        self.assertEqual([], self.limits("1-2").refusals(placement))
        self.assertEqual([], self.limits().refusals(placement))

    def test_malformed(self) -> None:
        for managed, reserved, message in (
            ("2-x", {}, "[agent] managed_cpus: '2-x' is neither a number nor a range"),
            (None, {"0": "much"}, "[agent] reserved_memory_mib: '0:much' is not NODE:MIB"),
            (None, {"-1": "4"}, "[agent] reserved_memory_mib: '-1:4' is not NODE:MIB"),
        ):
            error = self.assertRaises(LimitsError, self.limits, managed, reserved)
            self.assertEqual(message, str(error))

    def test_only_emulator_threads_and_memory_of_next_start_differ(self) -> None:
        placement = Placement({Part("iothread", 1): 0b100, Part("start"): 0b100, MEMORY: 0b100})
        reason = "I/O thread 1: pCPU 2 is not among [agent] managed_cpus"
        self.assertEqual([reason], self.limits("0-1").refusals(placement))
        self.assertEqual(
            ["emulator: pCPU 2 is not among [agent] managed_cpus"],
            self.limits("0-1").refusals(Placement({EMULATOR: 0b111})),
        )


class NonsenseTest(base.BareTestCase):
    def test_what_conductors_ask_for(self) -> None:
        placement = Placement({Part("vcpu", 0): 1, EMULATOR: 6, MEMORY: 2, Part("start"): 1})
        numbers: dict[Part, int] = {
            Part("vcpu_quota", 0): -1,
            Part("emulator_quota"): 1000,
            Part("global_period"): 1000000,
            Part("vcpu_weight", 3): 10000,
            Part("cpu_shares"): 1024,
        }
        self.assertEqual([], nonsense(placement | numbers))  # type: ignore[arg-type]

    def test_anything_else(self) -> None:
        parts: list[tuple[Any, Any]] = [
            (Part("vcpu", 0), 0),
            (EMULATOR, -1),
            (MEMORY, 0),
            (Part("iothread", 1), "4"),
            (Part("vcpu", 0), True),
            (Part("vcpu", 0), 1.0),
            (Part("vcpu", 0), None),
            (Part("vcpu", "0"), 1),  # type: ignore[arg-type]
            (Part("colour", 0), 1),  # type: ignore[arg-type]
            (Part("colour_quota", 0), 1),  # type: ignore[arg-type]
            (Part("vcpu_quota", 0), -2),
            (Part("vcpu_quota", 0), 999),
            (Part("vcpu_period", 0), 10**9),
            (Part("cpu_shares"), 0),
            (Part("vcpu_weight", 0), 10001),
            (Part("global_quota"), 2**70),
            (Part("global_quota"), "much"),
        ]
        for part, value in parts:
            self.assertEqual(1, len(nonsense(Placement({part: value}))), f"{part!r} {value!r}")
