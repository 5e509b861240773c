# SPDX-License-Identifier: Apache-2.0
"""Does it fit, and where; and pins that leave the choice to KongMing."""

import datetime
import json
from typing import Any

import sqlalchemy as sa

from kongming.db import engine, models
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF

SIZE = {"vcpus": 4, "memory_mib": 2048}


class CandidatesTest(base.EmbeddedTestCase):
    def ask(self, expect: int = 200, **question: Any) -> Any:
        """POST a question; the size is that of the VNF unless it says otherwise."""
        answer = self.request("POST", "/v1/candidates", json={"size": SIZE} | question)
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer.json()

    def test_best_first_with_the_placement_that_a_pin_gets(self) -> None:
        wish: dict[str, Any] = {
            "cpu_policy": "dedicated",
            "thread_policy": "require",
            "numa_nodes": 1,
        }
        answer = self.ask(wish=wish)
        self.assertEqual(["one", "two"], sorted(c["host"] for c in answer["candidates"]))
        self.assertEqual([], answer["rejected"])
        promised = {c["host"]: c["placement"] for c in answer["candidates"]}["one"]
        self.pin(**wish)
        self.assertEqual(promised, self.wait_for("applied")["placement"])
        self.assertEqual(promised["vcpus"], self.observed()["vcpus"])

    def test_claims_count_at_once(self) -> None:
        wish: dict[str, Any] = {"cpu_policy": "dedicated", "vcpus": {"0": "0"}}
        size = {"vcpus": 1, "memory_mib": 256}
        everything = {"cpu_policy": "dedicated"}
        # NUMA node 0 has 8 pCPUs, and node 1 one less, for one of it is offline
        all_of_one = {"vcpus": 8, "memory_mib": 256}
        before = self.ask(wish=everything, size=all_of_one, hosts=["one"])
        self.pin(**wish)
        after = self.ask(wish=everything, size=all_of_one, hosts=["one"])
        self.assertEqual(["one"], [c["host"] for c in before["candidates"]])
        self.assertEqual([], after["candidates"])
        (rejected,) = after["rejected"]
        self.assertEqual("one", rejected["host"])
        self.assertIn("resource_pin.cpus_short", {r["code"] for r in rejected["reasons"]})
        self.assertEqual(1, len(self.ask(wish=everything, size=size, hosts=["one"])["candidates"]))
        self.request("DELETE", f"/v1/pins/{VNF}")
        self.eventually(
            lambda: self.ask(wish=everything, size=all_of_one, hosts=["one"])["candidates"]
        )

    def test_exact_places_that_others_have(self) -> None:
        self.pin(VNF, cpu_policy="dedicated", vcpus={"*": "4-7"})
        self.pin(OTHER, vcpus={"*": "2"})
        cases: tuple[tuple[dict[str, Any], bool], ...] = (
            ({"vcpus": {"0": "4"}}, False),
            ({"emulator": "0,7"}, False),
            ({"iothreads": {"1": "5"}}, False),
            ({"vcpus": {"*": "2"}}, True),
            ({"cpu_policy": "dedicated", "vcpus": {"*": "2-3"}}, False),
            ({"cpu_policy": "dedicated", "vcpus": {"*": "8-11"}}, True),
        )
        for wish, fits in cases:
            size = SIZE | {"iothreads": 1}
            answer = self.ask(wish=wish, size=size, hosts=["one"])
            self.assertEqual(fits, bool(answer["candidates"]), str(wish))
            if not fits:
                (reason,) = answer["rejected"][0]["reasons"]
                self.assertEqual("resource_pin.cpu_already_claimed", reason["code"])
                self.assertIn("pCPU ", reason["detail"])
        self.assertEqual("two", self.ask(wish={"vcpus": {"0": "4"}})["candidates"][0]["host"])

    def test_every_host_asked_about_is_in_the_answer(self) -> None:
        answer = self.ask(wish={"vcpus": {"*": "15"}}, hosts=["one", "two", "three"])
        self.assertEqual(["two"], [c["host"] for c in answer["candidates"]])
        self.assertEqual(
            {"one": "resource_pin.pcpu_offline", "three": "resource_pin.host_unknown"},
            {r["host"]: r["reasons"][0]["code"] for r in answer["rejected"]},
        )

    def test_ten_thousand_names(self) -> None:
        unknown = [f"compute-{number:05}.".ljust(64, "x") for number in range(9998)]
        answer = self.ask(wish={}, hosts=["one", *unknown, "two"])
        self.assertEqual(["one", "two"], sorted(c["host"] for c in answer["candidates"]))
        self.assertEqual(unknown, [r["host"] for r in answer["rejected"]])
        self.assertEqual(
            {"resource_pin.host_unknown"},
            {reason["code"] for r in answer["rejected"] for reason in r["reasons"]},
        )

    def test_bodies_of_a_mebibyte(self) -> None:
        question = json.dumps({"wish": {}, "size": SIZE}).encode()
        for path in ("/v1/candidates", "/v1/candidates/"):
            # what marks the chunks counts as well
            for size, status in (((1 << 20) - 64, 200), ((1 << 20) + 1, 413)):
                whole = question.ljust(size)
                # once with its length, once in chunks
                for body in (whole, iter([whole[:70000], whole[70000:]])):
                    answer = self.request(
                        "POST", path, data=body, headers={"Content-Type": "application/json"}
                    )
                    self.assertEqual(status, answer.status_code, answer.text)
                    if status == 413:
                        self.assert_error(answer, 413, "body_too_large")

    def test_hosts_that_are_down(self) -> None:
        with engine.writer() as session:
            row = session.scalars(sa.select(models.Host).where(models.Host.name == "two")).one()
            row.reported_at -= datetime.timedelta(seconds=181)
        answer = self.ask(wish={})
        self.assertEqual(["one"], [c["host"] for c in answer["candidates"]])
        (rejected,) = answer["rejected"]
        self.assertEqual("resource_pin.host_down", rejected["reasons"][0]["code"])

    def test_near(self) -> None:
        self.pin(OTHER, memory={"nodes": "1"}, vcpus={"*": "4-5"})
        self.wait_for("applied", OTHER)
        wish: dict[str, Any] = {"cpu_policy": "dedicated", "near": OTHER, "numa_nodes": 1}
        # the agent tells of the memory that it moved
        answer = self.eventually(
            lambda: (
                (found := self.ask(wish=wish))["candidates"]
                and found["candidates"][0]["placement"]["memory"] == {"nodes": "1"}
                and found
            )
        )
        self.assertEqual(["one"], [c["host"] for c in answer["candidates"]])

    def test_bad_questions(self) -> None:
        for body, words in (
            ({"wish": {}}, "size: is missing"),
            ({"size": SIZE}, "wish: is missing"),
            ({"wish": {"vcpus": {"0": "x"}}, "size": SIZE}, "wish.vcpus.0: "),
            ({"wish": {"colour": 1}, "size": SIZE}, "wish.colour: unknown field"),
            ({"wish": {}, "size": {"vcpus": 0, "memory_mib": 1}}, "size.vcpus: "),
            ({"wish": {}, "size": {"vcpus": "4", "memory_mib": 1}}, "size.vcpus: must be an int"),
            ({"wish": {}, "size": SIZE, "hosts": "one"}, "hosts: must be a list"),
            ({"wish": {}, "size": SIZE, "hosts": ["one", 2]}, "hosts.1: "),
            ({"wish": {"numa_nodes": 3}, "size": SIZE}, "numa_nodes: "),
            ({"wish": {}, "size": SIZE, "hosts": ["x"] * 10001}, "hosts: must be a list"),
        ):
            answer = self.request("POST", "/v1/candidates", json=body)
            self.assertEqual(400, answer.status_code, answer.text)
            self.assertIn(words, answer.json()["message"])


