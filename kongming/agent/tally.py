# SPDX-License-Identifier: Apache-2.0
"""What became of the pins of a host since its agent started, in numbers."""

import threading
from collections.abc import Iterable

from kongming import objects
from kongming.objects.report import RELEASED


class Tally:
    """Counts outcomes; any thread may call.

    ``drifts`` is how often a pin in place was found to be so no more, ``repairs`` how often it
    was brought back at once, ``failures`` how often one could not be applied; to be left alone is
    no further drift, and trying in vain again no further failure.
    """

    def __init__(self) -> None:
        self.drifts = self.repairs = self.failures = 0
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, int]] = {}  # result and generation

    @property
    def states(self) -> dict[str, str]:
        """The last result for each instance: ``applied``, ``drifted`` or ``failed``."""
        with self._lock:
            return {uuid: result for uuid, (result, _) in self._last.items()}

    def add(self, outcomes: Iterable[objects.Outcome]) -> None:
        """Count outcomes, which are in order."""
        with self._lock:
            for outcome in outcomes:
                now = outcome.result, outcome.generation
                before = self._last.get(outcome.instance_uuid, ("", 0))
                self.drifts += outcome.result == "drifted" != before[0]
                self.repairs += outcome.result == "applied" and before[0] == "drifted"
                self.failures += outcome.result == "failed" and before != now
                self._last[outcome.instance_uuid] = now
                if outcome.result == RELEASED:
                    del self._last[outcome.instance_uuid]
