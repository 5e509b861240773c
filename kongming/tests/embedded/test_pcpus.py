# SPDX-License-Identifier: Apache-2.0
"""What of a host may be used: managed, isolated and online pCPUs, and vCPUs that come and go."""

from typing import Any, ClassVar

from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, PLACED, VNF, WISH
from kongming.topology import cpuset
from kongming.topology.placement import Part

DEDICATED: dict[str, Any] = {"cpu_policy": "dedicated"}


class PcpusTestCase(base.EmbeddedTestCase):
    def offline(self, cpus: str) -> None:
        """Take pCPUs of host one offline, and all others online."""
        self.fleet.set_offline("one", cpuset.parse(cpus))

    def claimed(self) -> set[int]:
        """Return the pCPUs that somebody claims."""
        return {row["pcpu"] for row in base.rows("claims")}

    def cpus(self, **options: Any) -> dict[str, str]:
        """Return the pCPUs of host one as the API shows them."""
        found: dict[str, str] = self.get("/v1/hosts/one", **options).json()["cpus"]
        return found

    def generation(self) -> int:
        """Return the generation of the pin of VNF."""
        found: int = self.get(f"/v1/pins/{VNF}").json()["generation"]
        return found

    def next_report(self) -> None:
        """Wait for one more report of host one."""
        before = self.sequence()
        self.eventually(lambda: self.sequence() > before)

    def sequence(self) -> int:
        """Return the number of the last report of host one."""
        numbers = {row["name"]: int(row["report_sequence"]) for row in base.rows("hosts")}
        return numbers["one"]

    def resized(self, vcpus: int) -> None:
        """Give VNF so many vCPUs, and wait until it is applied for them."""
        self.fleet.set_vcpus(VNF, vcpus)
        self.eventually(lambda: len(self.wait_for("applied")["placement"]["vcpus"]) == vcpus)
        self.eventually(lambda: len(self.claimed()) in (0, vcpus))


