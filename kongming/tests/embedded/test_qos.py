# SPDX-License-Identifier: Apache-2.0
"""CPU time asked for through the API."""

from typing import Any

from kongming.tests.embedded import base
from kongming.tests.embedded.base import VNF
from kongming.topology.part import Part

WISH = {
    "cpu_shares": 512,
    "global_quota": 300000,
    "vcpus": {"0": {"quota": 50000, "weight": 200}},
}
PLACED = {
    "cpu_shares": 512,
    "global_quota": 300000,
    "global_period": 100000,
    "vcpus": {"0": {"quota": 50000, "period": 100000, "weight": 200}},
}
#: Those of its numbers that nobody has without.
OBSERVED = {
    "cpu_shares": 512,
    "global_quota": 300000,
    "vcpus": {"0": {"quota": 50000, "weight": 200}},
}


class QosTest(base.EmbeddedTestCase):
    def test_life(self) -> None:
        self.assertNotIn("qos", self.observed())
        created = self.pin(qos=WISH)
        self.assertEqual((WISH, {"qos": PLACED}), (created["qos"], created["placement"]))
        self.assertEqual(WISH, self.wait_for("applied")["qos"])
        self.assertEqual(OBSERVED, self.observed()["qos"])
        self.eventually(lambda: self.shown() == OBSERVED)
        self.assertEqual(WISH, self.history()[0]["wish"]["qos"])

        # the next wish has places too, and lets go of most of the numbers
        body = {"cpu_policy": "dedicated", "qos": {"vcpus": {"0-1": {"weight": 50}}}}
        answer = self.request("PUT", f"/v1/pins/{VNF}", json=body)
        self.assertEqual(200, answer.status_code, answer.text)
        shown = self.wait_for("applied")
        self.assertEqual({"0": {"weight": 50}, "1": {"weight": 50}}, shown["qos"]["vcpus"])
        self.assertEqual({"vcpus": shown["qos"]["vcpus"]}, self.observed()["qos"])

        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(lambda: "qos" not in self.observed())

    def shown(self) -> Any:
        """Return the numbers of the instance as the API shows them."""
        return self.get(f"/v1/instances/{VNF}").json()["observed"].get("qos")

    def test_corrected(self) -> None:
        self.pin(qos=WISH)
        self.wait_for("applied")
        self.fleet.tamper(VNF, Part("vcpu_quota", 0), 1000)
        drift = "vCPU 0's quota is 1000 µs instead of 50000 µs"
        self.eventually(lambda: drift in [event["reason"] for event in self.history()])
        self.wait_for("applied")
        self.assertEqual(OBSERVED, self.observed()["qos"])

    def test_versions_before(self) -> None:
        headers = {"OpenStack-API-Version": "resource_pin 1.6"}
        size = {"vcpus": 2, "memory_mib": 512}
        for path, body, field in (
            ("/v1/pins", {"instance_uuid": VNF, "qos": WISH}, "qos"),
            ("/v1/candidates", {"wish": {"qos": WISH}, "size": size}, "wish.qos"),
        ):
            answer = self.request("POST", path, json=body, headers=headers)
            words = f"{field}: is there from version 1.8 on"
            self.assert_error(answer, 400, "invalid_field", words)
        # what is asked for is shown: else a client would drop it with a change
        self.pin(qos=WISH)
        self.assertEqual(WISH, self.get(f"/v1/pins/{VNF}", headers=headers).json()["qos"])

    def test_candidates_claim_nothing_for_it(self) -> None:
        size = {"vcpus": 2, "memory_mib": 512}
        answer = self.request("POST", "/v1/candidates", json={"wish": {"qos": WISH}, "size": size})
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual(2, len(answer.json()["candidates"]))
