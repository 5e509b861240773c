# SPDX-License-Identifier: Apache-2.0
"""Instances under a libvirt daemon on this machine. Nothing else imports libvirt.

What threads and memory really do is read from the kernel, because libvirt answers with its
definition; the daemon is asked for everything else, and told every change.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import libvirt
from oslo_config import cfg
from oslo_log import log as logging

from kongming import objects
from kongming.agent.limits import Limits
from kongming.hypervisor import device_xml, domain_xml, driver, headroom, pcpus, relocation
from kongming.hypervisor.driver import (
    Callback,
    Circumstances,
    Event,
    HypervisorError,
    InstanceGone,
    NotNow,
    Scope,
)
from kongming.hypervisor.kernel import Kernel
from kongming.hypervisor.residency import ResidencyReader
from kongming.objects.instance import ACTIVE_STATES, STATES
from kongming.topology import capabilities, cpuset, qos, residency
from kongming.topology.counted import Sample, Thread
from kongming.topology.host import Host
from kongming.topology.part import SHARES
from kongming.topology.placement import EMULATOR, MEMORY, Part, Placement

LOG = logging.getLogger(__name__)

#: A pin that meets another job of its domain blocks 30 s in the daemon, so wait for the
#: end of short ones (somebody's statistics) here, and refuse after this many seconds.
BUSY_SECONDS = 0.5
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 5, 3
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 30.0
#: How long a method waits for the very first answer, and close() for the keeper.
PATIENCE_SECONDS = 5.0
#: How many characters of a name or owner are told.
_LONGEST = 255

_FLAGS = {
    Scope.LIVE: libvirt.VIR_DOMAIN_AFFECT_LIVE,
    Scope.PERSISTENT: libvirt.VIR_DOMAIN_AFFECT_CONFIG,
}
#: The events heard, and what they mean; those of the life cycle mean many things.
_EVENTS = {
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: Event.CHANGED,
    libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE: Event.TUNED,
    libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: Event.FREED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: Event.CHANGED,
}
_event_loop: threading.Thread | None = None
_event_loop_lock = threading.Lock()


class LibvirtDriver(driver.Driver):
    """The domains of one libvirt daemon, through one connection that heals itself."""

    def __init__(self, uri: str, host_name: str, reserved: Mapping[int, int] | None = None) -> None:
        """Connect in the background; moves leave ``reserved`` (MiB by NUMA node) free."""
        self._host_name = host_name
        self._reserved = reserved or {}
        self._kernel = Kernel()
        self._residency = ResidencyReader(self._kernel.memory_mib)
        self._daemon = _Daemon(uri)
        self._watch: pcpus.Watch | None = None
        self._node_ids = 0  # not known yet
        self._devices: dict[str, int] = {}
        self._deviceless = ""  # why, if the last time devices could not be listed

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> "LibvirtDriver":
        """Return the driver that ``[libvirt]`` describes."""
        return cls(conf.libvirt.uri, conf.host, Limits.from_conf(conf).reserved)

    def host(self) -> Host:
        with self._daemon.answers() as connection:
            self._look_at_devices(connection)
            return dataclasses.replace(self._topology(connection), devices=self._devices)

    def instances(self) -> list[objects.Instance]:
        with self._daemon.answers() as connection:
            domains = connection.listAllDomains()
            nodes = self._nodes(connection)
        found = []
        for domain in domains:
            try:
                with self._daemon.answers(domain.UUIDString()):
                    found.append(self._instance(domain, nodes))
            except DaemonGone:
                raise  # else a host whose daemon stops would seem to have lost its instances
            except InstanceGone:
                continue
            except (HypervisorError, ValueError) as error:
                LOG.warning(
                    "Instance %s is missing from this report: %s", domain.UUIDString(), error
                )
        return found

    def sample(self) -> Sample:
        with self._daemon.answers() as connection:
            active = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        threads: dict[str, list[Thread]] = {}
        for uuid in (domain.UUIDString() for domain in active):
            try:
                threads[uuid] = self._kernel.threads(uuid)
            except InstanceGone:
                continue
            except (HypervisorError, ValueError) as error:
                LOG.warning("The usage of instance %s is not known: %s", uuid, error)
        seconds, cpus = time.monotonic(), self._kernel.cpu_times()
        return Sample(seconds, cpus, threads, self._residency.look(threads))

    def scopes(self, uuid: str) -> list[Scope]:
        with self._running(uuid) as domain:
            return [Scope.LIVE, Scope.PERSISTENT] if domain.isPersistent() else [Scope.LIVE]

    def read(self, uuid: str, scope: Scope) -> Placement:
        if scope is Scope.LIVE:
            with self._daemon.answers(uuid) as connection:
                return self._observe(uuid, self._nodes(connection))
        with self._running(uuid) as domain:
            definition = _definition(domain, scope)
            return Placement(definition.pins | self._numbers(uuid, definition))

    def process(self, uuid: str) -> str:
        return self._kernel.run(uuid)

    def circumstances(self, uuid: str) -> Circumstances:
        with self._running(uuid) as domain:
            definition = _definition(domain, Scope.LIVE)
            (_, online), nodes = _cpus(domain.connect()), self._nodes(domain.connect())
        told = Placement({MEMORY: nodes, EMULATOR: definition.cpuset & online or online})
        for part in definition.threads:
            told[part] = told[EMULATOR]
        return Circumstances(Placement(told | definition.pins), online)

    def unpinned(self, uuid: str) -> Placement:
        with self._running(uuid) as domain:
            host = self._topology(domain.connect())
            definition = _definition(domain, Scope.LIVE)
        # a thread that nobody pins is not to get stuck on an isolated one
        cpus = definition.cpuset & host.online or host.online & ~host.isolated or host.online
        placement = Placement({EMULATOR: cpus} | dict.fromkeys(definition.threads, cpus))
        placement[MEMORY] = cpuset.from_members(n.id for n in host.nodes if n.memory_mib)
        if definition.memory_mode not in (None, "restrictive"):
            # Not by KongMing, and libvirt changes it for nobody: so it was when it started.
            placement[MEMORY] = definition.pins.get(MEMORY, placement[MEMORY])
        # KongMing writes those of vCPUs past libvirt, so they are somebody else's.
        for part, value in definition.numbers.items():
            if part.is_live_only:
                placement[part] = value
        return placement

    def memory(self, uuid: str) -> residency.Residency:
        return self._kernel.memory_mib(uuid)

    def move(self, uuid: str, mask: int) -> driver.Move:
        with self._running(uuid) as domain:
            host = self._topology(domain.connect())
            _require_nodes(host, mask)
            headroom.require(uuid, self._kernel.memory_mib(uuid), mask, host, self._reserved)
            _wait_until_idle(domain)
        keep = headroom.kept(mask, self._reserved)
        return relocation.Relocation(self._kernel, uuid, mask, keep)

    def write(self, uuid: str, scope: Scope, changes: Placement) -> None:
        part: Part | None = None
        # the running threads are refused by libvirt itself once they have ended
        domain_of = self._lookup if scope is Scope.LIVE else self._running
        try:
            with domain_of(uuid) as domain:
                # a vCPU that was plugged may be in the running instance alone
                places, vcpus = _cpus(domain.connect()), domain.vcpusFlags(_FLAGS[Scope.LIVE])
                _wait_until_idle(domain)
                for part, mask in changes.items():
                    if part.is_number:
                        self._write_number(domain, scope, part, mask)
                    elif not mask:
                        raise HypervisorError("there must be some place")
                    elif part == MEMORY:
                        self._write_memory(domain, scope, mask)
                    else:
                        _write_thread(domain, scope, part, _cpu_map(mask, *places), vcpus)
                if scope is Scope.LIVE:
                    self._kernel.confine(uuid, changes)
        except (NotNow, InstanceGone):
            raise
        except HypervisorError as error:
            raise HypervisorError(f"{part}: {error}" if part else str(error)) from error

    def listen(self, callback: Callback) -> None:
        def note(uuid: str, what: Event) -> None:
            if what in (Event.STARTED, Event.ARRIVED):
                self._kernel.forget(uuid)
            callback(uuid, what)

        self._daemon.listen(note)
        # libvirt has no event for this
        self._watch = pcpus.Watch(lambda: callback("", Event.MISSED))

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._daemon.close()

    @contextlib.contextmanager
    def _running(self, uuid: str) -> Iterator[libvirt.virDomain]:
        """Yield a running domain; errors of libvirt leave as the interface's."""
        with self._lookup(uuid) as domain:
            if not domain.isActive():
                raise InstanceGone(f"instance {uuid} is not running")
            yield domain

    @contextlib.contextmanager
    def _lookup(self, uuid: str) -> Iterator[libvirt.virDomain]:
        with self._daemon.answers(uuid) as connection:
            yield connection.lookupByUUIDString(uuid)

    def _instance(self, domain: libvirt.virDomain, nodes: int) -> objects.Instance:
        definition = _definition(domain, Scope.LIVE)
        state = STATES[domain.state()[0]]
        observed = started_ms = None
        if state in ACTIVE_STATES:
            try:
                started_ms = self._kernel.started_ms(definition.uuid)
                observed = self._observe(definition.uuid, nodes)
            except (HypervisorError, ValueError) as error:
                # it is here, and what it has is not free, whatever the kernel does not tell
                state = STATES[domain.state()[0]]
                if state in ACTIVE_STATES:
                    LOG.warning("%s, though libvirt calls it %s", error, state)
        return objects.Instance(
            uuid=definition.uuid,
            host=self._host_name,
            # whatever a domain calls itself must not keep its host from reporting
            name=(definition.display_name or definition.name)[:_LONGEST],
            project_id=definition.project_id and definition.project_id[:_LONGEST],
            user_id=definition.user_id and definition.user_id[:_LONGEST],
            vcpus=definition.vcpus,
            memory_mib=definition.memory_mib,
            iothreads=list(definition.iothreads),
            state=state,
            holds=cpuset.to_text(definition.pins.exclusive),
            observed=observed,
            started_ms=started_ms,
        )

    def _topology(self, connection: libvirt.virConnect) -> Host:
        """Return the host but for its devices, of which there may be hundreds."""
        document = connection.getCapabilities()
        present, online = _cpus(connection)
        offline = present & ~online
        try:
            host = capabilities.parse(document, offline)
        except capabilities.CapabilitiesError as error:
            raise HypervisorError(f"libvirt's {error}") from error
        self._node_ids = host.node_ids
        free: dict[int, dict[int, int]] = {}
        for node in host.nodes:
            sizes = [pages.size_kib for pages in node.pages]
            free |= connection.getFreePages(sizes, node.id, 1) if sizes else {}
        host = capabilities.parse(document, offline, free)
        return dataclasses.replace(host, isolated=pcpus.isolated() & present)

    def _look_at_devices(self, connection: libvirt.virConnect) -> None:
        """Note the PCI devices; while they cannot be listed, the last ones known count."""
        try:
            self._devices, reason = dict(_pci_devices(connection)), ""
        except libvirt.libvirtError as error:
            if not _is_alive(connection):
                raise
            reason = error.get_error_message()
        if reason and reason != self._deviceless:
            LOG.warning("libvirt lists no PCI devices of this host: %s", reason)
        self._deviceless = reason

    def _nodes(self, connection: libvirt.virConnect) -> int:
        """Return the bitmask of the NUMA nodes that the host had when it was looked at last."""
        return self._node_ids or self._topology(connection).node_ids

    def _observe(self, uuid: str, nodes: int) -> Placement:
        placement = self._kernel.placement(uuid)
        # the kernel may allow nodes that could be plugged in one day, or were just now
        placement[MEMORY] &= nodes
        found = Placement((part, mask) for part, mask in placement.items() if mask)
        found.update(self._kernel.numbers(uuid))
        return found

    def _numbers(self, uuid: str, definition: domain_xml.Domain) -> Placement:
        """Return what a definition says of QoS but for vCPUs, with shares as cgroup v1 has them."""
        numbers = {p: value for p, value in definition.numbers.items() if not p.is_live_only}
        if SHARES in numbers and self._kernel.has_weights(uuid):
            numbers[SHARES] = qos.shares_of(numbers[SHARES])
        return Placement(numbers)

    def _write_number(
        self, domain: libvirt.virDomain, scope: Scope, part: Part, value: int
    ) -> None:
        uuid = domain.UUIDString()
        if part.is_live_only:
            if scope is not Scope.LIVE:
                raise HypervisorError("no definition has one for each vCPU")
            self._kernel.tune(uuid, part, value)
            return
        if part == SHARES and self._kernel.has_weights(uuid):
            value = qos.weight_of(value)
        domain.setSchedulerParametersFlags({part.kind: value}, _FLAGS[scope])

    def _write_memory(self, domain: libvirt.virDomain, scope: Scope, mask: int) -> None:
        host = self._topology(domain.connect())
        _require_nodes(host, mask)
        uuid = domain.UUIDString()
        definition = _definition(domain, scope)
        mode = definition.memory_mode
        if scope is Scope.LIVE:
            recorded = mask if mode not in (None, "restrictive") else definition.pins.get(MEMORY)
            if self._kernel.memory_nodes(uuid) & host.node_ids == mask and recorded in (None, mask):
                return
            if not residency.outside(self._kernel.memory_mib(uuid), mask):
                self._confine_memory(domain, mode, mask)
                return
            move = self.move(uuid, mask)
            try:
                for _ in move:
                    pass
                self._confine_memory(domain, mode, mask)
            except (HypervisorError, libvirt.libvirtError):
                move.undo()
                raise
        else:
            _set_memory(domain, scope, mode, mask)

    def _confine_memory(self, domain: libvirt.virDomain, mode: str | None, mask: int) -> None:
        if mode in (None, "restrictive"):
            _set_memory(domain, Scope.LIVE, mode, mask)
        else:
            # libvirt refuses, because it could not tell QEMU; the kernel moves the binding itself
            relocation.confine(self._kernel, domain.UUIDString(), mask)


