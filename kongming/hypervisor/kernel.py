# SPDX-License-Identifier: Apache-2.0
"""What the kernel of this machine says of a QEMU process: its threads and its memory.

Paths and formats are those of proc(5).
"""

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from kongming.hypervisor import cpu_time, files, numa_maps, proc_stat, vhost
from kongming.hypervisor.cgroups import Groups
from kongming.hypervisor.driver import HypervisorError, InstanceGone
from kongming.topology import cpuset
from kongming.topology.counted import CpuTime, Thread
from kongming.topology.placement import EMULATOR, MEMORY, Kind, Part, Placement

# When this machine was booted, in s since the epoch, by the clock as it now is.
_BOOT = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
_TICKS = os.sysconf("SC_CLK_TCK")
#: For how long a process may still be about to become a QEMU, or to be told of by libvirt.
_YOUNG_SECONDS = 60
_CAPABILITIES = "CAP_SYS_PTRACE, CAP_SYS_NICE or CAP_DAC_OVERRIDE"
# QEMU names its threads so because libvirt always starts it with debug-threads=on.
_NAMES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("vcpu", re.compile(r"CPU ([0-9]+)/")),
    ("iothread", re.compile(r"IO iothread([0-9]+)$")),
)
# The cgroups that libvirt makes for them, and where their threads start others: workers for
# disk I/O, and since Linux 6.13 one of KVM's own. Those follow that pin, not the emulator's.
_GROUPS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("vcpu", re.compile(r"/vcpu([0-9]+)$", re.MULTILINE)),
    ("iothread", re.compile(r"/iothread([0-9]+)$", re.MULTILINE)),
)


