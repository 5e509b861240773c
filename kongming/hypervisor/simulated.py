# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts that refuse what a real one refuses, in the words of libvirt."""

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from kongming import objects
from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone, Scope
from kongming.hypervisor.fleet import HostSpec, InstanceSpec, allocate, load, parse_instance
from kongming.topology import cpuset
from kongming.topology.host import Core, Host, NumaNode, Pages
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

LOG = logging.getLogger(__name__)
_Queue = queue.SimpleQueue[tuple[str, str]]  # of host names and UUIDs


class SimulatedDriver(Driver):
    """One host of a fleet, as its agent sees it."""

    def __init__(self, fleet: "Fleet", host_name: str) -> None:
        """Attach to a host of a fleet, which other drivers may share.

        :raises HypervisorError: the fleet has no such host
        """
        self._fleet = fleet
        self._host = fleet.host(host_name)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> "SimulatedDriver":
        """Return the driver of ``[DEFAULT] host``, in a fleet of its own.

        :raises FleetError: the fleet file is unusable
        :raises HypervisorError: the fleet has no such host
        """
        return cls(Fleet(load(conf.simulated.fleet)), conf.host)

    def host(self) -> Host:
        with self._fleet.lock:
            return self._host.topology()

    def instances(self) -> list[objects.Instance]:
        with self._fleet.lock:
            return [instance.report() for instance in self._host.instances.values()]

    def scopes(self, uuid: str) -> list[Scope]:
        with self._fleet.lock:
            self._running(uuid)
            return [Scope.LIVE, Scope.PERSISTENT]

    def read(self, uuid: str, scope: Scope) -> Placement:
        with self._fleet.lock:
            instance = self._running(uuid)
            return instance.observed() if scope is Scope.LIVE else Placement(instance.persistent)

    def unpinned(self, uuid: str) -> Placement:
        with self._fleet.lock:
            return self._running(uuid).unpinned()

    def write(self, uuid: str, scope: Scope, part: Part, mask: int) -> None:
        with self._fleet.lock:
            instance = self._running(uuid)
            instance.writes += 1
            if instance.writes in instance.failures:
                raise HypervisorError(instance.failures.pop(instance.writes))
            if scope is Scope.LIVE:
                self._fleet.tune(instance, part, mask)
            else:
                instance.check(part, mask, live=False)
                instance.persistent[part] = mask

    def listen(self, callback: Callable[[str], None]) -> None:
        self._fleet.events.add(self._host.spec.name, self, callback)

    def close(self) -> None:
        self._fleet.events.remove(self._host.spec.name, self)

    def _running(self, uuid: str) -> "_Instance":
        if uuid not in self._host.instances:
            raise InstanceGone(f"Domain not found: no domain with matching uuid '{uuid}'")
        return self._fleet.running(uuid)


