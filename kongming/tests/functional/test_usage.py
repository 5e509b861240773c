# SPDX-License-Identifier: Apache-2.0
"""A real instance that computes, as the agent tells of it: to the API, and to Prometheus."""

import pathlib
from typing import Any, ClassVar

from kongming.tests import scrape
from kongming.tests.functional.fixtures import server
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_control_plane import FIRST, SECOND, ControlPlaneCase


class UsageTest(ControlPlaneCase):
    port = server.free_port()
    settings: ClassVar[dict[str, dict[str, Any]]] = {"agent": {"metrics_port": port}}

    def make_domain(self) -> Domain:
        """Return a domain whose vCPU 0 computes."""
        return Domain(self.host, vcpus=2, iothreads=1, busy=True)

    def has_run(self) -> float:
        """Return for how many seconds vCPU 0 has run by now, asked of the kernel."""
        (tid,) = self.domain.threads()["vcpu0"]
        return int(pathlib.Path(f"/proc/{tid}/schedstat").read_text().split()[0]) / 1e9

    def test_numbers_are_those_of_the_kernel(self) -> None:
        uuid = self.domain.uuid
        self.post(cpu_policy="dedicated", vcpus={"0": str(FIRST), "1": str(SECOND)})
        self.wait_for("applied")
        before = self.has_run()
        run = "kongming_instance_vcpu_run_seconds_total"
        ratios = "kongming_host_cpu_busy_ratio", "kongming_instance_locality_ratio"

        def scraped() -> Any:
            told = scrape.samples(self.port)
            # shares are known from the second look on, memory once there was time to read it
            return told[run].get((uuid, "0"), 0) > before and all(map(told.get, ratios)) and told

        found: dict[str, dict[tuple[str, ...], float]] = self.eventually(scraped, 60)
        self.assertTrue(found[run][uuid, "0"] <= self.has_run())
        self.assertTrue(found[run][uuid, "1"] < found[run][uuid, "0"])
        self.assertEqual({(uuid, "applied"): 1}, found["kongming_pin_state"])
        self.assertEqual({(uuid,): 1}, found["kongming_instance_locality_ratio"])
        self.assertTrue(0 <= found["kongming_host_cpu_busy_ratio"][str(FIRST),] <= 1)
        self.assertTrue(found["process_resident_memory_bytes"][()] > 0)

        def usage() -> Any:
            found = self.answer("GET", f"/v1/instances/{uuid}", 200)["usage"]
            busy = found["vcpus"]["0"]
            # what was scraped already is still on its way to the API, in whole milliseconds
            ran = busy["run_seconds"] > before + 0.001
            return ran and busy["run_percent"] is not None and found

        shown = self.eventually(usage, 60)
        # on a busy machine it may not have run since; what is shown is rounded
        self.assertTrue(shown["vcpus"]["0"]["run_seconds"] <= round(self.has_run(), 3), shown)
        self.assertTrue(shown["vcpus"]["0"]["run_percent"] > shown["vcpus"]["1"]["run_percent"])
        vcpus = {
            each["number"]: each["cpus"] for each in shown["threads"] if each["kind"] == "vcpu"
        }
        self.assertEqual({0: str(FIRST), 1: str(SECOND)}, vcpus)
        held = sum(found["kongming_instance_memory_bytes"].values())
        self.assertTrue(0 < held < 1 << 29, found["kongming_instance_memory_bytes"])
