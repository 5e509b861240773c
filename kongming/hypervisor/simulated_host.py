# SPDX-License-Identifier: Apache-2.0
"""What a simulated host and its instances are, and what they refuse in the words of libvirt."""

import dataclasses
import time
from collections.abc import Mapping

from kongming import objects
from kongming.hypervisor.driver import HypervisorError
from kongming.hypervisor.fleet import HostSpec, InstanceSpec, allocate
from kongming.topology import bandwidth, cpuset
from kongming.topology.host import Core, Host, NumaNode, Pages
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement


@dataclasses.dataclass
class SimulatedInstance:
    """One instance; ``live`` is what libvirt told the kernel, ``stray`` what others told it."""

    spec: InstanceSpec
    host: "SimulatedHost"
    persistent: Placement
    state: str = "shutoff"
    started_ms: int | None = None
    live: Placement = dataclasses.field(default_factory=Placement)
    stray: Placement = dataclasses.field(default_factory=Placement)
    memory: dict[int, int] = dataclasses.field(default_factory=dict)  # MiB by NUMA node
    starts: int = 0  # or arrivals
    writes: int = 0
    failures: dict[int, str] = dataclasses.field(default_factory=dict)  # reason by write

    @property
    def running(self) -> bool:
        """Whether there are threads."""
        return self.state != "shutoff"

    def start(self) -> None:
        """Run from the definition; refused if it names what is not there."""
        self.memory = self.host.admit(self.persistent, self.spec.memory_mib)
        self.live = Placement(self.persistent)
        self.state = "running"
        self.begin()

    def begin(self) -> None:
        """Have a new process, as from a start, and on the target of a migration."""
        self.starts += 1
        self.started_ms = time.time_ns() // 1_000_000

    def stop(self) -> None:
        """End all threads and give the memory back."""
        self.state, self.started_ms = "shutoff", None
        self.live, self.stray, self.memory = Placement(), Placement(), {}

    def unpinned(self) -> Placement:
        """Return what each part may use without KongMing: what Nova gave it, or all."""
        threads = [Part("vcpu", number) for number in range(self.spec.vcpus)]
        threads += [Part("iothread", number) for number in self.spec.iothread_ids]
        # a thread that nobody pins is not to get stuck on an isolated one
        everywhere = self.host.online & ~self.host.spec.isolated or self.host.online
        free = dict.fromkeys([*threads, EMULATOR], everywhere)
        return self.host.effective(free | {MEMORY: self.host.spec.node_ids} | self.spec.given())

    def told(self) -> Placement:
        """Return where libvirt believes each part to be."""
        return self.host.effective(self.unpinned() | self.live)

    def observed(self) -> Placement:
        """Return where each part is, and the numbers that are not at their default."""
        effective = self.host.effective(self.unpinned() | self.live | self.stray)
        return Placement(
            (part, value) for part, value in effective.items() if value != part.default
        )

    def check(self, part: Part, mask: int, live: bool) -> None:
        """Refuse a part or a place that is not there."""
        owner = part.owner
        if owner == "vcpu" and part.number not in range(self.spec.vcpus):
            limit = f"is out of range of live cpu count {self.spec.vcpus}"
            raise HypervisorError(f"invalid argument: vcpu {part.number} {limit}")
        if owner == "iothread" and part.number not in self.spec.iothread_ids:
            raise HypervisorError(f"invalid argument: iothread {part.number} not found")
        self.host.check(part, mask, live)

    def place(self, part: Part, mask: int) -> None:
        """Check a live change, and move the memory if that is the part."""
        self.check(part, mask, live=True)
        if part.is_number:
            self._check_limits(part, mask)
        if part == MEMORY:
            # The kernel moves just what is outside of the new nodes.
            stay = {node: mib for node, mib in self.memory.items() if mask >> node & 1}
            moved = self.host.take(mask, self.spec.memory_mib - sum(stay.values()))
            # the same dictionary: a move that is under way goes on with it
            self.memory.clear()
            self.memory.update({node: mib + stay.get(node, 0) for node, mib in moved.items()})

    def _check_limits(self, part: Part, value: int) -> None:
        """Refuse, as the kernel does on cgroup v1, a group with more than the one around it."""
        now = Placement(self.observed() | {part: value})
        threads = [Part("emulator_quota")]
        threads += [Part("vcpu_quota", number) for number in range(self.spec.vcpus)]
        threads += [Part("iothread_quota", number) for number in self.spec.iothread_ids]
        whole = bandwidth.limit(now, Part("global_quota"))
        if any(bandwidth.exceeds(bandwidth.limit(now, quota), whole) for quota in threads):
            file = f"cpu.cfs_{part.measure}_us"
            raise HypervisorError(f"Invalid value '{value}' for '{file}': Invalid argument")

    def report(self) -> objects.Instance:
        """Return the instance as a driver tells it."""
        return objects.Instance(
            uuid=self.spec.uuid,
            host=self.host.spec.name,
            name=self.spec.name,
            project_id=self.spec.project_id,
            user_id=self.spec.user_id,
            vcpus=self.spec.vcpus,
            memory_mib=self.spec.memory_mib,
            iothreads=self.spec.iothread_ids,
            state=self.state,
            holds=cpuset.to_text(self.persistent.exclusive),
            observed=self.observed() if self.running else None,
            started_ms=self.started_ms,
        )