class Fleet:
    """All simulated hosts of a process, and what others than KongMing do to them.

    Any thread may call. A method that takes an instance's UUID raises InstanceGone when
    there is no such instance (or it would have to run, and does not), and HypervisorError
    for what a real host refuses; nothing was changed then.
    """

    def __init__(self, hosts: Iterable[HostSpec]) -> None:
        #: Held by whoever looks at a host or an instance.
        self.lock = threading.RLock()
        self.events = _Events()
        self._hosts = {spec.name: _Host(spec, spec.offline) for spec in hosts}
        self._instances: dict[str, _Instance] = {}
        for host in self._hosts.values():
            for instance in host.spec.instances:
                self._add(host, instance)

    @property
    def host_names(self) -> list[str]:
        """The names of all hosts."""
        return list(self._hosts)

    def host(self, name: str) -> "_Host":
        """Return the host of this name.

        :raises HypervisorError: there is none
        """
        if name not in self._hosts:
            raise HypervisorError(f"the fleet has no host {name}")
        return self._hosts[name]

    def running(self, uuid: str) -> "_Instance":
        """Return an instance that runs on some host."""
        instance = self._find(uuid)
        if not instance.running:
            raise InstanceGone("Requested operation is not valid: domain is not running")
        return instance

    def create(self, host: str, fields: Mapping[str, Any]) -> str:
        """Make an instance from what a fleet file would say of it; return its UUID.

        :raises FleetError: a field is wrong
        """
        with self.lock:
            there = self.host(host)
            spec = parse_instance(dict(fields), "instance", there.spec)
            if spec.uuid in self._instances:
                raise HypervisorError(f"domain '{spec.name}' already exists with uuid {spec.uuid}")
            self._add(there, spec)
            self.events.send(host, spec.uuid)
            return spec.uuid

    def delete(self, uuid: str) -> None:
        """Remove an instance, running or not."""
        with self.lock:
            host = self._find(uuid).host
            del self._instances[uuid], host.instances[uuid]
            self.events.send(host.spec.name, uuid)

    def start(self, uuid: str) -> None:
        """Start an instance that is off, from its persistent definition."""
        with self.lock:
            instance = self._find(uuid)
            if instance.running:
                raise HypervisorError("Requested operation is not valid: domain is already running")
            instance.start()
            self.events.send(instance.host.spec.name, uuid)

    def stop(self, uuid: str) -> None:
        """Stop a running instance."""
        with self.lock:
            instance = self.running(uuid)
            instance.stop()
            self.events.send(instance.host.spec.name, uuid)

    def hard_reboot(self, uuid: str) -> None:
        """Restart an instance as Nova does: from a new definition that has only Nova's pins.

        It stays off if the host refuses to start it.
        """
        with self.lock:
            instance = self._find(uuid)
            instance.stop()
            instance.persistent = instance.spec.given()
            self.events.send(instance.host.spec.name, uuid)
            instance.start()
            self.events.send(instance.host.spec.name, uuid)

    def migrate(self, uuid: str, target: str) -> None:
        """Move a running instance to another host, with its live pins, as libvirt does."""
        with self.lock:
            instance = self.running(uuid)
            source, there = instance.host, self.host(target)
            if there is source:
                raise HypervisorError("internal error: Attempt to migrate guest to itself")
            instance.memory = there.admit(instance.live, instance.spec.memory_mib)
            instance.host = there
            instance.persistent = Placement(instance.live)
            instance.stray.clear()
            there.instances[uuid] = source.instances.pop(uuid)
            self.events.send(source.spec.name, uuid)
            self.events.send(target, uuid)

    def tamper(self, uuid: str, part: Part, mask: int, event: bool = True) -> None:
        """Place a part of a running instance behind KongMing's back, live only.

        Without ``event`` it is done to the kernel directly, where neither the rules nor
        the events of libvirt apply.
        """
        with self.lock:
            instance = self.running(uuid)
            if event:
                self.tune(instance, part, mask)
            else:
                instance.place(part, mask)
                instance.stray[part] = mask

    def set_offline(self, host: str, cpus: int) -> None:
        """Take the pCPUs in the bitmask ``cpus`` of a host offline, all its others online."""
        with self.lock:
            there = self.host(host)
            if not there.spec.cpus & ~cpus:
                raise HypervisorError("Device or resource busy")
            there.offline = there.spec.cpus & cpus

    def fail_next(self, uuid: str, nth_write: int, reason: str) -> None:
        """Let a driver's ``nth_write``-th write from now on (1: the next) fail with ``reason``."""
        with self.lock:
            instance = self._find(uuid)
            instance.failures[instance.writes + nth_write] = reason

    def tune(self, instance: "_Instance", part: Part, mask: int) -> None:
        """Do what libvirt does when somebody asks it for a live pin; the caller has ``lock``."""
        strict = part == MEMORY and instance.spec.memory_nodes is not None
        if strict and mask != instance.live[MEMORY]:
            raise HypervisorError(
                "Requested operation is not valid: "
                "change of nodeset for running domain requires restrictive numa mode"
            )
        instance.place(part, mask)
        instance.live[part] = mask
        instance.stray.pop(part, None)
        if part != MEMORY:
            self.events.send(instance.host.spec.name, instance.spec.uuid)

    def _find(self, uuid: str) -> "_Instance":
        if uuid not in self._instances:
            raise InstanceGone(f"Domain not found: no domain with matching uuid '{uuid}'")
        return self._instances[uuid]

    def _add(self, host: "_Host", spec: InstanceSpec) -> None:
        instance = _Instance(spec, host, spec.given())
        if spec.state != "shutoff":
            instance.start()
            instance.state = spec.state
        self._instances[spec.uuid] = host.instances[spec.uuid] = instance