class DaemonGone(NotNow):
    """The daemon does not answer."""


class _Daemon:
    """A connection to one daemon, opened and opened again by a thread of its own."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: libvirt.virConnect | None = None
        self._reason = "no answer yet"
        self._callback: Callback | None = None
        self._callback_lock = threading.RLock()
        self._tried = threading.Event()
        self._lost = threading.Event()
        self._closing = threading.Event()
        _run_event_loop()
        self._keeper = threading.Thread(target=self._keep, name=f"libvirt {uri}", daemon=True)
        self._keeper.start()

    @contextlib.contextmanager
    def answers(self, uuid: str = "") -> Iterator[libvirt.virConnect]:
        """Yield the connection; libvirt's errors about instance ``uuid`` leave as ours."""
        self._tried.wait(PATIENCE_SECONDS)
        connection = self._connection
        if connection is None:
            raise self._gone(self._reason)
        try:
            yield connection
        except libvirt.libvirtError as error:
            message = error.get_error_message()
            if not _is_alive(connection):
                # there may be another one by now, which is none the worse
                if connection is self._connection:
                    self._lost.set()
                raise self._gone(message) from error
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise InstanceGone(f"instance {uuid} is not on this host") from error
            if uuid and _has_stopped(connection, uuid):
                raise InstanceGone(f"instance {uuid} is not running") from error
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_TIMEOUT:
                raise NotNow(message) from error
            raise HypervisorError(message) from error

    def listen(self, callback: Callback) -> None:
        with self._callback_lock:
            self._callback = callback

    def close(self) -> None:
        with self._callback_lock:
            self._callback = None
        self._reason = "closed"
        self._closing.set()
        self._lost.set()
        self._keeper.join(PATIENCE_SECONDS)

    def _gone(self, reason: str) -> DaemonGone:
        return DaemonGone(f"libvirt at {self._uri} does not answer: {reason}")

    def _notify(self, uuid: str, what: Event) -> None:
        with self._callback_lock:
            if self._callback:
                try:
                    self._callback(uuid, what)
                except Exception:
                    LOG.exception("The event of instance %s was not noted", uuid or "(any)")

    def _keep(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            self._lost.clear()
            if self._closing.is_set():
                return
            try:
                connection, events = self._open()
            except libvirt.libvirtError as error:
                reason = error.get_error_message()
                if reason != self._reason:
                    LOG.warning("%s; trying again until it does", self._gone(reason))
                self._reason = reason
                self._tried.set()
                self._closing.wait(delay)
                delay = min(2 * delay, LAST_RETRY_SECONDS)
                continue
            delay = FIRST_RETRY_SECONDS
            self._connection = connection
            self._tried.set()
            LOG.info("Connected to libvirt at %s", self._uri)
            self._notify("", Event.MISSED)
            self._lost.wait()
            self._connection = None
            if not self._closing.is_set():
                self._reason = "the connection was lost"
                LOG.warning("%s; connecting again", self._gone(self._reason))
            _drop(connection, events)

    def _open(self) -> tuple[libvirt.virConnect, list[int]]:
        connection = libvirt.open(self._uri)
        events: list[int] = []
        try:
            with contextlib.suppress(libvirt.libvirtError):  # drivers without a daemon
                connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
            connection.registerCloseCallback(self._on_close, None)
            for event in _EVENTS:
                events.append(connection.domainEventRegisterAny(None, event, self._on_event, event))
        except libvirt.libvirtError:
            _drop(connection, events)
            raise
        return connection, events

    def _on_close(self, connection: libvirt.virConnect, reason: int, opaque: None) -> None:
        self._lost.set()

    def _on_event(
        self, connection: libvirt.virConnect, domain: libvirt.virDomain, *details: Any
    ) -> None:
        *said, event = details
        what = _EVENTS[event]
        if event == libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE:
            what = _step_of_life(*said)
        self._notify(domain.UUIDString(), what)


def _step_of_life(event: int, detail: int) -> Event:
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        moved = detail == libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED
        return Event.ARRIVED if moved else Event.STARTED
    if event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED):
        return Event.STOPPED
    # on both sides: what could not be pinned before now can
    if (event, detail) == (
        libvirt.VIR_DOMAIN_EVENT_RESUMED,
        libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
    ):
        return Event.FREED
    return Event.CHANGED


