# SPDX-License-Identifier: Apache-2.0
"""Instances that shall be where a PCI device is."""

from typing import Any

from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF
from kongming.topology import cpuset

#: On NUMA node 1 of "one", where no choice would fall otherwise, and on none.
NIC = "0000:3b:00.1"
NOWHERE = "0000:00:03.0"
ABSENT = "0000:af:00.0"
NODE_1 = cpuset.parse("4-7,12-14")


class DevicesTest(base.EmbeddedTestCase):
    fleet_text = base.FLEET.replace(
        '  offline: "15"\n',
        f'  offline: "15"\n  devices: {{"{NIC}": 1, "{NOWHERE}": -1}}\n',
    )

    def assert_near_the_device(self, uuid: str = VNF) -> None:
        """Insist that pCPUs and memory of an instance really are on node 1."""
        observed = self.observed(uuid)
        for text in observed["vcpus"].values():
            self.assertEqual(0, cpuset.parse(text) & ~NODE_1, text)
        self.assertEqual({"nodes": "1"}, observed["memory"])

    def test_hosts_show_their_devices(self) -> None:
        shown = {
            host["name"]: host["pci_devices"] for host in self.get("/v1/hosts").json()["hosts"]
        }
        self.assertEqual({"one": {NOWHERE: -1, NIC: 1}, "two": {}}, shown)
        self.assertEqual({NOWHERE: -1, NIC: 1}, self.get("/v1/hosts/one").json()["pci_devices"])

    def test_versions_before(self) -> None:
        headers = {"OpenStack-API-Version": "resource_pin 1.2"}
        wish = {"pci_device": NIC}
        size = {"vcpus": 2, "memory_mib": 512}
        for method, path, body, field in (
            ("POST", "/v1/pins", wish | {"instance_uuid": VNF}, "pci_device"),
            ("POST", "/v1/candidates", {"wish": wish, "size": size}, "wish.pci_device"),
        ):
            answer = self.request(method, path, json=body, headers=headers)
            words = f"{field}: is there from version 1.3 on"
            self.assert_error(answer, 400, "invalid_field", words)
        self.assertNotIn("pci_devices", self.get("/v1/hosts/one", headers=headers).json())
        # what is asked for is shown: else a client would drop it with a change
        self.pin(pci_device=NIC)
        self.assertEqual(NIC, self.get(f"/v1/pins/{VNF}", headers=headers).json()["pci_device"])
        answer = self.request("PUT", f"/v1/pins/{VNF}", json=wish, headers=headers)
        self.assert_error(answer, 400, "invalid_field", "pci_device: is there from version 1.3 on")

    def test_pin_at_a_device(self) -> None:
        created = self.pin(cpu_policy="dedicated", pci_device=NIC.upper())
        self.assertEqual(NIC, created["pci_device"])
        self.assertEqual(NIC, self.wait_for("applied")["pci_device"])
        self.assert_near_the_device()
        self.assertEqual(NIC, self.history()[0]["wish"]["pci_device"])

        # a shared pin is there as well, beside the pCPUs that are claimed
        self.pin(OTHER, pci_device=NIC)
        self.wait_for("applied", OTHER)
        self.assert_near_the_device(OTHER)

    def test_put_moves_a_running_instance_to_the_device(self) -> None:
        self.pin(cpu_policy="dedicated", numa_nodes=1)
        self.assertEqual({"nodes": "0"}, self.wait_for("applied")["placement"]["memory"])
        answer = self.request(
            "PUT", f"/v1/pins/{VNF}", json={"cpu_policy": "dedicated", "pci_device": NIC}
        )
        self.assertEqual(200, answer.status_code, answer.text)
        self.wait_for("applied")
        self.assert_near_the_device()

    def test_a_put_that_is_refused_changes_nothing(self) -> None:
        self.pin(cpu_policy="dedicated", numa_nodes=1)
        pin, observed = self.wait_for("applied"), self.observed()
        for device, code, words in (
            ("3b:00.1", "invalid_field", "pci_device: must be the address of a PCI device"),
            (ABSENT, "pci_device_unknown", f"pci_device: the host has no PCI device {ABSENT}"),
        ):
            wish = {"cpu_policy": "dedicated", "pci_device": device}
            answer = self.request("PUT", f"/v1/pins/{VNF}", json=wish)
            self.assert_error(answer, 400, code, words)
            self.assertEqual(pin, self.get(f"/v1/pins/{VNF}").json())
            self.assertEqual(observed, self.observed())
        self.assertEqual(["created", "applied"], [event["event"] for event in self.history()])

    def test_a_full_node_is_a_conflict(self) -> None:
        self.pin(OTHER, cpu_policy="dedicated", vcpus={"*": "4-7"})
        answer = self.pin(expect=409, cpu_policy="dedicated", pci_device=NIC)
        codes = [error["code"] for error in answer["errors"]]
        self.assertIn("resource_pin.device_node_full", codes)
        self.assertIn("resource_pin.cpus_short", codes)
        self.assertEqual(404, self.get(f"/v1/pins/{VNF}").status_code)

    def test_a_device_on_no_node_leaves_the_choice_free(self) -> None:
        self.pin(cpu_policy="dedicated", pci_device=NOWHERE)
        self.assertEqual({"nodes": "0"}, self.wait_for("applied")["placement"]["memory"])

    def test_candidates_are_hosts_with_the_device(self) -> None:
        question: dict[str, Any] = {
            "wish": {"cpu_policy": "dedicated", "pci_device": NIC},
            "size": {"vcpus": 2, "memory_mib": 512},
        }
        answer = self.request("POST", "/v1/candidates", json=question).json()
        [candidate] = answer["candidates"]
        self.assertEqual("one", candidate["host"])
        self.assertEqual({"nodes": "1"}, candidate["placement"]["memory"])
        self.assertEqual(
            [
                {
                    "host": "two",
                    "reasons": [
                        {
                            "code": "resource_pin.pci_device_unknown",
                            "detail": f"pci_device: the host has no PCI device {NIC}",
                        }
                    ],
                }
            ],
            answer["rejected"],
        )