@dataclasses.dataclass
class _Instance:
    """One instance; ``live`` is what libvirt told the kernel, ``stray`` what others told it."""

    spec: InstanceSpec
    host: "_Host"
    persistent: Placement
    state: str = "shutoff"
    live: Placement = dataclasses.field(default_factory=Placement)
    stray: Placement = dataclasses.field(default_factory=Placement)
    memory: dict[int, int] = dataclasses.field(default_factory=dict)  # MiB by NUMA node
    writes: int = 0
    failures: dict[int, str] = dataclasses.field(default_factory=dict)  # reason by write

    @property
    def running(self) -> bool:
        return self.state != "shutoff"

    def start(self) -> None:
        self.memory = self.host.admit(self.persistent, self.spec.memory_mib)
        self.live = Placement(self.persistent)
        self.state = "running"

    def stop(self) -> None:
        self.state = "shutoff"
        self.live, self.stray, self.memory = Placement(), Placement(), {}

    def unpinned(self) -> Placement:
        threads = [Part("vcpu", number) for number in range(self.spec.vcpus)]
        threads += [Part("iothread", number) for number in self.spec.iothread_ids]
        free = dict.fromkeys([*threads, EMULATOR], self.host.online)
        return self.host.effective(free | {MEMORY: self.host.spec.node_ids} | self.spec.given())

    def observed(self) -> Placement:
        return self.host.effective(self.unpinned() | self.live | self.stray)

    def check(self, part: Part, mask: int, live: bool) -> None:
        if part.kind == "vcpu" and part.number not in range(self.spec.vcpus):
            limit = f"is out of range of live cpu count {self.spec.vcpus}"
            raise HypervisorError(f"invalid argument: vcpu {part.number} {limit}")
        if part.kind == "iothread" and part.number not in self.spec.iothread_ids:
            raise HypervisorError(f"invalid argument: iothread {part.number} not found")
        self.host.check(part, mask, live)

    def place(self, part: Part, mask: int) -> None:
        """Check a live change, and move the memory if that is the part."""
        self.check(part, mask, live=True)
        if part == MEMORY:
            # The kernel moves just what is outside of the new nodes.
            stay = {node: mib for node, mib in self.memory.items() if mask >> node & 1}
            moved = self.host.take(mask, self.spec.memory_mib - sum(stay.values()))
            self.memory = {node: mib + stay.get(node, 0) for node, mib in moved.items()}

    def report(self) -> objects.Instance:
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
            observed=self.observed() if self.running else None,
        )


@dataclasses.dataclass
class _Host:
    """One host with the instances that are on it, running or not."""

    spec: HostSpec
    offline: int
    instances: dict[str, _Instance] = dataclasses.field(default_factory=dict)

    @property
    def online(self) -> int:
        return self.spec.cpus & ~self.offline

    def effective(self, entries: Mapping[Part, int]) -> Placement:
        """Return what the kernel makes of masks: what is gone is left out, if all then ignored."""
        placement = Placement()
        for part, mask in entries.items():
            usable = self.spec.node_ids if part == MEMORY else self.online
            placement[part] = mask & usable or usable
        return placement

    def check(self, part: Part, mask: int, live: bool) -> None:
        """Refuse places that the host lacks; ``live`` also those that are offline."""
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
        return Host(nodes=tuple(nodes), offline=self.offline)

    def _free_mib(self) -> dict[int, int]:
        free = dict.fromkeys(range(self.spec.nodes), self.spec.small_pages_mib)
        for instance in self.instances.values():
            for node, mib in instance.memory.items():
                free[node] -= mib
        return free


class _Events:
    """Calls the listeners from one thread, in the order of what happened."""

    def __init__(self) -> None:
        # Held while callbacks run, so that none runs after `remove` has returned; a callback
        # may call `remove` itself.
        self._lock = threading.RLock()
        self._listeners: dict[str, dict[Driver, Callable[[str], None]]] = {}
        self._queue: _Queue | None = None

    def send(self, host: str, uuid: str) -> None:
        """Note that something happened to an instance of a host; never blocks."""
        if (events := self._queue) is not None:
            events.put((host, uuid))

    def add(self, host: str, driver: Driver, callback: Callable[[str], None]) -> None:
        """Let the callback of a driver hear of everything on a host from now on."""
        with self._lock:
            self._listeners.setdefault(host, {})[driver] = callback
            if self._queue is None:
                self._queue = queue.SimpleQueue()
                threading.Thread(
                    target=self._run, args=(self._queue,), name="fleet-events", daemon=True
                ).start()

    def remove(self, host: str, driver: Driver) -> None:
        """Call nothing for a driver any more; the thread ends with the last listener."""
        with self._lock:
            self._listeners.get(host, {}).pop(driver, None)
            if self._queue is not None and not any(self._listeners.values()):
                self._queue.put(("", ""))  # wakes the thread, which sees that it is over
                self._queue = None

    def _run(self, events: _Queue) -> None:
        while True:
            host, uuid = events.get()
            with self._lock:
                if events is not self._queue:
                    return
                listeners = self._listeners.get(host, {})
                for driver in list(listeners):
                    if driver not in listeners:
                        continue  # removed by a callback of this round
                    try:
                        listeners[driver](uuid)
                    except Exception:
                        LOG.exception("A listener failed on an event of instance %s", uuid)
