# SPDX-License-Identifier: Apache-2.0
"""A host that is not heard of: what is asked of it waits until it is back."""

import datetime

import sqlalchemy as sa

from kongming.db import engine, models
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF


class HostDownTest(base.EmbeddedTestCase):
    interval = 1000

    def silence(self, seconds: float, host: str = "one") -> None:
        """Let the last report of a host be older."""
        age = datetime.timedelta(seconds=seconds)
        with engine.writer() as session:
            row = session.scalars(sa.select(models.Host).where(models.Host.name == host)).one()
            row.reported_at = row.reported_at - age

    def status(self, host: str = "one") -> str:
        status: str = self.get(f"/v1/hosts/{host}").json()["status"]
        return status

    def claims(self) -> dict[int, str]:
        """Return who holds which pCPU."""
        return {row["pcpu"]: row["instance_uuid"] for row in base.rows("claims")}

    def test_down_after_three_intervals(self) -> None:
        self.assertEqual("up", self.status())
        self.kongming.stop_agent("one")
        self.silence(2.5 * self.interval)
        self.assertEqual("up", self.status())
        self.silence(0.5 * self.interval)
        self.assertEqual("down", self.status())
        listed = {host["name"]: host["status"] for host in self.get("/v1/hosts").json()["hosts"]}
        self.assertEqual({"one": "down", "two": "up"}, listed)
        self.kongming.start_agent("one")
        self.eventually(lambda: self.status() == "up")

    def test_pin_stays_pending_until_the_host_is_back(self) -> None:
        before = self.observed()
        self.kongming.stop_agent("one")
        self.silence(4 * self.interval)
        pin = self.pin(cpu_policy="dedicated", vcpus={"*": "4-7"})
        self.assertEqual(("pending", "one", 1), (pin["status"], pin["host"], pin["generation"]))
        self.assertEqual(before, self.observed())
        # it is claimed all the same
        self.pin(OTHER, expect=409, vcpus={"*": "7"})
        answer = self.request("PUT", f"/v1/pins/{VNF}", json={"vcpus": {"*": "6"}})
        self.assertEqual((200, "pending"), (answer.status_code, answer.json()["status"]))
        self.kongming.start_agent("one")
        self.assertEqual(2, self.wait_for("applied")["generation"])
        self.assertEqual(dict.fromkeys("0123", "6"), self.observed()["vcpus"])
        # the wish that was replaced before anybody saw it was never carried out
        self.assertEqual(
            ["created", "changed", "applied"], [event["event"] for event in self.history()]
        )

    def test_claims_stay_until_the_host_has_released_them(self) -> None:
        before = self.observed()
        self.pin(cpu_policy="dedicated", vcpus={"*": "4-7"})
        self.wait_for("applied")
        self.kongming.stop_agent("one")
        self.silence(4 * self.interval)
        self.assertEqual(204, self.request("DELETE", f"/v1/pins/{VNF}").status_code)
        self.assertEqual(404, self.get(f"/v1/pins/{VNF}").status_code)
        self.assertEqual(dict.fromkeys(range(4, 8), VNF), self.claims())
        body = self.pin(OTHER, expect=409, cpu_policy="dedicated", vcpus={"*": "7"})
        self.assertIn(VNF, body["message"])
        self.kongming.start_agent("one")
        self.eventually(lambda: not self.claims())
        self.assertEqual(before, self.observed())
        self.assertEqual("released", self.history()[-1]["event"])
        self.pin(OTHER, cpu_policy="dedicated", vcpus={"*": "7"})

    def test_pin_made_again_before_the_old_one_was_released(self) -> None:
        self.pin(cpu_policy="dedicated", vcpus={"*": "4-7"}, emulator="0")
        self.wait_for("applied")
        before = self.observed()
        self.kongming.stop_agent("one")
        self.request("DELETE", f"/v1/pins/{VNF}")
        pin = self.pin(cpu_policy="dedicated", vcpus={"*": "6-8"})
        self.assertEqual(("pending", 3), (pin["status"], pin["generation"]))
        self.assertEqual(before, self.observed())
        # where it may still run and where it shall
        self.assertEqual(dict.fromkeys(range(4, 9), VNF), self.claims())
        self.kongming.start_agent("one")
        self.wait_for("applied")
        self.assertEqual(dict.fromkeys("0123", "6-8"), self.observed()["vcpus"])
        self.assertEqual("0-14", self.observed()["emulator"])
        self.assertEqual(dict.fromkeys(range(6, 9), VNF), self.claims())

    def test_what_happened_meanwhile_is_seen(self) -> None:
        self.pin(cpu_policy="dedicated", vcpus={"*": "4-7"})
        self.wait_for("applied")
        self.kongming.stop_agent("one")
        self.fleet.stop(VNF)
        self.fleet.delete(OTHER)
        self.kongming.start_agent("one")
        self.assertIn("shutoff", self.wait_for("waiting")["reason"])
        self.eventually(lambda: self.get(f"/v1/instances/{OTHER}").status_code == 404)


class SilenceTest(base.EmbeddedTestCase):
    """The same with real time."""

    interval = 1

    def test_reports_keep_a_host_up(self) -> None:
        def statuses() -> dict[str, str]:
            hosts = self.get("/v1/hosts").json()["hosts"]
            return {host["name"]: host["status"] for host in hosts}

        def reported() -> dict[str, datetime.datetime]:
            return {row["name"]: row["reported_at"] for row in base.rows("hosts")}

        self.eventually(lambda: statuses() == {"one": "up", "two": "up"})
        self.kongming.stop_agent("one")
        last = reported()["one"]
        self.eventually(lambda: statuses() == {"one": "down", "two": "up"})
        self.eventually(lambda: reported()["two"] - last > datetime.timedelta(seconds=3))
        self.assertEqual(last, reported()["one"])