def _drop(connection: libvirt.virConnect, events: list[int]) -> None:
    for event in events:
        with contextlib.suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(event)
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()


def _is_alive(connection: libvirt.virConnect) -> bool:
    try:
        return connection.isAlive() == 1
    except libvirt.libvirtError:
        return False


def _has_stopped(connection: libvirt.virConnect, uuid: str) -> bool:
    try:
        return not connection.lookupByUUIDString(uuid).isActive()
    except libvirt.libvirtError as error:
        return error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN


def _definition(domain: libvirt.virDomain, scope: Scope) -> domain_xml.Domain:
    inactive = scope is Scope.PERSISTENT
    document = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0)
    try:
        return domain_xml.parse(document)
    except domain_xml.DomainXmlError as error:
        raise HypervisorError(f"libvirt's {error}") from error


def _pci_devices(connection: libvirt.virConnect) -> Iterator[tuple[str, int]]:
    for device in connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV):
        try:
            yield device_xml.parse(device.XMLDesc())
        except (libvirt.libvirtError, device_xml.DeviceXmlError) as error:
            # unplugged meanwhile, or broken: no reason to lose the others
            if not _is_alive(connection):
                raise
            LOG.warning("PCI device %s is missing from this report: %s", device.name(), error)


def _cpus(connection: libvirt.virConnect) -> tuple[int, int]:
    """Return the bitmasks of the pCPUs that the host has, and of those online."""
    count, online, _ = connection.getCPUMap()
    return (1 << count) - 1, cpuset.from_members(n for n, usable in enumerate(online) if usable)


