# SPDX-License-Identifier: Apache-2.0
"""An agent carries out nothing that makes no sense, says so, and goes on with everything else."""

from typing import Any

import fixtures

from kongming import objects, rpc
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OTHER, VNF

SERIALIZE = rpc._ContextSerializer.serialize_entity


class HostileConductorTest(base.EmbeddedTestCase):
    agent_options = {"managed_cpus": "0-7"}

    def corrupt(self, **fields: Any) -> None:
        """Have these in place of what conductors say of VNF."""

        def serialize(serializer: Any, context: Any, entity: Any) -> Any:
            sent = SERIALIZE(serializer, context, entity)
            for each in sent if isinstance(sent, list) else []:
                data = each.get("kongming_object.data", {})
                if data.get("instance_uuid") == VNF:
                    data.update(fields)
            return sent

        self.useFixture(
            fixtures.MonkeyPatch("kongming.rpc._ContextSerializer.serialize_entity", serialize)
        )

    def refused(self, *words: str, **fields: Any) -> None:
        """Insist that VNF fails for a reason, stays where it is, and OTHER is placed."""
        before = self.observed(VNF)
        self.corrupt(**fields)
        self.pin(VNF, vcpus={"*": "4"})
        self.pin(OTHER, vcpus={"*": "5"})
        self.wait_for("applied", OTHER)
        reason = self.wait_for("failed", VNF)["reason"]
        for word in words:
            self.assertIn(word, reason)
        self.assertEqual(before, self.observed(VNF))

    def test_outside_of_what_is_managed(self) -> None:
        """A conductor that does not know the limits, or does not care."""
        self.refused("vCPU 0: pCPU 9 is not among [agent] managed_cpus", placement=vcpus("9"))

    def test_emulator_outside(self) -> None:
        self.refused("emulator: pCPU 8", placement={"emulator": "7-8"})

    def test_iothread_outside(self) -> None:
        self.refused("I/O thread 1: pCPU 8", placement={"iothreads": {"1": "8"}})

    def test_node_that_is_not_there(self) -> None:
        self.refused("7", placement={"memory": {"nodes": "7"}})

    def test_numbers_out_of_bounds(self) -> None:
        numbers = {"vcpus": {"0": {"quota": 5, "period": 100000}}}
        self.refused("quota: 5 is not from 1000", placement={"qos": numbers})

    def test_numbers_that_are_none(self) -> None:
        self.refused("means nothing", placement={"qos": {"vcpus": {"0": {"quota": "all"}}}})

    def test_words_that_are_no_parts(self) -> None:
        self.refused("means nothing", placement={"qos": {"colour_quota": 1000}})

    def test_sets_that_are_none(self) -> None:
        self.refused("does not understand", placement=vcpus("nonsense"))

    def test_shapes_that_are_none(self) -> None:
        self.refused("does not understand", placement=[1, 2, 3])

    def test_wish_that_is_none(self) -> None:
        self.refused("does not understand", wish={"vcpus": 7})

    def test_instance_that_is_none(self) -> None:
        """What a conductor would refuse to hear of keeps nothing else from it."""
        self.corrupt(instance_uuid="nobody", wish={"vcpus": 7})
        self.pin(VNF, vcpus={"*": "4"})
        self.eventually(lambda: "of instance nobody is not carried out" in self.kongming.log.output)
        self.pin(OTHER, vcpus={"*": "5"})
        self.wait_for("applied", OTHER)

    def test_instance_that_no_report_may_speak_of(self) -> None:
        self.corrupt(instance_uuid="nobody")
        self.pin(VNF, vcpus={"*": "4"})
        told = "Host one: a conductor speaks of 'nobody', which is no UUID"
        self.eventually(lambda: told in self.kongming.log.output)
        self.pin(OTHER, vcpus={"*": "5"})
        self.wait_for("applied", OTHER)
        self.assertNotIn("refuses the report", self.kongming.log.output)

    def test_report_that_is_refused(self) -> None:
        """Both sides say so; that is not a conductor which cannot be reached."""

        def serialize(serializer: Any, context: Any, entity: Any) -> Any:
            sent = SERIALIZE(serializer, context, entity)
            if isinstance(entity, objects.Report):
                sent["kongming_object.data"]["interval"] = 0
            return sent

        name = "kongming.rpc._ContextSerializer.serialize_entity"
        self.useFixture(fixtures.MonkeyPatch(name, serialize))
        self.pin(VNF, vcpus={"*": "4"})
        wrong = "report.interval: must be an integer from 1 to"
        told = f"Host one: a conductor refuses the report: {wrong}"
        self.eventually(lambda: told in self.kongming.log.output)
        self.assertIn(f"The report of host 'one' is refused: {wrong}", self.kongming.log.output)
        self.assertNotIn("cannot reach a conductor", self.kongming.log.output)

    def test_fetch_that_is_refused(self) -> None:
        def serialize(serializer: Any, context: Any, entity: Any) -> Any:
            return SERIALIZE(serializer, context, 7 if entity == "one" else entity)

        name = "kongming.rpc._ContextSerializer.serialize_entity"
        self.useFixture(fixtures.MonkeyPatch(name, serialize))
        told = "Host one: a conductor refuses the fetch of placements: host: must be"
        self.pin(VNF, vcpus={"*": "4"})
        self.eventually(lambda: told in self.kongming.log.output)
        self.assertNotIn("refuses the report", self.kongming.log.output)


def vcpus(cpus: str) -> dict[str, Any]:
    """Return a placement of one vCPU."""
    return {"vcpus": {"0": cpus}}
