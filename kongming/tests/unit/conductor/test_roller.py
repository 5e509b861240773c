# SPDX-License-Identifier: Apache-2.0
"""The thread that takes the steps of rollouts."""

import fixtures
from oslo_db import exception as db_exception

from kongming.conductor import roller, rollouts, steps
from kongming.context import RequestContext
from kongming.tests.unit.conductor.base import A, B
from kongming.tests.unit.conductor.test_templates import TemplateTestCase


class RollerTest(TemplateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: list[str | None] = []
        self.taken: list[str] = []
        self.failures: list[Exception] = []
        self.useFixture(fixtures.MonkeyPatch(f"{steps.__name__}.advance", self.advance))
        self.roller = roller.Roller(self.tell)
        self.addCleanup(self.roller.stop)

    def tell(self, context: RequestContext, host: str | None) -> None:
        self.told.append(host)

    def advance(self, context: RequestContext, rollout_id: str) -> steps.Step:
        """Stand in for what is tested elsewhere."""
        if self.failures:
            raise self.failures.pop()
        self.taken.append(rollout_id)
        return steps.Step(frozenset({"two", "one"}), again=self.taken.count(rollout_id) < 3)

    def test_steps_are_taken_until_there_is_something_to_wait_for(self) -> None:
        template, other = self.template(), self.template("silver")
        first = rollouts.create(self.context, template.id, 1, 1)
        rollouts.create(self.context, template.id, 1, 1)
        second = rollouts.create(self.context, other.id, 1, 1)
        self.roller.start()
        self.roller.wake()
        # the last look is for a rollout that has its turn now
        self.eventually(lambda: len(self.taken) == 8)
        # the second rollout of a template is not looked at before the first is over
        self.assertEqual({first.id, second.id}, set(self.taken))
        self.eventually(lambda: self.told == ["one", "two"] * 8)

    def test_what_fails_is_tried_again(self) -> None:
        self.follow(A, template := self.template())
        self.follow(B, template)
        rollouts.create(self.context, template.id, 1, 1)
        self.failures = [ZeroDivisionError(), db_exception.DBConnectionError()]
        self.roller.start()
        for _ in range(2):
            before = len(self.failures)
            self.roller.wake()
            self.eventually(lambda before=before: len(self.failures) < before)  # type: ignore[misc]
        self.roller.wake()
        self.eventually(lambda: len(self.taken) >= 3)
        self.assertIn("could not go on, tried again", self.log.output)

    def test_what_fails_holds_up_no_other(self) -> None:
        names = ("gold", "silver", "bronze")
        made = {rollouts.create(self.context, self.template(name).id, 1, 1).id for name in names}
        broken: set[str] = set()

        def advance(context: RequestContext, rollout_id: str) -> steps.Step:
            if not broken:
                broken.add(rollout_id)
            if rollout_id in broken:
                raise ZeroDivisionError
            return self.advance(context, rollout_id)

        self.useFixture(fixtures.MonkeyPatch(f"{steps.__name__}.advance", advance))
        self.roller.start()
        self.roller.wake()
        self.eventually(lambda: bool(broken) and set(self.taken) == made - broken)
        self.assertIn(f"Rollout {broken.pop()} could not go on, tried again", self.log.output)
