# SPDX-License-Identifier: Apache-2.0
"""Tell the conductor what changed since it last listened."""

import math
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from kongming import objects
from kongming.agent.observer import Observer
from kongming.agent.view import View
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import service_context

LOG = logging.getLogger(__name__)

#: For how long an instance that vanished counts as stopped. To reboot or rebuild it Nova removes
#: its definition and makes another: in between, its claims must not become somebody else's.
GRACE_SECONDS = 3.0


class Reporter:
    """Builds reports and remembers what was acknowledged; used by one thread."""

    def __init__(
        self, view: View, observer: Observer, conductor: ConductorAPI, host: str, interval: int
    ) -> None:
        self._view = view
        self._observer = observer
        self._conductor = conductor
        self._host = host
        self._interval = interval
        self._sequence = 0
        self._acknowledged: dict[str, objects.Instance] | None = None
        self._outcomes: list[objects.Outcome] = []
        self._last_words: dict[str, Any] = {}
        # those that vanished, and when they count as gone
        self._vanished: dict[str, float] = {}

    @property
    def next_gone(self) -> float:
        """When (`time.monotonic`) a report is due for one that vanished; infinite if none did."""
        return min(self._vanished.values(), default=math.inf)

    def add(self, outcomes: Iterable[objects.Outcome]) -> None:
        """Keep outcomes for the next report; what the conductor heard last is not repeated."""
        for outcome in outcomes:
            word = _primitive(outcome)
            if self._last_words.get(outcome.instance_uuid) != word:
                self._last_words[outcome.instance_uuid] = word
                self._outcomes.append(outcome)

    def report(
        self, full: bool, moving: Collection[objects.Moving] = (), again: bool = True
    ) -> bool:
        """Send what changed (or everything); keep it for the next time if that fails.

        :param moving: is not kept: there will be a newer word
        :param again: send everything at once if a conductor does not take this one
        :returns: whether a conductor took it, or there is nothing to tell
        :raises ControlPlaneUnavailable: nobody answered
        :raises HypervisorError: the host cannot be looked at
        """
        full = full or self._acknowledged is None
        found = {instance.uuid: instance for instance in self._view.instances()}
        instances = found | self._stopped(found)
        known = {} if full else self._acknowledged or {}
        changed = [
            instance
            for uuid, instance in instances.items()
            if uuid not in known or _primitive(instance) != _primitive(known[uuid])
        ]
        gone = sorted(set(known) - set(instances))
        outcomes = list(self._outcomes)
        if not (full or changed or gone or outcomes or moving):
            return True
        topology = self._view.host() if full else None
        # rises over restarts of the agent too, without a file
        self._sequence = max(self._sequence + 1, time.time_ns() // 1_000_000)
        report = objects.Report(
            host=self._host,
            sequence=self._sequence,
            interval=self._interval,
            full=full,
            topology=topology,
            usage=None if topology is None else self._observer.look(topology),
            instances=changed,
            gone=gone,
            moving=list(moving),
            outcomes=outcomes,
        )
        answer = self._conductor.report(service_context(), report)
        highest = int(str(answer["sequence"]))
        if answer["full_needed"] or highest > self._sequence:
            when = "now" if again else "with the next one"
            LOG.warning(
                "Host %s: report %s was not taken, sending all %s", self._host, self._sequence, when
            )
            self._sequence = max(highest, self._sequence)
            self._acknowledged = None
            return again and self.report(full=True, again=False)
        self._acknowledged = instances
        self._vanished = {uuid: end for uuid, end in self._vanished.items() if uuid in instances}
        # the sweep that follows a full report repeats every outcome, and so does a start
        running = {} if full else instances
        self._last_words = {
            uuid: word
            for uuid, word in self._last_words.items()
            if uuid in running and running[uuid].has_threads
        }
        self._outcomes = self._outcomes[len(outcomes) :]
        return True

    def _stopped(self, found: Mapping[str, objects.Instance]) -> dict[str, objects.Instance]:
        """Return those that are not found but were until just now."""
        known, now = self._acknowledged or {}, time.monotonic()
        missing = known.keys() - found.keys()
        self._vanished = {uuid: self._vanished.get(uuid, now + GRACE_SECONDS) for uuid in missing}
        stopped = {}
        for uuid, end in self._vanished.items():
            if now < end:
                stopped[uuid] = known[uuid].obj_clone()
                stopped[uuid].state, stopped[uuid].observed = "shutoff", None
                stopped[uuid].started_ms = None
        return stopped


def _primitive(thing: objects.Instance | objects.Outcome) -> Any:
    return thing.obj_to_primitive()["kongming_object.data"]
