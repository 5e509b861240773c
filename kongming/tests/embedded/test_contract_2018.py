# SPDX-License-Identifier: Apache-2.0
"""The calls of the clients of 2018, which send no version."""

from typing import Any

import requests
from testtools import matchers

from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF

MAPPINGS = "/v1/instance_cpu_mappings"
MAPPING = f"{MAPPINGS}/{VNF}"

INSTANT = matchers.MatchesRegex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


def booleans(*pcpus: int, count: int = 16) -> list[bool]:
    """Return a list of booleans that is true at some pCPUs."""
    return [pcpu in pcpus for pcpu in range(count)]


class Old(base.Talk):
    """Speaks as the clients of 2018 do."""

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request without a version."""
        answer = requests.request(method, self.kongming.url + path, timeout=30, **options)
        request_id = answer.headers["Openstack-Request-Id"]
        self.assertThat(request_id, matchers.StartsWith("req-"))
        self.assertEqual(request_id, answer.headers["X-Openstack-Request-Id"])
        self.assertEqual("resource_pin 1.0", answer.headers["OpenStack-API-Version"])
        return answer

    def links(self, path: str) -> list[dict[str, str]]:
        """Return the links that a resource must have."""
        return [
            {"href": f"{self.kongming.url}/v1/{path}", "rel": "self"},
            {"href": f"{self.kongming.url}/{path}", "rel": "bookmark"},
        ]


class MappingTest(Old, base.EmbeddedTestCase):
    def create(self, **fields: Any) -> requests.Response:
        """POST a mapping of VNF to 4-7."""
        body = {"instance_uuid": VNF, "cpu_mappings": "4-7", **fields}
        return self.request("POST", MAPPINGS, json=body)

    def wait_for_mapping(self, status: str, path: str = MAPPING) -> dict[str, Any]:
        """Return a mapping once it has a status."""

        def found() -> dict[str, Any] | None:
            mapping: dict[str, Any] = self.get(path).json()
            return mapping if mapping["status"] == status else None

        result: dict[str, Any] = self.eventually(found)
        return result

    def test_create(self) -> None:
        answer = self.create(wait_until_active=False)
        self.assertEqual(201, answer.status_code, answer.text)
        self.assertEqual(f"{self.kongming.url}{MAPPING}", answer.headers["Location"])
        mapping = answer.json()
        self.assertThat(mapping.pop("created_at"), INSTANT)
        self.assertIsNone(mapping.pop("updated_at"))
        expected = {
            "instance_uuid": VNF,
            "project_id": "telco",
            "user_id": "mano",
            "cpu_mappings": "4-7",
            "host": "one",
            "status": "pending",
            "links": self.links(f"instance_cpu_mappings/{VNF}"),
        }
        self.assertEqual(expected, mapping)
        mapping = self.wait_for_mapping("succeed")
        self.assertThat(mapping.pop("created_at"), INSTANT)
        self.assertThat(mapping.pop("updated_at"), INSTANT)
        self.assertEqual({**expected, "status": "succeed"}, mapping)
        self.assertEqual(dict.fromkeys("0123", "4-7"), self.observed()["vcpus"])

    def test_location_can_be_followed(self) -> None:
        answer = requests.get(self.create().headers["Location"], timeout=30)
        self.assertEqual((200, VNF), (answer.status_code, answer.json()["instance_uuid"]))

    def test_create_for_others_as_admin(self) -> None:
        body = {"wait_until_active": True, "project_id": "p", "user_id": "u"}
        answer = self.create(instance_uuid=UNKNOWN, **body)
        mapping = answer.json()
        self.assertEqual(
            (201, "p", "u"), (answer.status_code, mapping["project_id"], mapping["user_id"])
        )
        # the owner of an instance that is there is known better
        mapping = self.create(**body).json()
        self.assertEqual(("telco", "mano"), (mapping["project_id"], mapping["user_id"]))

    def test_all_spellings_of_cpu_mappings(self) -> None:
        self.create()
        for given, shown in (
            ("0-3", "0-3"),
            ("1,5,9", "1,5,9"),
            ("0-7,^3", "0-2,4-7"),
            (" 2 , 0 - 1 ", "0-2"),
        ):
            answer = self.request("PATCH", MAPPING, json={"cpu_mappings": given})
            self.assertEqual(shown, answer.json()["cpu_mappings"])

    def test_wait_until_active_for_known_instance(self) -> None:
        for value in (True, "True", False, "False"):
            answer = self.create(wait_until_active=value)
            self.assertEqual((201, "one"), (answer.status_code, answer.json()["host"]))
            self.request("DELETE", MAPPING)

    def test_wait_until_active_for_stopped_instance(self) -> None:
        self.create(instance_uuid=OFF)
        path = f"{MAPPINGS}/{OFF}"
        self.assertEqual("pending", self.get(path).json()["status"])
        self.fleet.start(OFF)
        self.wait_for_mapping("succeed", path)
        self.assertEqual({"0": "4-7", "1": "4-7"}, self.observed(OFF)["vcpus"])

    def test_unknown_instance_is_waited_for(self) -> None:
        for number, value in enumerate((True, "True")):
            uuid = f"{number}{UNKNOWN[1:]}"
            answer = self.create(instance_uuid=uuid, wait_until_active=value)
            self.assertEqual(201, answer.status_code, answer.text)
            mapping = answer.json()
            self.assertEqual(
                ("pending", None, "noauth"),
                (mapping["status"], mapping["host"], mapping["project_id"]),
            )
            self.fleet.create(
                "two",
                {
                    "uuid": uuid,
                    "name": f"late-{number}",
                    "vcpus": 2,
                    "memory_mib": 512,
                    "project_id": "noauth",
                    "user_id": "late",
                },
            )
            mapping = self.wait_for_mapping("succeed", f"{MAPPINGS}/{uuid}")
            self.assertEqual(("two", "late"), (mapping["host"], mapping["user_id"]))
            self.assertEqual({"0": "4-7", "1": "4-7"}, self.observed(uuid)["vcpus"])

    def test_unknown_instance_is_not_waited_for(self) -> None:
        for fields in ({"wait_until_active": False}, {"wait_until_active": "False"}, {}):
            answer = self.create(instance_uuid=UNKNOWN, **fields)
            self.assert_error(answer, 404, "instance_not_found", UNKNOWN)

    def test_instance_of_another_project_does_not_adopt(self) -> None:
        self.create(instance_uuid=UNKNOWN, wait_until_active=True)
        fields = {"uuid": UNKNOWN, "name": "late", "vcpus": 1, "memory_mib": 512}
        self.fleet.create("two", {**fields, "project_id": "another"})
        mapping = self.wait_for_mapping("failed", f"{MAPPINGS}/{UNKNOWN}")
        self.assertEqual("noauth", mapping["project_id"])
        self.assertEqual("0-15", self.observed(UNKNOWN)["vcpus"]["0"])

    def test_put_and_patch(self) -> None:
        self.create()
        for method, cpus in (("PUT", "0-1"), ("PATCH", "2-3")):
            answer = self.request(method, MAPPING, json={"cpu_mappings": cpus})
            mapping = answer.json()
            self.assertEqual((200, cpus), (answer.status_code, mapping["cpu_mappings"]))
            self.assertEqual("pending", mapping["status"])
            self.assertThat(mapping["updated_at"], INSTANT)
            self.wait_for_mapping("succeed")
            self.assertEqual(dict.fromkeys("0123", cpus), self.observed()["vcpus"])

    def test_put_takes_nothing_else(self) -> None:
        self.create()
        for method in ("PUT", "PATCH"):
            for name, value in (
                ("wait_until_active", True),
                ("instance_uuid", VNF),
                ("project_id", "telco"),
                ("user_id", "mano"),
                ("status", "succeed"),
                ("host", "one"),
            ):
                answer = self.request(method, MAPPING, json={"cpu_mappings": "0", name: value})
                self.assert_error(answer, 400, "invalid_field", name)
        self.assertEqual("4-7", self.get(MAPPING).json()["cpu_mappings"])

    def test_put_leaves_the_rest_of_the_wish(self) -> None:
        vcpus = {"0": "4", "1-3": "5"}
        self.pin(cpu_policy="dedicated", vcpus=vcpus, emulator="0-1")
        mapping = self.get(MAPPING).json()
        self.assertEqual("4-5", mapping["cpu_mappings"])
        self.request("PATCH", MAPPING, json={"cpu_mappings": "6-7"})
        pin = self.get(f"/v1/pins/{VNF}").json()
        self.assertEqual(
            ("dedicated", {"*": "6-7"}, "0-1"), (pin["cpu_policy"], pin["vcpus"], pin["emulator"])
        )

    def test_delete(self) -> None:
        before = self.observed()
        self.create()
        self.wait_for_mapping("succeed")
        answer = self.request("DELETE", MAPPING)
        self.assertEqual((204, b""), (answer.status_code, answer.content))
        self.assertNotIn("Content-Type", answer.headers)
        self.assert_error(self.get(MAPPING), 404, "pin_not_found", VNF)
        self.assert_error(self.request("DELETE", MAPPING), 404, "pin_not_found", VNF)
        self.eventually(lambda: self.observed() == before)
        # at once, or after the host has released it
        self.assertEqual(201, self.create().status_code)

    def test_list(self) -> None:
        self.assertEqual({"mappings": []}, self.get(MAPPINGS).json())
        for uuid in (OTHER, VNF, OFF):
            self.create(instance_uuid=uuid)
        self.wait_for_mapping("succeed")
        self.wait_for_mapping("succeed", f"{MAPPINGS}/{OTHER}")
        answer = self.get(MAPPINGS)
        self.assertEqual(200, answer.status_code)
        shown = [self.get(f"{MAPPINGS}/{uuid}").json() for uuid in (VNF, OTHER, OFF)]
        self.assertEqual({"mappings": shown}, answer.json())

    def test_failed(self) -> None:
        self.fleet.fail_next(VNF, 1, "Invalid argument")
        self.create()
        self.wait_for_mapping("failed")

    def test_message_at_the_top(self) -> None:
        answer = self.create(cpu_mappings="a-b")
        self.assertEqual(400, answer.status_code)
        message = answer.json()["message"]
        self.assertEqual("cpu_mappings: 'a-b' is neither a number nor a range", message)


class FactsTest(Old, base.EmbeddedTestCase):
    def test_hosts(self) -> None:
        hosts = self.get("/v1/hosts").json()
        self.assertEqual({"hosts"}, set(hosts))
        self.assertEqual(["one", "two"], [host["host_name"] for host in hosts["hosts"]])
        one = {
            "host_name": "one",
            # pCPU 15 is offline
            "cpu_topology": {
                "NUMA_0": [0, 1, 2, 3, 8, 9, 10, 11],
                "NUMA_1": [4, 5, 6, 7, 12, 13, 14],
            },
            "instances": [
                {"uuid": VNF, "status": "Running", "cpu_mappings": booleans(*range(15))},
                {"uuid": OTHER, "status": "Running", "cpu_mappings": booleans(*range(15))},
                {"uuid": OFF, "status": "Shutoff", "cpu_mappings": booleans()},
            ],
            "links": self.links("hosts/one"),
        }
        self.assertEqual(one, hosts["hosts"][0])
        self.assertEqual(one, self.get("/v1/hosts/one").json())
        two = self.get("/v1/hosts/two").json()
        self.assertEqual([], two["instances"])
        self.assertEqual([4, 5, 6, 7, 12, 13, 14, 15], two["cpu_topology"]["NUMA_1"])
        self.assertEqual(hosts["hosts"][1], two)

    def test_hosts_show_what_all_vcpus_may_use_together(self) -> None:
        self.kongming.create_pin({"instance_uuid": VNF, "vcpus": {"0": "1", "1-3": "9,14"}})
        instances = self.get("/v1/hosts/one").json()["instances"]
        self.assertEqual(booleans(1, 9, 14), instances[0]["cpu_mappings"])

    def test_unknown_host(self) -> None:
        self.assert_error(self.get("/v1/hosts/three"), 404, "host_not_found", "three")

    def test_instances(self) -> None:
        instances = self.get("/v1/instances").json()
        self.assertEqual({"instances"}, set(instances))
        self.assertEqual([VNF, OTHER, OFF], [each["uuid"] for each in instances["instances"]])
        expected = {
            "uuid": VNF,
            "status": "Running",
            "host": "one",
            "cpu_mappings": dict.fromkeys("0123", booleans(*range(15))),
            "mapped_by_kongming": False,
            "links": self.links(f"instances/{VNF}"),
        }
        self.assertEqual(expected, instances["instances"][0])
        self.assertEqual(expected, self.get(f"/v1/instances/{VNF}").json())
        off = {
            "uuid": OFF,
            "status": "Shutoff",
            "host": "one",
            "cpu_mappings": {},
            "mapped_by_kongming": False,
            "links": self.links(f"instances/{OFF}"),
        }
        self.assertEqual(off, instances["instances"][2])
        self.assertEqual(off, self.get(f"/v1/instances/{OFF}").json())

    def test_mapped_by_kongming(self) -> None:
        self.kongming.create_pin({"instance_uuid": VNF, "vcpus": {"0": "1", "1-3": "9,14"}})
        for instance in (
            self.get("/v1/instances").json()["instances"][0],
            self.get(f"/v1/instances/{VNF}").json(),
        ):
            self.assertIs(True, instance["mapped_by_kongming"])
            others = dict.fromkeys("123", booleans(9, 14))
            self.assertEqual({"0": booleans(1), **others}, instance["cpu_mappings"])
        self.assertIs(False, self.get(f"/v1/instances/{OTHER}").json()["mapped_by_kongming"])

    def test_unknown_instance(self) -> None:
        for uuid in (UNKNOWN, "vnf"):
            answer = self.get(f"/v1/instances/{uuid}")
            self.assert_error(answer, 404, "instance_not_found", uuid)

    def test_statuses(self) -> None:
        for number, (state, status) in enumerate(
            (("running", "Running"), ("paused", "Paused"), ("shutoff", "Shutoff"))
        ):
            fields = {"name": f"vm-{number}", "vcpus": 1, "memory_mib": 64, "state": state}
            uuid = self.fleet.create("two", fields)
            self.eventually(lambda uuid=uuid: self.get(f"/v1/instances/{uuid}").ok)  # type: ignore[misc]
            self.assertEqual(status, self.get(f"/v1/instances/{uuid}").json()["status"])

    def test_hosts_and_instances_cannot_be_written(self) -> None:
        for path in ("/v1/hosts", "/v1/instances"):
            self.assert_error(self.request("POST", path, json={}), 405, "method_not_allowed")