class ChoiceTest(base.EmbeddedTestCase):
    def test_memory_is_claimed(self) -> None:
        # 8 GiB on each node
        wish: dict[str, Any] = {"cpu_policy": "dedicated", "numa_nodes": 1}
        size = {"vcpus": 1, "memory_mib": 7500}
        question = {"wish": wish, "size": size, "hosts": ["one"]}
        self.assertEqual(1, len(self.ask(question)))
        for number, uuid in enumerate((VNF, OTHER)):
            self.pin(uuid, cpu_policy="dedicated", numa_nodes=[self.node(uuid, number)])
        self.assertEqual([], self.ask(question))

    def test_isolated_cores_stay_empty(self) -> None:
        self.pin(OTHER, cpu_policy="dedicated", thread_policy="isolate")
        placed = self.wait_for("applied", OTHER)["placement"]["vcpus"]
        first = int(placed["0"])
        sibling = str((first + 8) % 16)
        answer = self.pin(VNF, expect=409, vcpus={"0": sibling})
        self.assertIn(f"pCPU {sibling} ", answer["message"])
        self.assertIn(OTHER, answer["message"])

    def test_too_little_left(self) -> None:
        self.pin(VNF, cpu_policy="dedicated", vcpus={"*": "0-14"})
        answer = self.pin(OTHER, expect=409, cpu_policy="dedicated")
        self.assertEqual("resource_pin.cpus_short", answer["errors"][0]["code"])
        self.assertEqual(404, self.get(f"/v1/pins/{OTHER}").status_code)

    def ask(self, question: Any) -> Any:
        return self.request("POST", "/v1/candidates", json=question).json()["candidates"]

    def node(self, uuid: str, host_node: int) -> dict[str, Any]:
        """Return the one guest node of an instance, on a NUMA node of its host."""
        instance = self.get(f"/v1/instances/{uuid}").json()
        vcpus = f"0-{instance['vcpus'] - 1}"
        return {"vcpus": vcpus, "memory_mib": instance["memory_mib"], "host_node": host_node}


