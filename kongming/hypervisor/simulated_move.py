# SPDX-License-Identifier: Apache-2.0
"""How memory moves on a simulated host: in steps that take time, and not to where it is full."""

import threading
import time

from kongming.hypervisor.driver import InstanceGone, Move
from kongming.hypervisor.simulated_host import SimulatedInstance
from kongming.topology import residency
from kongming.topology.placement import MEMORY
from kongming.topology.residency import Progress

CHUNK_MIB = 1024
_STEPS_PER_S = 4


class SimulatedMove(Move):
    """Moves the memory of one instance; the lock is held for a step at a time."""

    def __init__(self, lock: threading.RLock, instance: SimulatedInstance, mask: int) -> None:
        """Look whether there is room.

        :raises HypervisorError: there is not
        """
        self.warnings = []
        self._lock = lock
        self._instance = instance
        self._mask = mask
        self._moved = 0
        self._rate, self._step = instance.host.spec.move_mib_per_s, CHUNK_MIB
        if self._rate is not None:
            self._step = max(1, min(CHUNK_MIB, self._rate // _STEPS_PER_S))
        self._begin = time.monotonic()
        self._log: list[tuple[int, dict[int, int]]] = []
        with lock:
            instance.check(MEMORY, mask, live=True)
            self._memory = instance.memory
            self._routes = residency.routes({4: self._memory}, mask)
            self._total = sum(self._memory.get(node, 0) for node in self._routes)
            instance.host.take(mask, self._total)

    def __next__(self) -> Progress:
        if self._rate is not None:
            time.sleep(self._step / self._rate)
        with self._lock:
            self._require_running()
            for source, targets in self._routes.items():
                if chunk := min(self._step, self._memory.get(source, 0)):
                    taken = self._instance.host.take(targets, chunk)
                    self._carry({source: chunk}, taken)
                    self._log.append((source, taken))
                    self._moved += chunk
                    return Progress(self._moved, self._total, time.monotonic() - self._begin)
        raise StopIteration

    def undo(self) -> None:
        """Give every MiB back to the node from where it came."""
        with self._lock:
            self._require_running()
            while self._log:
                source, taken = self._log.pop()
                self._carry(taken, {source: sum(taken.values())})

    def _carry(self, leaving: dict[int, int], arriving: dict[int, int]) -> None:
        for node, mib in leaving.items():
            self._memory[node] -= mib
        for node, mib in arriving.items():
            self._memory[node] = self._memory.get(node, 0) + mib

    def _require_running(self) -> None:
        if self._instance.memory is not self._memory:  # it stopped, and may have started again
            raise InstanceGone("Requested operation is not valid: domain is not running")
