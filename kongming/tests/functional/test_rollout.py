# SPDX-License-Identifier: Apache-2.0
"""A template changes: twenty real domains follow, all of them or none."""

import contextlib
from typing import Any

from kongming.tests.functional import test_control_plane
from kongming.tests.functional.fixtures import cgroup, postgresql
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_control_plane import FIRST, SECOND

COUNT = 20
PARTS = ("vcpu0", "emulator")


def wish(pcpu: int) -> dict[str, Any]:
    """Return the wish to be on one pCPU."""
    return {"vcpus": {"*": str(pcpu)}, "emulator": str(pcpu)}


class RolloutCase(test_control_plane.ControlPlaneCase):
    def setUp(self) -> None:
        super().setUp()
        others = [self.useFixture(self.make_domain()) for _ in range(COUNT - 1)]
        # a rollout has this order
        self.domains = sorted([self.domain, *others], key=lambda domain: domain.uuid)
        for domain in others:
            path = f"/v1/instances/{domain.uuid}"
            self.eventually(lambda path=path: self.kongming.request("GET", path).ok, 60)  # type: ignore[misc]
        body = {"name": f"gold-{self.domain.uuid}", "shared": True, "wish": wish(FIRST)}
        self.template = self.answer("POST", "/v1/templates", 201, json=body)
        for domain in self.domains:
            body = {"instance_uuid": domain.uuid, "template": self.template["name"]}
            self.answer("POST", "/v1/pins", 201, json=body)
        self.eventually(lambda: self.where() == [{FIRST}] * COUNT, 120)
        self.eventually(self.is_applied, 120)

    def make_domain(self) -> Domain:
        """Return a tiny domain."""
        return Domain(self.host, vcpus=1, memory_mib=32)

    def where(self) -> list[set[int]]:
        """Return on which pCPUs the threads of each domain are, as /proc has it."""
        return [
            {int(cpus) if cpus.isdigit() else -1 for part in PARTS for cpus in [allowed[part]]}
            for allowed in (domain.allowed() for domain in self.domains)
        ]

    def is_applied(self) -> bool:
        """Whether each pin is carried out."""
        pins = [self.answer("GET", f"/v1/pins/{domain.uuid}", 200) for domain in self.domains]
        return {pin["status"] for pin in pins} == {"applied"}

    def change(self) -> str:
        """Change the template; return the id of the rollout."""
        path = f"/v1/templates/{self.template['id']}"
        changed = self.answer("PUT", path, 200, json={"version": 1, "wish": wish(SECOND)})
        rollout_id: str = changed["rollout_id"]
        return rollout_id

    def rollout(self, rollout_id: str) -> dict[str, Any]:
        """Return a rollout."""
        return self.answer("GET", f"/v1/rollouts/{rollout_id}", 200)

    def becomes(self, rollout_id: str, state: str) -> dict[str, Any]:
        """Return a rollout once it is in a state."""
        self.eventually(lambda: self.rollout(rollout_id)["state"] == state, 180)
        return self.rollout(rollout_id)

    def kill_control_plane(self) -> None:
        """Kill conductor and API, in the middle of whatever they do, and start them again."""
        self.kongming.conductor.kill()
        self.kongming.api.kill()
        self.between = self.where()
        self.kongming.conductor.start()
        self.kongming.api.start()


class FailureTest(RolloutCase):
    @classmethod
    def database(cls) -> str:
        """On the other database."""
        url: str = cls.have(postgresql.PostgreSQL()).create("kongming")
        return url

    def test_the_thirteenth_fails(self) -> None:
        thirteenth = self.domains[12]
        with cgroup.narrowed(thirteenth.pid, str(FIRST)):
            rollout_id = self.change()
            found = self.becomes(rollout_id, "returned")
        self.assertEqual(thirteenth.uuid, found["failed_pin"])
        self.assertIn("Unable to write to", found["reason"])
        self.eventually(self.is_applied, 60)
        self.assertEqual([{FIRST}] * COUNT, self.where())
        for number, domain in enumerate(self.domains):
            history = self.answer("GET", f"/v1/pins/{domain.uuid}/history", 200)["history"]
            told = [(event["event"], (event["by"] or {}).get("version")) for event in history[2:]]
            met = "failed" if number == 12 else "applied"
            there = [("changed", 2), (met, None), ("changed", 1), ("applied", None)]
            self.assertEqual(there if number < 13 else [], told, f"number {number + 1}")
            for event in history[2:]:
                if event["event"] == "changed":
                    self.assertEqual(
                        ("rollout", rollout_id), (event["by"]["kind"], event["by"]["id"])
                    )


class KilledTest(RolloutCase):
    def test_killed_on_the_way(self) -> None:
        # it gets no further until this one can be asked
        with self.domains[5].occupied():
            rollout_id = self.change()
            self.eventually(lambda: self.rollout(rollout_id)["done"] == 5, 60)
            self.kill_control_plane()
        self.assertEqual([{SECOND}] * 5 + [{FIRST}] * 15, self.between)
        found = self.becomes(rollout_id, "completed")
        self.assertEqual((COUNT, COUNT), (found["done"], found["total"]))
        self.assertEqual([{SECOND}] * COUNT, self.where())

    def test_killed_on_the_way_back(self) -> None:
        with cgroup.narrowed(self.domains[12].pid, str(FIRST)), contextlib.ExitStack() as stack:
            # it gets there, no further back than to the sixth, and not to the end in between
            with self.domains[12].occupied():
                rollout_id = self.change()
                self.eventually(lambda: self.rollout(rollout_id)["done"] == 12, 60)
                stack.enter_context(self.domains[5].occupied())
            self.becomes(rollout_id, "returning")
            self.eventually(lambda: self.where()[6] == {FIRST}, 60)
            self.kill_control_plane()
            stack.close()
            self.becomes(rollout_id, "returned")
        self.assertEqual([{SECOND}] * 6 + [{FIRST}] * 14, self.between)
        self.eventually(self.is_applied, 60)
        self.assertEqual([{FIRST}] * COUNT, self.where())