class OfflineTest(PcpusTestCase):
    # the full report that is due comes after the test: what is noticed, is noticed at once
    interval = 600

    def test_host_shows_it_at_once(self) -> None:
        self.offline("8-15")
        self.eventually(lambda: (self.cpus()["online"], self.cpus()["offline"]) == ("0-7", "8-15"))
        self.offline("15")
        self.eventually(lambda: self.cpus()["offline"] == "15")

    def test_exact_pin_fails_until_it_is_back(self) -> None:
        self.pin(**WISH)
        self.wait_for("applied")
        self.offline("4,15")
        self.assertEqual("0-3,5-14", self.observed()["vcpus"]["0"])
        failed = self.wait_for("failed")
        self.assertIn("vCPU 0", failed["reason"])
        self.assertIn("offline pCPU 4", failed["reason"])
        self.assertEqual({4, 5, 6, 7}, self.claimed())
        self.pin(OTHER, expect=409, **DEDICATED, vcpus={"*": "5"})
        self.offline("15")
        self.wait_for("applied")
        self.assertEqual(PLACED, self.observed())
        events = [event["event"] for event in self.history()]
        self.assertEqual(["created", "applied", "drifted", "failed", "applied"], events)
        self.assertEqual(1, self.generation())

    def test_set_of_which_one_is_offline(self) -> None:
        self.pin(vcpus={"*": "4-7"})
        self.wait_for("applied")
        self.offline("7,15")
        self.assertIn("offline pCPU 7", self.wait_for("failed")["reason"])
        self.offline("15")
        self.wait_for("applied")
        self.assertEqual({"4-7"}, set(self.observed()["vcpus"].values()))

    def test_chosen_pcpus_are_chosen_anew(self) -> None:
        first = self.pin(OTHER, **DEDICATED)["placement"]
        self.wait_for("applied", OTHER)
        self.offline(f"{first['vcpus']['0']},15")
        found = self.eventually(
            lambda: (pin := self.wait_for("applied", OTHER))["generation"] == 2 and pin
        )
        self.assertNotIn(first["vcpus"]["0"], found["placement"]["vcpus"].values())
        self.assertEqual(first["memory"], found["placement"]["memory"])
        self.assertEqual(found["placement"]["vcpus"], self.observed(OTHER)["vcpus"])
        # what was left is free once the host has said so
        given = {int(pcpu) for pcpu in found["placement"]["vcpus"].values()}
        self.eventually(lambda: self.claimed() == given)

    def test_chosen_pcpus_with_none_to_replace_them(self) -> None:
        self.pin(VNF, **DEDICATED, vcpus={"0": "0", "1": "1", "2": "2", "3": "3"})
        wish = {**DEDICATED, "memory": {"nodes": "0"}, "vcpus": {"0": "8"}}
        vcpus = self.pin(OTHER, **wish)["placement"]["vcpus"]
        self.wait_for("applied", OTHER)
        kept = self.claimed()
        self.assertIn(int(vcpus["1"]), {9, 10, 11})
        self.offline("9-11,15")
        reason = self.wait_for("failed", OTHER)["reason"]
        self.assertIn(f"offline pCPU {vcpus['1']}", reason)
        self.assertEqual(kept, self.claimed())
        self.offline("15")
        self.wait_for("applied", OTHER)
        self.assertEqual(vcpus, self.observed(OTHER)["vcpus"])

    def test_smt_off_and_on(self) -> None:
        # siblings are n and n + 8
        wish = {**DEDICATED, "thread_policy": "require"}
        self.pin(OTHER, **wish)
        self.wait_for("applied", OTHER)
        vcpus = self.observed(OTHER)["vcpus"]
        self.assertEqual(8, abs(int(vcpus["0"]) - int(vcpus["1"])))
        self.offline("8-15")
        self.assertIn("offline pCPU", self.wait_for("failed", OTHER)["reason"])
        self.pin(VNF, **DEDICATED, thread_policy="isolate", numa_nodes=2)
        self.wait_for("applied")
        mine = {int(pcpu) for pcpu in self.observed()["vcpus"].values()}
        self.assertEqual((4, set()), (len(mine), mine - set(range(8))))
        self.request("DELETE", f"/v1/pins/{VNF}")
        answer = self.pin(VNF, expect=409, **wish)
        self.assertIn("resource_pin.siblings_short", [e["code"] for e in answer["errors"]])
        self.offline("15")
        self.wait_for("applied", OTHER)
        self.assertEqual(vcpus, self.observed(OTHER)["vcpus"])


class IsolatedTest(PcpusTestCase):
    fleet_text = base.FLEET.replace('  offline: "15"', '  offline: "15"\n  isolated: "4-7"')

    def test_shown_from_its_version_on(self) -> None:
        self.assertEqual("4-7", self.cpus()["isolated"])
        older = {"OpenStack-API-Version": "resource_pin 1.5"}
        self.assertNotIn("isolated", self.cpus(headers=older))

    def test_exact(self) -> None:
        answer = self.request("POST", "/v1/pins", json={"instance_uuid": VNF, **WISH})
        self.assert_error(answer, 400, "pcpu_isolated", "vcpus.1: pCPU 5-7 is isolated")
        single = {"0": "4", "1": "5", "2": "6", "3": "7"}
        self.pin(**DEDICATED, vcpus=single)
        self.wait_for("applied")
        self.assertEqual(single, self.observed()["vcpus"])

    def test_candidate_for_exact_isolated_pcpu(self) -> None:
        wish = {"vcpus": {"0": "4"}}
        body = {"wish": wish, "size": {"vcpus": 1, "memory_mib": 64}, "hosts": ["one"]}
        answer = self.request("POST", "/v1/candidates", json=body).json()
        self.assertEqual(["one"], [host["host"] for host in answer["candidates"]])

    def test_chosen(self) -> None:
        shared = self.pin(OTHER, cpu_policy="shared", numa_nodes=1)["placement"]
        self.assertEqual({"0-3,8-11"}, set(shared["vcpus"].values()))
        dedicated = self.pin(VNF, **DEDICATED)["placement"]
        self.assertEqual(["4", "5", "6", "7"], sorted(dedicated["vcpus"].values()))
        for uuid in (VNF, OTHER):
            self.wait_for("applied", uuid)

    def test_without_a_pin_no_thread_is_there(self) -> None:
        self.assertEqual({"0-3,8-14"}, set(self.observed()["vcpus"].values()))
        self.pin(**DEDICATED)
        self.wait_for("applied")
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: set(self.observed()["vcpus"].values()) == {"0-3,8-14"})


