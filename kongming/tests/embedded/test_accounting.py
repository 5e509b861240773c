# SPDX-License-Identifier: Apache-2.0
"""What a host has left: what is managed, claimed by pins, and given away by others."""

import uuid as uuidlib
from typing import Any, ClassVar

from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF

NOVAS = "44444444-4444-4444-8444-444444444444"


class AccountingTest(base.EmbeddedTestCase):
    #: In "one" Nova gave an instance pCPUs 10 and 11, one to each vCPU.
    fleet_text = base.FLEET.replace(
        "- name: two",
        f"""  - {{uuid: {NOVAS}, name: novas, project_id: telco, user_id: mano, vcpus: 2,
      memory_mib: 512, state: running, dedicated: true, vcpu_pins: {{"0": "10", "1": "11"}}}}
- name: two""",
    )

    agent_options: ClassVar[dict[str, Any]] = {
        "managed_cpus": "1-15",
        "reserved_memory_mib": {"1": "1024"},
    }

    def host(self) -> Any:
        """Return host one as the API shows it."""
        return self.get("/v1/hosts/one").json()

    def test_free_is_managed_but_not_claimed_nor_given(self) -> None:
        self.pin(cpu_policy="dedicated", vcpus={"*": "4-7"})
        host = self.host()
        self.assertEqual(
            {
                "online": "0-14",
                "offline": "15",
                "managed": "1-14",
                "isolated": "",
                "claimed": "4-7",
                "given": "10-11",
                "free": "1-3,8-9,12-14",
            },
            host["cpus"],
        )
        self.assertEqual([0, 1024], [node["reserved_mib"] for node in host["numa_nodes"]])
        self.assertEqual([], host["conflicts"])

    def test_reserved_memory_is_not_to_be_had_by_exact_nodes_either(self) -> None:
        # of 8 GiB on node 1 the host keeps 1 GiB, and Nova's instance has 256 MiB
        dedicated = {"cpu_policy": "dedicated", "memory": {"nodes": "1"}}
        for most, wish in (
            (7168, {"memory": {"nodes": "1"}}),
            (6912, dedicated | {"vcpus": {"0": "4"}}),
            (6912, dedicated),  # here the pCPU is chosen
        ):
            just_fits, too_large = self.create(most), self.create(most + 1)
            self.pin(just_fits, **wish)
            self.request("DELETE", f"/v1/pins/{just_fits}")
            answer = self.pin(too_large, expect=409, **wish)
            codes = {error["code"] for error in answer["errors"]}
            self.assertIn("resource_pin.memory_short", codes)
            words = f"NUMA node 1 has {most} of the {most + 1} MiB needed: 1 short"
            self.assertIn(words, answer["message"])

    def create(self, memory_mib: int) -> str:
        """Return an instance of that size, which is off, once it is known."""
        fields = {"vcpus": 1, "memory_mib": memory_mib, "state": "shutoff", "project_id": "telco"}
        uuid = self.kongming.fleet.create("one", fields | {"name": f"new-{uuidlib.uuid4()}"})
        self.eventually(lambda: self.get(f"/v1/instances/{uuid}").ok)
        return uuid

    def test_unmanaged_pcpu(self) -> None:
        answer = self.pin(expect=400, vcpus={"0": "0-1"})
        self.assertEqual("resource_pin.pcpu_unmanaged", answer["errors"][0]["code"])
        self.assertIn("vcpus.0: pCPU 0 ", answer["message"])

    def test_what_nova_gave_away_is_not_to_be_had(self) -> None:
        for wish in ({"cpu_policy": "dedicated", "vcpus": {"*": "9-10"}}, {"emulator": "10-12"}):
            answer = self.pin(expect=409, **wish)
            self.assertEqual("resource_pin.cpu_already_claimed", answer["errors"][0]["code"])
            self.assertIn("pCPU 10", answer["message"])
            self.assertIn(NOVAS, answer["message"])

    def test_own_pins_are_not_given_by_others(self) -> None:
        self.pin(OTHER, vcpus={"0": "8", "1": "9"})
        self.wait_for("applied", OTHER)
        self.request("PUT", f"/v1/pins/{OTHER}", json={"emulator": "12"})
        self.wait_for("applied", OTHER)
        self.assertEqual("10-11", self.host()["cpus"]["given"])

    def test_double_booked_pcpus_are_shown(self) -> None:
        self.pin(cpu_policy="dedicated", vcpus={"*": "12-13"})
        self.wait_for("applied")
        # Nova knows nothing of claims
        late = self.kongming.fleet.create(
            "one",
            {
                "name": "late",
                "project_id": "telco",
                "user_id": "mano",
                "vcpus": 1,
                "memory_mib": 256,
                "state": "running",
                "dedicated": True,
                "vcpu_pins": {"0": "13"},
            },
        )
        conflicts = self.eventually(lambda: self.host()["conflicts"])
        self.assertEqual([{"cpus": "13", "instances": sorted([VNF, late])}], conflicts)
