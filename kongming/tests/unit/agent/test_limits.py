# SPDX-License-Identifier: Apache-2.0
"""What the operator withholds from instances."""

from kongming.agent.limits import Limits, LimitsError
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