class Kernel:
    """Reads the processes of the machine that this program runs on.

    :param root: where procfs is mounted
    :param affinity: returns the pCPUs on which the thread with an id may run
    :param release: of the kernel, such as ``6.1.0-31-amd64``
    """

    def __init__(
        self,
        root: str = "/proc",
        affinity: Callable[[int], set[int]] = os.sched_getaffinity,
        release: str = os.uname().release,
    ) -> None:
        self._root = root
        self._affinity = affinity
        self._release = release
        self._pids: dict[str, int] = {}
        # those that were old when they were looked at last: what has just begun is not among them
        self._old: set[int] = set()
        self._lock = threading.Lock()  # guards the changes of both

    def forget(self, uuid: str) -> None:
        """Look for the process of an instance anew, because it has been started again."""
        with self._lock:
            self._pids.pop(uuid, None)

    def placement(self, uuid: str) -> Placement:
        """Return where every part of an instance may be, as the kernel enforces it.

        A part is its thread and those that it has started; the emulator is all the rest.
        Its mask is the union of theirs, without pCPUs that are offline: sched_getaffinity(2)
        leaves them out.

        :raises InstanceGone: it has no process here
        """
        placement = Placement({EMULATOR: 0})
        with self.process(uuid) as pid:
            for _, part, cpus in self._threads(pid):
                placement[part] = placement.get(part, 0) | cpus
            placement[MEMORY] = self._memory_nodes(pid)
        return placement

    def run(self, uuid: str) -> str:
        """Return what tells this process of an instance from all others: id and start.

        :raises InstanceGone: it has no process here
        """
        with self.process(uuid) as pid:
            return f"{pid}-{self._ticks(pid)}"

    def confine(self, uuid: str, placement: Placement) -> None:
        """Let every thread of the parts placed run where libvirt has placed one of each.

        libvirt sets the affinity of a single thread of each part; since Linux 6.2 the
        others stay within what they inherited, however wide their cgroup becomes.

        :raises InstanceGone: it has no process here
        """
        with self.process(uuid) as pid:
            for tid, owner, cpus in self._threads(pid):
                if placement.get(owner, cpus) != cpus:
                    try:
                        os.sched_setaffinity(tid, cpuset.members(placement[owner]))
                    except PermissionError:
                        raise
                    except OSError:
                        # the kernel's own threads refuse, and new ones inherit the right mask
                        continue

    def threads(self, uuid: str) -> list[Thread]:
        """Return all threads of an instance with what the kernel has counted for each.

        :raises InstanceGone: it has no process here
        """
        found = []
        with self.process(uuid) as pid:
            for tid, part, cpus in self._threads(pid):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    stat = self._read_of(pid, tid, "stat")
                    counts = self._read_of(pid, tid, "schedstat")
                    name, last_cpu = proc_stat.name_and_cpu(stat)
                    run, wait = proc_stat.run_and_wait(counts)
                    found.append(Thread(part, name, tid, cpus, last_cpu, run, wait))
        return found

    def cpu_times(self) -> dict[int, CpuTime]:
        """Return what each pCPU of the machine that is online has done since it started."""
        return proc_stat.cpu_times(files.read(f"{self._root}/stat"))

    def numbers(self, uuid: str) -> Placement:
        """Return the numbers of QoS that are not at their default.

        :raises InstanceGone: it has no process here
        """
        with self._groups(uuid) as groups:
            return cpu_time.read(groups)

    def tune(self, uuid: str, part: Part, value: int) -> None:
        """Give a vCPU a number of its own.

        :raises InstanceGone: it has no process here
        :raises HypervisorError: the kernel refuses, or the host does not control CPU time
        """
        with self._groups(uuid) as groups:
            cpu_time.write(groups, part, value)

    def has_weights(self, uuid: str) -> bool:
        """Whether what libvirt calls the shares of an instance is a weight of cgroup v2.

        :raises InstanceGone: it has no process here
        """
        with self._groups(uuid) as groups:
            return groups.version("cpu") == 2

    def memory_nodes(self, uuid: str) -> int:
        """Return the bitmask of the NUMA nodes from which an instance may take memory.

        :raises InstanceGone: it has no process here
        """
        with self.process(uuid) as pid:
            return self._memory_nodes(pid)

    def memory_mib(self, uuid: str) -> dict[int, dict[int, int]]:
        """Return how much memory an instance holds: ``{page size in KiB: {node: MiB}}``.

        It is the guest's memory plus QEMU's own heap, without binaries and libraries.
        The kernel walks all page tables for this: about a second for 100 GiB in small pages.

        :raises InstanceGone: it has no process here
        """
        with self.process(uuid) as pid:
            maps = self._read(pid, "numa_maps")
        return numa_maps.residency(numa_maps.parse(maps))

    def started_ms(self, uuid: str) -> int:
        """Return when the process of an instance was started, in ms since the epoch.

        It is the same each time this program is asked, whatever becomes of the clock.

        :raises InstanceGone: it has no process here
        """
        with self.process(uuid) as pid:
            return int(1000 * (_BOOT + self._ticks(pid) / _TICKS))

    @contextlib.contextmanager
    def _groups(self, uuid: str) -> Iterator[Groups]:
        with self.process(uuid) as pid:
            yield Groups(pid, self._root)

    @contextlib.contextmanager
    def process(self, uuid: str) -> Iterator[int]:
        """Yield the pid of an instance.

        The process may end at any moment: FileNotFoundError and ProcessLookupError in the
        block leave as InstanceGone, other kinds of OSError as HypervisorError.
        """
        gone = f"instance {uuid} has no process on this machine"
        try:
            pid = self._pids.get(uuid)
            if pid is None or self._uuid_of(pid) != uuid:
                pid = self._find(uuid)
            if pid is None:
                raise InstanceGone(gone)
            yield pid
        except (FileNotFoundError, ProcessLookupError) as error:
            raise InstanceGone(gone) from error
        except PermissionError as error:
            what = f" ({error.filename})" if error.filename else ""
            raise HypervisorError(
                f"may not look at the process of instance {uuid}{what}, or not place its threads:"
                f" the agent lacks {_CAPABILITIES}"
            ) from error
        except OSError as error:
            # such as too many open files: a transaction has to be undone then, too
            raise HypervisorError(
                f"the process of instance {uuid} cannot be looked at: {error}"
            ) from error

    def _find(self, uuid: str) -> int | None:
        """Look at the processes, first at the young: an instance that starts is among them."""
        running, old = set(self._all()), self._old
        for pids in (running - old, running):
            looks = sorted(self._look(pids))
            # of two the younger: the other is left over from a move within this machine
            found = {of: pid for _, pid, of in looks if of}
            if uuid in found:
                break
        limit = (time.clock_gettime(time.CLOCK_BOOTTIME) - _YOUNG_SECONDS) * _TICKS
        with self._lock:
            self._old = old & running | {pid for ticks, pid, _ in looks if ticks < limit}
            # what is known already is looked at again when it is asked for
            known = {other: pid for other, pid in self._pids.items() if other != uuid}
            self._pids = found | known
        return found.get(uuid)

    def _threads(self, pid: int) -> Iterator[tuple[int, Part, int]]:
        """Yield thread id, part, and the pCPUs on which the thread may run."""
        for tid in map(int, os.listdir(f"{self._root}/{pid}/task")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # they come and go
                yield tid, self._part(pid, tid), cpuset.from_members(self._affinity(tid))
        for tid in vhost.threads(pid, self._root, self._release):
            with contextlib.suppress(ProcessLookupError):
                yield tid, EMULATOR, cpuset.from_members(self._affinity(tid))

    def _read_of(self, pid: int, tid: int, name: str) -> str:
        """Read a file about a thread, the kernel's own included."""
        try:
            return self._read(pid, f"task/{tid}/{name}")
        except FileNotFoundError:
            return self._read(tid, name)

    def _part(self, pid: int, tid: int) -> Part:
        for file, patterns in (("comm", _NAMES), ("cgroup", _GROUPS)):
            text = self._read(pid, f"task/{tid}/{file}")
            for kind, pattern in patterns:
                if found := pattern.search(text):
                    return Part(kind, int(found[1]))
        return EMULATOR

    def _memory_nodes(self, pid: int) -> int:
        for line in self._read(pid, "status").splitlines():
            name, _, value = line.partition(":")
            if name == "Mems_allowed_list":
                return cpuset.parse(value)
        raise HypervisorError("this kernel does not tell Mems_allowed_list")

    def _look(self, pids: Iterable[int]) -> Iterator[tuple[int, int, str]]:
        """Yield start, pid and uuid of each, which is empty if it is no QEMU."""
        for pid in pids:
            try:
                yield self._ticks(pid), pid, self._uuid_of(pid) or ""
            except OSError as error:
                _insist_on_enough(error)

    def _ticks(self, pid: int) -> int:
        """Return when a process was started, in clock ticks since the boot."""
        # after the name, in which anything may be: proc_pid_stat(5)
        return int(self._read(pid, "stat").rpartition(")")[2].split()[19])

    def _all(self) -> Iterator[int]:
        return (int(name) for name in os.listdir(self._root) if name.isdigit())

    def _uuid_of(self, pid: int) -> str | None:
        try:
            arguments = self._read(pid, "cmdline").split("\0")
            return arguments[arguments.index("-uuid") + 1]
        except (ValueError, IndexError):
            return None
        except OSError as error:
            _insist_on_enough(error)
            return None

    def _read(self, pid: int, name: str) -> str:
        return files.read(f"{self._root}/{pid}/{name}")


def _insist_on_enough(error: OSError) -> None:
    """Raise what says that the machine lacks something, and nothing of the process looked at."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error
