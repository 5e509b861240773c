# SPDX-License-Identifier: Apache-2.0
"""Limits of projects, and of what members may ask for, through the API."""

from typing import Any

from kongming.tests.embedded import test_auth
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF, rows

PATH = "/v1/quotas/telco"


class QuotasTest(test_auth.AuthTestCase):
    def options(self) -> dict[str, dict[str, Any]]:
        return {"quota": {"dedicated_pcpus": 8}}

    def test_life_of_a_quota(self) -> None:
        default = {"pins": -1, "dedicated_pcpus": 8, "memory_mib": -1}
        nothing = dict.fromkeys(default, 0)
        expected = {"project_id": "telco", "limits": default, "own": {}, "used": nothing}
        self.assertEqual(expected, self.ask("telco reader", "GET", PATH).json())
        answer = self.ask("admin", "PUT", PATH, json={"dedicated_pcpus": 4, "pins": 5})
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual(default | {"dedicated_pcpus": 4, "pins": 5}, answer.json()["limits"])
        self.post("telco member", VNF, cpu_policy="dedicated")
        used = self.ask("telco", "GET", PATH).json()["used"]
        self.assertEqual((1, 4, 2048), (used["pins"], used["dedicated_pcpus"], used["memory_mib"]))
        # what is not named is the default again
        answer = self.ask("admin", "PUT", PATH, json={"pins": 1})
        self.assertEqual(default | {"pins": 1}, answer.json()["limits"])
        self.assertEqual(204, self.ask("admin", "DELETE", PATH).status_code)
        self.assertEqual(default, self.ask("admin", "GET", PATH).json()["limits"])
        self.assertEqual([], rows("quotas"))

    def test_projects_with_limits_of_their_own(self) -> None:
        default = {"pins": -1, "dedicated_pcpus": 8, "memory_mib": -1}
        self.assertEqual({}, self.ask("admin", "GET", PATH).json()["own"])
        self.assertEqual({"quotas": []}, self.ask("admin", "GET", "/v1/quotas").json())
        wanted = {}
        for project, own in (("b", {"pins": 1, "memory_mib": 5}), ("c", {"pins": 2}), ("a", {})):
            self.ask("admin", "PUT", f"/v1/quotas/{project}", json=own)
            wanted[project] = {"project_id": project, "limits": default | own, "own": own}
        answer = self.ask("admin", "GET", "/v1/quotas?limit=1").json()
        self.assertEqual([wanted["b"]], answer["quotas"])
        path = answer["next"].removeprefix(self.kongming.url)
        self.assertEqual({"quotas": [wanted["c"]]}, self.ask("admin", "GET", path).json())
        for parameters in ("marker=a", "limit=0", "sort=project_id", "pins=1"):
            answer = self.ask("admin", "GET", f"/v1/quotas?{parameters}")
            self.assert_error(answer, 400, "invalid_field", parameters.split("=")[0])
        old = {"OpenStack-API-Version": "resource_pin 1.12"}
        self.assertNotIn("own", self.ask("admin", "GET", PATH, headers=old).json())
        self.assertEqual(404, self.ask("admin", "GET", "/v1/quotas", headers=old).status_code)

    def test_exceeded(self) -> None:
        self.ask("admin", "PUT", PATH, json={"dedicated_pcpus": 4})
        self.post("telco", VNF, cpu_policy="dedicated")
        for token in ("telco", "telco member", "admin"):
            answer = self.post(token, OFF, expect=403, cpu_policy="dedicated")
            self.assert_error(
                answer, 403, "quota_exceeded", "project telco may have 4 dedicated_pcpus", "has 4"
            )
        self.post("shop", OTHER, cpu_policy="dedicated")
        answer = self.ask("telco", "PUT", f"/v1/pins/{VNF}", json={"cpu_policy": "dedicated"})
        self.assertEqual(200, answer.status_code, answer.text)

    def test_scheduler_is_told(self) -> None:
        self.ask("admin", "PUT", PATH, json={"dedicated_pcpus": 1})
        size = {"vcpus": 2, "memory_mib": 64}
        owner = {"project_id": "telco", "host": "two", "size": size}
        answer = self.post("nova", UNKNOWN, expect=403, cpu_policy="dedicated", **owner)
        self.assert_error(answer, 403, "quota_exceeded")
        self.assertEqual([], rows("pins"))

    def test_bad_input(self) -> None:
        bodies: tuple[Any, ...] = (
            {"colour": 1},
            {"pins": -2},
            {"pins": 2**31},
            {"pins": "1"},
            {"pins": True},
            {"pins": None},
            {"pins": 1.0},
            [],
        )
        for body in bodies:
            self.assert_error(self.ask("admin", "PUT", PATH, json=body), 400, "invalid_field")
        answer = self.ask("admin", "GET", f"/v1/quotas/{'x' * 256}")
        self.assert_error(answer, 400, "invalid_field", "project_id")
        old = {"OpenStack-API-Version": "resource_pin 1.9"}
        self.assertEqual(404, self.ask("admin", "GET", PATH, headers=old).status_code)
        self.assertEqual([], rows("quotas"))


class MembersTest(test_auth.AuthTestCase):
    """What members may ask for who must not name pCPUs."""

    def options(self) -> dict[str, dict[str, Any]]:
        return {"quota": {"highest_weight": 200, "highest_quota_percent": 50}}

    def test_cpu_time(self) -> None:
        for qos, field in (
            ({"cpu_shares": 2060}, "qos.cpu_shares"),
            ({"vcpus": {"0-1": {"weight": 201}}}, "qos.vcpus.0.weight"),
            ({"vcpu_quota": -1}, "qos.vcpu_quota"),
            ({"vcpu_quota": 50001}, "qos.vcpu_quota"),
            ({"emulator_quota": 26000, "emulator_period": 50000}, "qos.emulator_quota"),
            ({"vcpu_period": 50000, "vcpus": {"1": {"quota": 25001}}}, "qos.vcpus.1.quota"),
        ):
            answer = self.post("telco member", VNF, expect=403, qos=qos)
            self.assert_error(answer, 403, "cpu_time_forbidden", field)
        allowed = {"cpu_shares": 2048, "vcpu_quota": 50000, "global_quota": -1}
        self.post("telco member", VNF, qos=allowed)
        for token, status in (("telco member", 403), ("telco", 200)):
            answer = self.ask(token, "PUT", f"/v1/pins/{VNF}", json={"qos": {"vcpu_quota": -1}})
            self.assertEqual(status, answer.status_code, answer.text)

    def test_the_scheduler_asks_for_users(self) -> None:
        future = {"instance_uuid": UNKNOWN, "project_id": "telco", "qos": {"cpu_shares": 2060}}
        answer = self.ask("nova", "POST", "/v1/pins", json=future)
        self.assert_error(answer, 403, "cpu_time_forbidden", "qos.cpu_shares")
        answer = self.ask("nova", "POST", "/v1/pins", json=future | {"qos": {"cpu_shares": 2048}})
        self.assertEqual(201, answer.status_code, answer.text)
