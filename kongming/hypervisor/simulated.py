# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts that refuse what a real one refuses, in the words of libvirt."""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from kongming import objects
from kongming.hypervisor.driver import (
    Callback,
    Circumstances,
    Driver,
    Event,
    HypervisorError,
    InstanceGone,
    Move,
    Scope,
)
from kongming.hypervisor.fleet import HostSpec, InstanceSpec, load, parse_instance
from kongming.hypervisor.simulated_host import SimulatedHost, SimulatedInstance
from kongming.hypervisor.simulated_move import SimulatedMove
from kongming.hypervisor.simulated_usage import Meter
from kongming.topology.counted import Sample
from kongming.topology.host import Host
from kongming.topology.placement import MEMORY, Part, Placement
from kongming.topology.residency import Residency

LOG = logging.getLogger(__name__)
_Queue = queue.SimpleQueue[tuple[str, str, Event]]  # of host names, UUIDs, and what happened


class SimulatedDriver(Driver):
    """One host of a fleet, as its agent sees it."""

    def __init__(self, fleet: "Fleet", host_name: str) -> None:
        """Attach to a host of a fleet, which other drivers may share.

        :raises HypervisorError: the fleet has no such host
        """
        self._fleet = fleet
        self._host = fleet.host(host_name)
        self._meter = Meter(self._host, fleet.clock())

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

    def sample(self) -> Sample:
        with self._fleet.lock:
            return self._meter.sample(self._fleet.clock())

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

    def memory(self, uuid: str) -> Residency:
        with self._fleet.lock:
            return {4: {node: mib for node, mib in self._running(uuid).memory.items() if mib}}

    def move(self, uuid: str, mask: int) -> Move:
        with self._fleet.lock:
            return SimulatedMove(self._fleet.lock, self._running(uuid), mask)

    def process(self, uuid: str) -> str:
        with self._fleet.lock:
            return str(self._running(uuid).starts)

    def circumstances(self, uuid: str) -> Circumstances:
        with self._fleet.lock:
            instance = self._running(uuid)
            return Circumstances(instance.told(), self._host.online)

    def write(self, uuid: str, scope: Scope, changes: Placement) -> None:
        with self._fleet.lock:
            instance = self._running(uuid)
            for part, mask in changes.items():
                try:
                    self._write_part(instance, scope, part, mask)
                except HypervisorError as error:
                    raise HypervisorError(f"{part}: {error}") from error

    def _write_part(self, instance: SimulatedInstance, scope: Scope, part: Part, mask: int) -> None:
        instance.writes += 1
        if instance.writes in instance.failures:
            raise HypervisorError(instance.failures.pop(instance.writes))
        if scope is Scope.LIVE:
            self._fleet.tune(instance, part, mask)
        elif part.is_live_only:
            raise HypervisorError("no definition has one for each vCPU")
        else:
            instance.check(part, mask, live=False)
            instance.persistent[part] = mask

    def listen(self, callback: Callback) -> None:
        self._fleet.events.add(self._host.spec.name, self, callback)

    def close(self) -> None:
        self._fleet.events.remove(self._host.spec.name, self)

    def _running(self, uuid: str) -> SimulatedInstance:
        return _running(self._host.instances, uuid)


