# SPDX-License-Identifier: Apache-2.0
"""The conductor is told what changed since it last listened."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import fixtures

from kongming import exception, objects
from kongming.agent.observer import Observer
from kongming.agent.reporter import Reporter
from kongming.agent.view import View
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import RequestContext
from kongming.hypervisor.driver import HypervisorError
from kongming.tests.unit.agent import base
from kongming.tests.unit.agent.base import FULL, NOVA, OFF, VCPU_0, VNF, CountingDriver
from kongming.topology.counted import Sample
from kongming.topology.placement import Placement

FAR = 1 << 60


class Conductor:
    """Listens while it has patience."""

    def __init__(self) -> None:
        self.reports: list[objects.Report] = []
        self.patience = FAR
        self.answers: list[dict[str, object]] = []

    def report(self, context: RequestContext, report: objects.Report) -> dict[str, object]:
        if not self.patience:
            raise exception.ControlPlaneUnavailable(seconds=1)
        self.patience -= 1
        self.reports.append(report)
        if self.answers:
            return self.answers.pop(0)
        return {"sequence": report.sequence, "full_needed": False}


class Blind(CountingDriver):
    """Cannot look at its host at times."""

    blind = False

    def instances(self) -> list[objects.Instance]:
        if self.blind:
            raise HypervisorError("the daemon does not answer")
        return super().instances()


def outcome(
    result: str = "applied",
    uuid: str = VNF,
    generation: int = 1,
    reason: str | None = None,
    in_force: Placement = FULL,
) -> objects.Outcome:
    return objects.Outcome(
        instance_uuid=uuid,
        generation=generation,
        arrival=0,
        result=result,
        reason=reason,
        in_force=in_force,
    )


class ReporterTestCase(base.AgentTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.grace(0)
        self.conductor = Conductor()
        self.blind = self.driver = Blind(self.fleet, "one")
        self.reporter = self.restarted()

    def grace(self, seconds: float) -> None:
        """For how long an instance that vanishes from now on counts as stopped."""
        self.useFixture(
            fixtures.MonkeyPatch("kongming.agent.reporter.GRACE_SECONDS", float(seconds))
        )

    def restarted(self) -> Reporter:
        self.observer = Observer(self.driver)
        view, conductor = cast(View, self.driver), cast(ConductorAPI, self.conductor)
        return Reporter(view, self.observer, conductor, "one", 60)

    def sent(self, *outcomes: objects.Outcome, full: bool = False) -> list[dict[str, Any]]:
        """Add outcomes and report; return what each report that was sent says."""
        self.conductor.reports.clear()
        self.reporter.add(outcomes)
        self.reporter.report(full)
        return [
            {
                "full": report.full,
                "instances": {instance.uuid: instance.state for instance in report.instances},
                "gone": report.gone,
                "outcomes": [
                    (each.instance_uuid, each.generation, each.result) for each in report.outcomes
                ],
            }
            for report in self.conductor.reports
        ]

    def said(self, *outcomes: objects.Outcome) -> list[str]:
        """Add outcomes and report; return the results that were sent."""
        return [result for report in self.sent(*outcomes) for _, _, result in report["outcomes"]]


ALL = {VNF: "running", NOVA: "running", OFF: "shutoff"}
NOTHING: dict[str, Any] = {"full": False, "instances": {}, "gone": [], "outcomes": []}


class UsageTest(ReporterTestCase):
    def test_only_full_reports_tell(self) -> None:
        self.sent(full=True)
        (report,) = self.conductor.reports
        self.assertEqual({VNF, NOVA}, set(report.usage.instances))
        self.sent(outcome())
        (report,) = self.conductor.reports
        self.assertIsNone(report.usage)

    def test_reports_go_on_without(self) -> None:
        for error in (HypervisorError("no"), ValueError("nonsense")):
            self.driver.sample = raising(error)  # type: ignore[method-assign]
            (report,) = self.sent(full=True)
            self.assertEqual(NOTHING | {"full": True, "instances": ALL}, report)
            self.assertIsNone(self.conductor.reports[0].usage)
            self.assertIn("The usage of this host is not known", self.log.output)


def raising(error: Exception) -> Callable[[], Sample]:
    def sample() -> Sample:
        raise error

    return sample


class FactsTest(ReporterTestCase):
    def test_first_report_tells_everything(self) -> None:
        (report,) = self.sent(full=False)
        self.assertEqual(NOTHING | {"full": True, "instances": ALL}, report)
        (raw,) = self.conductor.reports
        self.assertEqual(self.driver.host(), raw.topology)
        self.assertEqual(("one", 60), (raw.host, raw.interval))
        self.assertLess(abs(raw.sequence - time.time() * 1000), 60000)

    def test_nothing_new_is_not_sent(self) -> None:
        self.sent()
        for _ in range(3):
            self.assertEqual([], self.sent())

    def test_full_report_tells_everything_again(self) -> None:
        self.sent()
        for _ in range(2):
            (report,) = self.sent(full=True)
            self.assertEqual(NOTHING | {"full": True, "instances": ALL}, report)
            self.assertIsNotNone(self.conductor.reports[0].topology)

    def test_host_without_instances(self) -> None:
        self.driver = Blind(self.fleet, "two")
        self.reporter = self.restarted()
        for full in (False, True):
            self.assertEqual([NOTHING | {"full": True}], self.sent(full=full))
        self.assertEqual([], self.sent())

    def test_changes_alone(self) -> None:
        self.sent()
        self.fleet.stop(NOVA)
        new = self.fleet.create("one", {"name": "new", "vcpus": 1, "memory_mib": 16})
        self.fleet.delete(OFF)
        self.assertEqual(
            [NOTHING | {"instances": {NOVA: "shutoff", new: "running"}, "gone": [OFF]}],
            self.sent(),
        )
        self.assertIsNone(self.conductor.reports[0].topology)
        self.assertEqual([], self.sent())

    def test_instance_that_vanishes_is_stopped_at_first(self) -> None:
        self.sent()
        self.grace(60)
        self.fleet.migrate(VNF, "two")
        for full in (False, True):
            (report,) = self.sent(full=full)
            self.assertEqual(("shutoff", []), (report["instances"][VNF], report["gone"]))
            told = {each.uuid: each.observed for each in self.conductor.reports[0].instances}
            self.assertIsNone(told[VNF])
        self.assertLess(self.reporter.next_gone, time.monotonic() + 61)
        self.assertEqual([], self.sent())
        self.fleet.migrate(VNF, "one")
        self.assertEqual([NOTHING | {"instances": {VNF: "running"}}], self.sent())
        self.assertEqual(math.inf, self.reporter.next_gone)

    def test_instance_that_vanishes_is_gone_soon(self) -> None:
        self.sent()
        self.grace(0.2)
        self.fleet.delete(OFF)
        # it was stopped before
        self.assertEqual([], self.sent())
        due = self.reporter.next_gone
        time.sleep(max(0, due - time.monotonic()))
        self.assertEqual([NOTHING | {"gone": [OFF]}], self.sent())
        self.assertEqual(math.inf, self.reporter.next_gone)

    def test_moved_threads_are_a_change(self) -> None:
        self.sent()
        self.fleet.tamper(VNF, VCPU_0, 1 << 9, event=False)
        self.assertEqual([NOTHING | {"instances": {VNF: "running"}}], self.sent())
        (instance,) = self.conductor.reports[0].instances
        self.assertEqual(1 << 9, instance.observed[VCPU_0])

    def test_what_was_not_heard_is_told_again(self) -> None:
        self.sent()
        self.fleet.stop(NOVA)
        self.fleet.delete(OFF)
        self.conductor.patience = 0
        for _ in range(2):
            self.assertRaises(exception.ControlPlaneUnavailable, self.sent)
        self.conductor.patience = FAR
        self.fleet.stop(VNF)
        self.assertEqual(
            [NOTHING | {"instances": {VNF: "shutoff", NOVA: "shutoff"}, "gone": [OFF]}],
            self.sent(),
        )

    def test_first_report_that_was_not_heard(self) -> None:
        self.conductor.patience = 0
        self.assertRaises(exception.ControlPlaneUnavailable, self.sent)
        self.conductor.patience = FAR
        self.assertEqual([NOTHING | {"full": True, "instances": ALL}], self.sent())


class SequenceTest(ReporterTestCase):
    def sequences(self) -> list[int]:
        return [report.sequence for report in self.conductor.reports]

    def test_rises(self) -> None:
        last = 0
        for _ in range(20):
            self.sent(full=True)
            (sequence,) = self.sequences()
            self.assertGreater(sequence, last)
            last = sequence

    def test_rises_over_restarts(self) -> None:
        self.sent()
        (before,) = self.sequences()
        # a restart takes longer than the millisecond in which it is counted
        while time.time_ns() // 1_000_000 <= before:
            pass
        self.reporter = self.restarted()
        self.sent()
        self.assertGreater(self.sequences()[0], before)

    def test_clock_was_put_back(self) -> None:
        # the conductor has heard of a later one
        self.conductor.answers = [{"sequence": FAR, "full_needed": False}]
        reports = self.sent(outcome())
        self.assertEqual([True, True], [report["full"] for report in reports])
        self.assertEqual(reports[0], reports[1])
        self.assertEqual(FAR + 1, self.sequences()[1])
        self.sent(full=True)
        self.assertEqual([FAR + 2], self.sequences())

    def test_conductor_has_forgotten_the_host(self) -> None:
        self.sent()
        self.conductor.answers = [{"sequence": 0, "full_needed": True}]
        reports = self.sent(outcome())
        self.assertEqual(
            [
                NOTHING | {"outcomes": [(VNF, 1, "applied")]},
                {
                    "full": True,
                    "instances": ALL,
                    "gone": [],
                    "outcomes": [(VNF, 1, "applied")],
                },
            ],
            reports,
        )
        self.assertEqual(sorted(set(self.sequences())), self.sequences())
        self.assertEqual([], self.sent())

    def test_conductor_that_takes_nothing(self) -> None:
        self.sent()
        self.conductor.answers = [{"sequence": 0, "full_needed": True}] * 3
        reports = self.sent(outcome())
        self.assertEqual([False, True], [report["full"] for report in reports])
        self.assertIn("was not taken, sending all with the next one", self.log.output)
        reports = self.sent()
        self.assertEqual(
            [(True, [(VNF, 1, "applied")])] * 2,
            [(report["full"], report["outcomes"]) for report in reports],
        )
        self.assertEqual([], self.sent())

    def test_conductor_has_forgotten_the_host_and_is_away(self) -> None:
        self.sent()
        self.conductor.answers = [{"sequence": 0, "full_needed": True}]
        self.conductor.patience = 1
        self.assertRaises(exception.ControlPlaneUnavailable, self.sent, outcome())
        self.conductor.patience = FAR
        (report,) = self.sent()
        self.assertEqual((True, [(VNF, 1, "applied")]), (report["full"], report["outcomes"]))


class OutcomesTest(ReporterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sent()

    def test_told_once(self) -> None:
        self.assertEqual(
            [NOTHING | {"outcomes": [(VNF, 1, "applied"), (NOVA, 3, "failed")]}],
            self.sent(outcome(), outcome("failed", NOVA, 3)),
        )
        self.assertEqual([], self.sent())

    def test_same_word_is_not_repeated(self) -> None:
        self.said(outcome(), outcome("failed", NOVA))
        self.assertEqual([], self.sent(outcome(), outcome("failed", NOVA), outcome()))

    def test_every_other_word_is_told_in_order(self) -> None:
        self.said(outcome())
        self.assertEqual(
            ["drifted", "applied", "failed"],
            self.said(outcome("drifted"), outcome(), outcome(), outcome("failed")),
        )
        self.assertEqual(["failed"], self.said(outcome("failed", generation=2)))
        changed = outcome("failed", generation=2, reason="another")
        self.assertEqual(["failed"], self.said(changed))
        changed = outcome("failed", generation=2, reason="another", in_force=Placement())
        self.assertEqual(["failed"], self.said(changed))

    def test_instances_do_not_mix(self) -> None:
        self.assertEqual(["applied"] * 2, self.said(outcome(uuid=VNF), outcome(uuid=NOVA)))

    def test_repeated_after_a_restart_of_the_instance(self) -> None:
        # for the conductor it waits since it stopped
        self.said(outcome())
        self.fleet.stop(VNF)
        self.assertEqual([NOTHING | {"instances": {VNF: "shutoff"}}], self.sent())
        self.fleet.start(VNF)
        self.assertEqual(
            [NOTHING | {"instances": {VNF: "running"}, "outcomes": [(VNF, 1, "applied")]}],
            self.sent(outcome()),
        )
        self.assertEqual([], self.said(outcome()))

    def test_not_repeated_after_a_restart_that_nobody_saw(self) -> None:
        self.said(outcome())
        self.fleet.hard_reboot(VNF)
        self.assertEqual([], self.said(outcome()))

    def test_repeated_after_the_instance_came_back(self) -> None:
        self.said(outcome())
        self.fleet.migrate(VNF, "two")
        self.assertEqual([NOTHING | {"gone": [VNF]}], self.sent())
        self.fleet.migrate(VNF, "one")
        self.assertEqual(["applied"], self.said(outcome()))

    def test_repeated_after_a_full_report(self) -> None:
        # the conductor may have lost what it knew
        self.said(outcome())
        self.sent(full=True)
        self.assertEqual(["applied"], self.said(outcome()))
        self.assertEqual([], self.said(outcome()))

    def test_kept_while_nobody_listens(self) -> None:
        self.said(outcome())
        self.conductor.patience = 0
        for word in (outcome("drifted"), outcome(), outcome("failed", NOVA)):
            self.assertRaises(exception.ControlPlaneUnavailable, self.sent, word)
        self.conductor.patience = FAR
        self.assertEqual(["drifted", "applied", "failed"], self.said())
        self.assertEqual([], self.said())

    def test_kept_while_the_host_cannot_be_looked_at(self) -> None:
        self.blind.blind = True
        self.assertRaises(HypervisorError, self.sent, outcome())
        self.assertEqual([], self.conductor.reports)
        self.blind.blind = False
        self.assertEqual([NOTHING | {"outcomes": [(VNF, 1, "applied")]}], self.sent())