def _cpu_map(mask: int, present: int, online: int) -> tuple[bool, ...]:
    """Return libvirt's form of a mask, which it would cut where the host's CPUs end."""
    if absent := mask & ~present:
        raise HypervisorError(f"the host has no pCPU {cpuset.to_text(absent)}")
    if offline := mask & ~online:
        raise HypervisorError(f"pCPU {cpuset.to_text(offline)} is offline")
    return tuple(bool(mask >> n & 1) for n in range(present.bit_length()))


def _set_memory(domain: libvirt.virDomain, scope: Scope, mode: str | None, mask: int) -> None:
    parameters: dict[str, Any] = {"numa_nodeset": cpuset.to_text(mask)}
    if mode is None:
        # Without a mode libvirt records "strict", and lets nobody change it again.
        parameters["numa_mode"] = libvirt.VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE
    _wait_until_idle(domain)
    domain.setNumaParameters(parameters, _FLAGS[scope])


def _require_nodes(host: Host, mask: int) -> None:
    if absent := mask & ~host.node_ids:
        raise HypervisorError(f"the host has no NUMA node {cpuset.to_text(absent)}")


def _write_thread(
    domain: libvirt.virDomain, scope: Scope, part: Part, cpus: tuple[bool, ...], vcpus: int
) -> None:
    if part.kind == "vcpu":
        # libvirt takes pins of vCPUs that could be plugged in: there is no thread to be pinned.
        if part.number >= vcpus:
            raise HypervisorError(f"the instance has no vCPU {part.number} (it has {vcpus})")
        domain.pinVcpuFlags(part.number, cpus, _FLAGS[scope])
    elif part.kind == "iothread":
        domain.pinIOThread(part.number, cpus, _FLAGS[scope])
    else:
        domain.pinEmulator(cpus, _FLAGS[scope])


def _wait_until_idle(domain: libvirt.virDomain) -> None:
    """Return once a change would not block in the daemon (libvirt's job lock of a domain)."""
    end, pause = time.monotonic() + BUSY_SECONDS, 0.001
    while domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK:
        if time.monotonic() > end:
            raise NotNow(f"the QEMU monitor of instance {domain.UUIDString()} is busy")
        # a start ends a moment after it was told
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        raise NotNow(f"instance {domain.UUIDString()} is being migrated, saved or dumped")


def _run_event_loop() -> None:
    """Start libvirt's event loop, one for the process and before the first connection."""
    global _event_loop
    with _event_loop_lock:
        if _event_loop and _event_loop.is_alive():
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)  # else on stderr too
        libvirt.virEventRegisterDefaultImpl()
        _event_loop = threading.Thread(target=_loop, name="libvirt events", daemon=True)
        _event_loop.start()


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            LOG.error("libvirt's event loop: %s", error.get_error_message())
            time.sleep(1)