class Fleet:
    """All simulated hosts of a process, and what others than KongMing do to them.

    Any thread may call. A method that takes an instance's UUID raises InstanceGone when
    there is no such instance (or it would have to run, and does not), and HypervisorError
    for what a real host refuses; nothing was changed then.
    """

    def __init__(
        self, hosts: Iterable[HostSpec], clock: Callable[[], float] = time.monotonic
    ) -> None:
        #: Held by whoever looks at a host or an instance.
        self.lock = threading.RLock()
        #: Tells the seconds that have passed for all hosts.
        self.clock = clock
        self.events = _Events()
        self._hosts = {spec.name: SimulatedHost(spec, spec.offline) for spec in hosts}
        self._instances: dict[str, SimulatedInstance] = {}
        for host in self._hosts.values():
            for instance in host.spec.instances:
                self._add(host, instance)

    @property
    def host_names(self) -> list[str]:
        """The names of all hosts."""
        return list(self._hosts)

    def host(self, name: str) -> SimulatedHost:
        """Return the host of this name.

        :raises HypervisorError: there is none
        """
        if name not in self._hosts:
            raise HypervisorError(f"the fleet has no host {name}")
        return self._hosts[name]

    def running(self, uuid: str) -> SimulatedInstance:
        """Return an instance that runs on some host."""
        return _running(self._instances, uuid)

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
            running = self._instances[spec.uuid].running
            self.events.send(host, spec.uuid, Event.STARTED if running else Event.CHANGED)
            return spec.uuid

    def delete(self, uuid: str) -> None:
        """Remove an instance, running or not."""
        with self.lock:
            host = self._find(uuid).host
            del self._instances[uuid], host.instances[uuid]
            self.events.send(host.spec.name, uuid, Event.STOPPED)

    def start(self, uuid: str) -> None:
        """Start an instance that is off, from its persistent definition."""
        with self.lock:
            instance = self._find(uuid)
            if instance.running:
                raise HypervisorError("Requested operation is not valid: domain is already running")
            instance.start()
            self.events.send(instance.host.spec.name, uuid, Event.STARTED)

    def stop(self, uuid: str) -> None:
        """Stop a running instance."""
        with self.lock:
            instance = self.running(uuid)
            instance.stop()
            self.events.send(instance.host.spec.name, uuid, Event.STOPPED)

    def hard_reboot(self, uuid: str) -> None:
        """Restart an instance as Nova does: from a new definition that has only Nova's pins.

        It stays off if the host refuses to start it.
        """
        with self.lock:
            instance = self._find(uuid)
            instance.stop()
            instance.persistent = instance.spec.given()
            self.events.send(instance.host.spec.name, uuid, Event.STOPPED)
            instance.start()
            self.events.send(instance.host.spec.name, uuid, Event.STARTED)

    def migrate(self, uuid: str, target: str) -> None:
        """Move a running instance to another host, with its live pins, as libvirt does."""
        with self.lock:
            instance = self.running(uuid)
            source, there = instance.host, self.host(target)
            if there is source:
                raise HypervisorError("internal error: Attempt to migrate guest to itself")
            instance.memory = there.admit(instance.live, instance.spec.memory_mib)
            instance.host = there
            instance.begin()
            instance.live = Placement(
                (part, value) for part, value in instance.live.items() if not part.is_live_only
            )
            instance.persistent = Placement(instance.live)
            instance.stray.clear()
            there.instances[uuid] = source.instances.pop(uuid)
            self.events.send(source.spec.name, uuid, Event.STOPPED)
            self.events.send(target, uuid, Event.ARRIVED)

    def evacuate(self, uuid: str, target: str) -> None:
        """Start a running instance on another host too, as Nova does when it thinks that it ended.

        From now on the UUID means the one on ``target``; the other has its host's driver alone.
        """
        with self.lock:
            spec = self.running(uuid).spec
            self._add(self.host(target), dataclasses.replace(spec, state="running"))
            self.events.send(target, uuid, Event.STARTED)

    def tamper(self, uuid: str, part: Part, mask: int, event: bool = True) -> None:
        """Place a part of a running instance behind KongMing's back, live only.

        Without ``event`` it is done to the kernel directly, where neither the rules nor
        the events of libvirt apply.
        """
        with self.lock:
            instance = self.running(uuid)
            strict = part == MEMORY and instance.spec.memory_nodes is not None
            if event and strict and mask != instance.live[MEMORY]:
                raise HypervisorError(
                    "Requested operation is not valid: "
                    "change of nodeset for running domain requires restrictive numa mode"
                )
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
            self.events.send(host, "", Event.MISSED)

    def set_vcpus(self, uuid: str, vcpus: int) -> None:
        """Plug or unplug vCPUs of a running instance; libvirt has no event for it."""
        with self.lock:
            instance = self.running(uuid)
            if vcpus < 1:
                raise HypervisorError("invalid argument: vcpu count must be greater than zero")
            pins = {n: mask for n, mask in instance.spec.vcpu_pins.items() if n < vcpus}
            instance.spec = dataclasses.replace(instance.spec, vcpus=vcpus, vcpu_pins=pins)
            for entries in (instance.persistent, instance.live, instance.stray):
                for part in [part for part in entries if part.kind == "vcpu"]:
                    if part.number >= vcpus:
                        del entries[part]

    def fail_next(self, uuid: str, nth_write: int, reason: str) -> None:
        """Let the ``nth_write``-th part that a driver writes from now on (1: the next) fail."""
        with self.lock:
            instance = self._find(uuid)
            instance.failures[instance.writes + nth_write] = reason

    def tune(self, instance: SimulatedInstance, part: Part, mask: int) -> None:
        """Place a part of a running instance; the caller has ``lock``."""
        instance.place(part, mask)
        instance.live[part] = mask
        instance.stray.pop(part, None)
        if part != MEMORY:
            self.events.send(instance.host.spec.name, instance.spec.uuid, Event.TUNED)

    def _find(self, uuid: str) -> SimulatedInstance:
        return _find(self._instances, uuid)

    def _add(self, host: SimulatedHost, spec: InstanceSpec) -> None:
        instance = SimulatedInstance(spec, host, spec.given())
        if spec.state != "shutoff":
            instance.start()
            instance.state = spec.state
        self._instances[spec.uuid] = host.instances[spec.uuid] = instance


def _find(instances: Mapping[str, SimulatedInstance], uuid: str) -> SimulatedInstance:
    if uuid not in instances:
        raise InstanceGone(f"Domain not found: no domain with matching uuid '{uuid}'")
    return instances[uuid]


def _running(instances: Mapping[str, SimulatedInstance], uuid: str) -> SimulatedInstance:
    instance = _find(instances, uuid)
    if not instance.running:
        raise InstanceGone("Requested operation is not valid: domain is not running")
    return instance


class _Events:
    """Calls the listeners from one thread, in the order of what happened."""

    def __init__(self) -> None:
        # Held while callbacks run, so that none runs after `remove` has returned; a callback
        # may call `remove` itself.
        self._lock = threading.RLock()
        self._listeners: dict[str, dict[Driver, Callback]] = {}
        self._queue: _Queue | None = None

    def send(self, host: str, uuid: str, what: Event) -> None:
        """Note that something happened to an instance of a host; never blocks."""
        if (events := self._queue) is not None:
            events.put((host, uuid, what))

    def add(self, host: str, driver: Driver, callback: Callback) -> None:
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
                # wakes the thread, which sees that it is over
                self._queue.put(("", "", Event.MISSED))
                self._queue = None

    def _run(self, events: _Queue) -> None:
        while True:
            host, uuid, what = events.get()
            with self._lock:
                if events is not self._queue:
                    return
                listeners = self._listeners.get(host, {})
                for driver in list(listeners):
                    if driver not in listeners:
                        continue  # removed by a callback of this round
                    try:
                        listeners[driver](uuid, what)
                    except Exception:
                        LOG.exception("A listener failed on an event of instance %s", uuid)