class InstanceTest(base.EmbeddedTestCase):
    """Questions about an instance that is there, or on its way."""

    WISH: dict[str, Any] = {"cpu_policy": "dedicated", "numa_nodes": 1}

    def ask(self, expect: int = 200, **question: Any) -> Any:
        """POST a question."""
        answer = self.request("POST", "/v1/candidates", json={"size": SIZE} | question)
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer.json()

    def hosts(self, **question: Any) -> list[str]:
        """Return the candidates, best first."""
        return [each["host"] for each in self.ask(**question)["candidates"]]

    def test_own_parts_count_as_free(self) -> None:
        everything = {"cpu_policy": "dedicated", "numa_nodes": 2}
        size = {"vcpus": 14, "memory_mib": 2048}
        self.pin(**self.WISH)
        question = {"wish": everything, "size": size, "hosts": ["one"]}
        self.assertEqual([], self.hosts(**question))
        self.assertEqual([], self.hosts(**question, instance_uuid=OTHER))
        self.assertEqual(["one"], self.hosts(**question, instance_uuid=VNF))
        self.assertEqual(["one"], self.hosts(**question, instance_uuid=VNF.upper()))

    def test_wish_of_the_pin(self) -> None:
        self.pin(**self.WISH | {"vcpus": {"0": "15"}}, expect=400)
        self.pin(**self.WISH)
        exact = {"vcpus": {"*": "15"}}  # which is offline on host one
        for question, expected in (
            ({"instance_uuid": VNF}, ["one", "two"]),
            ({"instance_uuid": VNF, "wish": exact}, ["two"]),
            ({"instance_uuid": VNF, "wish": exact, "prefer_pin": False}, ["two"]),
            ({"instance_uuid": VNF, "wish": exact, "prefer_pin": True}, ["one", "two"]),
            ({"instance_uuid": OTHER, "wish": exact, "prefer_pin": True}, ["two"]),
        ):
            self.assertEqual(expected, sorted(self.hosts(**question)), str(question))
        missing = self.request(
            "POST", "/v1/candidates", json={"size": SIZE, "instance_uuid": OTHER}
        )
        self.assert_error(missing, 404, "pin_not_found", OTHER)

    def test_where_room_is_kept_comes_first(self) -> None:
        self.pin(**self.WISH)
        for host in ("two", "one"):
            owner: dict[str, Any] = {"project_id": "telco", "user_id": "mano"}
            self.pin(base.UNKNOWN, host=host, size=SIZE, **owner, **self.WISH)
            self.assertEqual(host, self.hosts(instance_uuid=base.UNKNOWN)[0])
            self.request("DELETE", f"/v1/pins/{base.UNKNOWN}")

    def test_whether_it_claims(self) -> None:
        for wish, claims in (
            (self.WISH, True),
            ({"vcpus": {"*": "0-3"}}, False),
            ({"numa_nodes": 1, "memory": {"page_size_kib": 4}}, True),
        ):
            for candidate in self.ask(wish=wish)["candidates"]:
                self.assertIs(claims, candidate["claims"], str(wish))

    def test_before_its_version(self) -> None:
        old = {"OpenStack-API-Version": "resource_pin 1.1"}
        body: dict[str, Any] = {"size": SIZE, "wish": {}}
        answer = self.request("POST", "/v1/candidates", json=body, headers=old).json()
        self.assertEqual({"host", "placement"}, set(answer["candidates"][0]))
        body["instance_uuid"] = VNF
        refused = self.request("POST", "/v1/candidates", json=body, headers=old)
        self.assert_error(refused, 400, "invalid_field", "instance_uuid")

    def test_bad_input(self) -> None:
        for body, field in (
            ({}, "wish"),
            ({"instance_uuid": "x"}, "instance_uuid"),
            ({"instance_uuid": 5}, "instance_uuid"),
            ({"wish": {}, "prefer_pin": True}, "prefer_pin"),
            ({"instance_uuid": VNF, "wish": {}, "prefer_pin": "yes"}, "prefer_pin"),
        ):
            answer = self.request("POST", "/v1/candidates", json={"size": SIZE} | body)
            self.assert_error(answer, 400, "invalid_field", field)
