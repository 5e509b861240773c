# SPDX-License-Identifier: Apache-2.0
"""What hosts and instances are used for, from the agent to whoever may see it."""

import pathlib
import re
from typing import Any

import fixtures
import requests

import kongming
from kongming.hypervisor.driver import HypervisorError
from kongming.tests import scrape
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, VNF
from kongming.tests.functional.fixtures import server
from kongming.topology.placement import Part

USED = {"OpenStack-API-Version": "resource_pin 1.5"}
BEFORE = {"OpenStack-API-Version": "resource_pin 1.4"}
MANUAL = pathlib.Path(kongming.__file__).parents[1] / "doc/source/admin/metrics.rst"
SAMPLE = "kongming.hypervisor.simulated.SimulatedDriver.sample"
PINNED: dict[str, Any] = {"vcpus": {"0": "4", "1-3": "5-7"}}


class ShownTest(base.EmbeddedTestCase):
    interval = 1

    def show(self, path: str, headers: dict[str, str] = USED) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"/v1/{path}", headers=headers).json()
        return answer

    def test_instance(self) -> None:
        self.pin(VNF, **PINNED)
        self.wait_for("applied")

        def pinned_and_timed() -> Any:
            usage = self.show(f"instances/{VNF}")["usage"]
            at = {thread["cpus"] for thread in usage["threads"] if thread["kind"] == "vcpu"}
            return at == {"4", "5-7"} and usage["vcpus"]["0"]["run_percent"] and usage

        usage = self.eventually(pinned_and_timed)
        self.assertEqual({"at", "threads", "vcpus", "memory", "locality_percent"}, set(usage))
        self.assertEqual(set("0123"), set(usage["vcpus"]))
        self.assertEqual({"4": {"0": 2048}}, usage["memory"])
        # pCPUs 4 to 7 are of node 1
        self.assertEqual(0.0, usage["locality_percent"])
        self.assertEqual(60.0, usage["vcpus"]["0"]["run_percent"])
        (emulator,) = (each for each in usage["threads"] if each["kind"] == "emulator")
        self.assertIsNone(emulator["number"])

    def test_host_and_conflicts(self) -> None:
        for uuid in (VNF, OTHER):
            self.pin(uuid, vcpus={"*": "4-7", "0": "4"})
            self.wait_for("applied", uuid)

        def double_booked() -> Any:
            usage = self.show("hosts/one")["usage"]
            # the look before may have found one pinned, and the other anywhere
            kinds = [conflict["kind"] for conflict in usage["conflicts"]]
            return kinds == ["pinned"] and usage["cpus"] and usage

        usage = self.eventually(double_booked)
        self.assertEqual(
            [{"kind": "pinned", "cpus": "4", "instances": [VNF, OTHER]}], usage["conflicts"]
        )
        self.assertEqual({str(cpu) for cpu in range(15)}, set(usage["cpus"]))

    def test_list_is_as_single_ones(self) -> None:
        self.eventually(lambda: self.show(f"instances/{VNF}")["usage"])
        self.eventually(lambda: self.show("hosts/one")["usage"]["cpus"])
        for agent in list(self.kongming.parts.agents):  # type: ignore[union-attr]
            self.kongming.stop_agent(agent)
        for each in self.show("instances")["instances"]:
            self.assertEqual(self.show(f"instances/{each['uuid']}"), each)
        for each in self.show("hosts")["hosts"]:
            self.assertEqual(self.show(f"hosts/{each['name']}"), each)

    def test_without_threads(self) -> None:
        self.assertIsNone(self.show(f"instances/{OFF}")["usage"])
        self.eventually(lambda: self.show(f"instances/{VNF}")["usage"])
        self.fleet.stop(VNF)
        self.eventually(lambda: self.show(f"instances/{VNF}")["state"] == "shutoff")
        self.assertIsNone(self.show(f"instances/{VNF}")["usage"])

    def test_versions_before(self) -> None:
        for path in (f"instances/{VNF}", "hosts/one"):
            self.assertNotIn("usage", self.show(path, BEFORE))
        for noun in ("instances", "hosts"):
            for each in self.show(noun, BEFORE)[noun]:
                self.assertNotIn("usage", each)