@dataclasses.dataclass
class SimulatedHost:
    """One host with the instances that are on it, running or not."""

    spec: HostSpec
    offline: int
    instances: dict[str, SimulatedInstance] = dataclasses.field(default_factory=dict)

    @property
    def online(self) -> int:
        """Bitmask of the pCPUs that threads can run on."""
        return self.spec.cpus & ~self.offline

    def effective(self, entries: Mapping[Part, int]) -> Placement:
        """Return what the kernel makes of masks: what is gone is left out, if all then ignored."""
        placement = Placement()
        for part, mask in entries.items():
            usable = self.spec.node_ids if part == MEMORY else self.online
            placement[part] = mask if part.is_number else mask & usable or usable
        return placement

    def check(self, part: Part, mask: int, live: bool) -> None:
        """Refuse places that the host lacks; ``live`` also those that are offline."""
        if part.is_number:
            return
        if mask <= 0:
            what = "node" if part == MEMORY else "cpu"
            raise HypervisorError(f"invalid argument: Empty {what} list for pinning")
        if part == MEMORY:
            if absent := mask & ~self.spec.node_ids:
                node = cpuset.to_text(absent)
                raise HypervisorError(f"unsupported configuration: NUMA node {node} is unavailable")
            return
        cause = ""
        if absent := mask & ~self.spec.cpus:
            cause = f"Numerical result out of range (no pCPU {cpuset.to_text(absent)})"
        elif live and (offline := mask & self.offline):
            cause = f"Invalid argument (offline pCPU {cpuset.to_text(offline)})"
        if cause:
            wanted = cpuset.to_text(mask)
            raise HypervisorError(f"Unable to write '{wanted}' to cpuset.cpus of {part}: {cause}")

    def admit(self, entries: Placement, mib: int) -> dict[int, int]:
        """Return the MiB by NUMA node of an instance that is to run with these entries."""
        for part, mask in entries.items():
            self.check(part, mask, live=True)
        return self.take(entries.get(MEMORY, self.spec.node_ids), mib)

    def take(self, nodes: int, mib: int) -> dict[int, int]:
        """Return how many MiB come from each of the nodes."""
        free = self._free_mib()
        taken = allocate(free, nodes, mib)
        if taken is None:
            left = sum(free[node] for node in cpuset.members(nodes))
            where = f"NUMA node {cpuset.to_text(nodes)} with {left} MiB free"
            raise HypervisorError(f"Unable to get {mib} MiB on {where}: Cannot allocate memory")
        return taken

    def topology(self) -> Host:
        """Return the host as a driver tells it."""
        nodes = []
        for number, free_mib in self._free_mib().items():
            siblings = [
                self.spec.core_cpus(number, core) & self.online
                for core in range(self.spec.cores_per_node)
            ]
            pages = [Pages(4, self.spec.small_pages_mib * 256, free_mib * 256)]
            pages += [Pages(size, n, n) for size, n in self.spec.huge_pages.items()]
            nodes.append(
                NumaNode(
                    id=number,
                    cpus=sum(siblings),
                    memory_mib=self.spec.memory_mib_per_node,
                    pages=tuple(pages),
                    distances={
                        other: 10 if other == number else 20 for other in range(self.spec.nodes)
                    },
                    cores=tuple(
                        Core(socket=number, die=0, core=core, cpus=cpus)
                        for core, cpus in enumerate(siblings)
                        if cpus
                    ),
                )
            )
        return Host(
            nodes=tuple(nodes),
            offline=self.offline,
            isolated=self.spec.isolated,
            devices=self.spec.devices,
        )

    def _free_mib(self) -> dict[int, int]:
        free = dict.fromkeys(range(self.spec.nodes), self.spec.small_pages_mib)
        for instance in self.instances.values():
            for node, mib in instance.memory.items():
                free[node] -= mib
        return free