class ManagedTest(PcpusTestCase):
    agent_options: ClassVar[dict[str, Any]] = {"managed_cpus": "1-15"}

    def test_chosen_places_are_managed(self) -> None:
        wish = {**DEDICATED, "numa_nodes": 1}
        self.assertNotIn("0", self.pin(VNF, **wish)["placement"]["vcpus"].values())
        shared = self.pin(OTHER, cpu_policy="shared", numa_nodes=1)["placement"]
        for mask in shared["vcpus"].values():
            self.assertFalse(cpuset.parse(mask) & 1)

    def test_agent_refuses_what_is_not_managed_any_more(self) -> None:
        self.pin(**WISH | {"emulator": "1"})
        self.wait_for("applied")
        self.kongming.stop_agent("one")
        self.kongming.configuration.set("managed_cpus", "1-3,5-15", "agent")
        self.kongming.start_agent("one")
        # what is in place stays
        self.eventually(lambda: self.cpus()["managed"] == "1-3,5-14")
        self.wait_for("applied")
        before = {**self.observed(), "vcpus": self.observed()["vcpus"] | {"0": "9"}}
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 9)
        reason = "vCPU 0: pCPU 4 is not among [agent] managed_cpus"
        self.assertEqual(reason, self.wait_for("failed")["reason"])
        self.assertEqual(before, self.observed())
        self.assertEqual({4, 5, 6, 7}, self.claimed())
        # and may be left
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: set(self.observed()["vcpus"].values()) == {"0-14"})


class GuestHotplugTest(PcpusTestCase):
    # there is no event for it
    interval = 1

    def test_every_vcpu(self) -> None:
        self.pin(vcpus={"*": "4-5"})
        self.wait_for("applied")
        for number in (6, 3):
            self.resized(number)
            expected = {str(vcpu): "4-5" for vcpu in range(number)}
            self.assertEqual(expected, self.observed()["vcpus"])

    def test_exact_vcpu_that_is_unplugged_and_plugged_again(self) -> None:
        self.pin(vcpus={"0": "4", "3": "7"})
        self.wait_for("applied")
        self.fleet.set_vcpus(VNF, 3)
        self.assertIn("no vCPU 3", self.wait_for("failed")["reason"])
        self.fleet.set_vcpus(VNF, 4)
        self.wait_for("applied")
        self.assertEqual("7", self.observed()["vcpus"]["3"])

    def test_dedicated(self) -> None:
        self.pin(**DEDICATED)
        self.wait_for("applied")
        for number in (6, 2):
            self.resized(number)
            vcpus = self.observed()["vcpus"]
            self.assertEqual(self.claimed(), {int(pcpu) for pcpu in vcpus.values()})

    def test_dedicated_without_room_for_one_more(self) -> None:
        self.pin(OTHER, **DEDICATED, vcpus={"0": "0", "1": "1"})
        self.pin(VNF, **DEDICATED, numa_nodes=1, memory={"nodes": "0"})
        self.wait_for("applied")
        before = self.observed()["vcpus"]
        self.fleet.set_vcpus(VNF, 7)
        short = "NUMA node 0 has 6 of the 7 dedicated pCPUs needed: 1 short"
        self.assertIn(short, self.wait_for("failed")["reason"])
        self.assertEqual(6, len(self.claimed()))
        # the sweep that finds the others in place does not change that
        for _ in range(2):
            self.next_report()
        self.assertIn(short, self.wait_for("failed")["reason"])
        self.assertLessEqual(before.items(), self.observed()["vcpus"].items())
        # there is room at last
        self.request("DELETE", f"/v1/pins/{OTHER}")
        self.wait_for("applied")
        self.assertEqual(7, len(self.claimed()))
