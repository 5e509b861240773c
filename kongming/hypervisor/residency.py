# SPDX-License-Identifier: Apache-2.0
"""On which NUMA nodes the memory of instances is, at a price that is bounded."""

import contextlib
import math
import time
from collections.abc import Callable, Collection

from kongming.hypervisor.driver import HypervisorError
from kongming.topology.residency import Residency

#: The kernel walks the page tables of an instance to tell, about a second for 100 GiB in small
#: pages. So no more than this part of the time is spent on it, after so many seconds at first.
PART = 0.02
FIRST_SECONDS = 1.0


class ResidencyReader:
    """Knows the memory of instances, and reads some of it anew in each look; for one thread.

    :param read: returns the memory of an instance
    """

    def __init__(
        self, read: Callable[[str], Residency], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._looked_at = clock()
        self._credit = FIRST_SECONDS  # seconds that may be spent; a long walk makes a debt
        self._known: dict[str, Residency] = {}
        self._read_at: dict[str, float] = {}

    def look(self, uuids: Collection[str]) -> dict[str, Residency]:
        """Return the memory of those instances for which it could be read by now.

        What was read longest ago is read first; what the credit does not reach is as it was.
        """
        begun = self._clock()
        self._credit = min(FIRST_SECONDS, self._credit + PART * (begun - self._looked_at))
        self._looked_at = begun
        self._known = {uuid: self._known[uuid] for uuid in uuids if uuid in self._known}
        self._read_at = {uuid: self._read_at.get(uuid, -math.inf) for uuid in uuids}
        for uuid in sorted(uuids, key=self._read_at.__getitem__):
            if self._credit <= 0:
                break
            self._known.pop(uuid, None)
            with contextlib.suppress(HypervisorError):  # ended meanwhile
                self._known[uuid] = self._read(uuid)
            self._read_at[uuid] = self._clock()
            self._credit -= self._read_at[uuid] - begun
            begun = self._read_at[uuid]
        return dict(self._known)