class UnknownTest(base.EmbeddedTestCase):
    """No host can tell what it is used for, from its first report on."""

    def setUp(self) -> None:
        def fail(driver: Any) -> None:
            raise HypervisorError("it does not count")

        self.useFixture(fixtures.MonkeyPatch(SAMPLE, fail))
        super().setUp()

    def test_shown_as_null(self) -> None:
        for path in ("hosts/one", f"instances/{VNF}"):
            answer = self.get(f"/v1/{path}", headers=USED)
            self.assertEqual(200, answer.status_code, answer.text)
            self.assertIsNone(answer.json()["usage"])
        for noun in ("hosts", "instances"):
            for each in self.get(f"/v1/{noun}", headers=USED).json()[noun]:
                self.assertIsNone(each["usage"])


class MetricsTest(base.EmbeddedTestCase):
    interval = 1

    def setUp(self) -> None:
        super().setUp()
        self.port = server.free_port()
        self.kongming.stop_agent("one")
        self.kongming.configuration.set("metrics_port", self.port, "agent")

    def scrape(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return what the agent of host "one" tells."""
        return scrape.samples(self.port)

    def test_numbers(self) -> None:
        self.kongming.start_agent("one")
        self.pin(VNF, **PINNED)
        self.wait_for("applied")
        self.fleet.tamper(VNF, Part("vcpu", 0), 1 << 5)

        # OTHER, which floats, asks all 15 pCPUs alike

        def repaired_and_looked_at() -> Any:
            found = self.scrape()
            repairs = found["kongming_pin_repairs_total"][()]
            return repairs and found["kongming_host_cpu_busy_ratio"].get(("4",)) == 0.68 and found

        found = self.eventually(repaired_and_looked_at)
        self.assertEqual({(VNF, "applied"): 1}, found["kongming_pin_state"])
        self.assertEqual({(): 1}, found["kongming_pin_drifts_total"])
        self.assertEqual({(): 0}, found["kongming_pin_failures_total"])
        self.assertTrue(0 <= found["kongming_report_age_seconds"][()] < 60)
        memory = found["kongming_instance_memory_bytes"]
        self.assertEqual({(VNF, "0", "4"): 2 << 30, (OTHER, "0", "4"): 1 << 30}, memory)
        self.assertEqual(0, found["kongming_instance_locality_ratio"][(VNF,)])
        self.assertEqual((8192 - 3072) * 256, found["kongming_host_pages_free"][("0", "4")])
        self.assertEqual({("pinned",): 0, ("shared",): 1}, found["kongming_host_conflicts"])
        run = found["kongming_instance_vcpu_run_seconds_total"]
        self.assertEqual(
            {VNF: 4, OTHER: 2},
            {uuid: [each for each, _ in run].count(uuid) for uuid in (VNF, OTHER)},
        )
        self.assertTrue(run[VNF, "0"] > 0)
        self.assertEqual(0, found["kongming_instance_vcpu_wait_seconds_total"][VNF, "0"])

    def test_all_of_them_are_in_the_manual(self) -> None:
        self.kongming.start_agent("one")
        self.pin(VNF, **PINNED)
        self.eventually(lambda: self.scrape()["kongming_pin_state"])
        self.eventually(lambda: self.scrape()["kongming_host_cpu_busy_ratio"])
        found = {name for name in self.scrape() if name.startswith("kongming_")}
        told = set(re.findall(r"kongming_\w+", MANUAL.read_text()))
        self.assertEqual(sorted(found), sorted(told))

    def test_a_pin_that_is_gone(self) -> None:
        self.kongming.start_agent("one")
        self.pin(VNF, **PINNED)
        self.eventually(lambda: self.scrape()["kongming_pin_state"])
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: not self.scrape()["kongming_pin_state"])

    def test_port_in_use(self) -> None:
        first = self.kongming.lone_agent("one")
        self.addCleanup(first.stop)
        second = self.kongming.lone_agent("one")
        self.addCleanup(second.stop)
        self.assertIn(
            f"No metrics: 127.0.0.1:{self.port} cannot be listened on", self.kongming.log.output
        )
        first.stop()
        self.assertRaises(requests.ConnectionError, self.scrape)
