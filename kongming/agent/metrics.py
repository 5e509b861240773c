# SPDX-License-Identifier: Apache-2.0
"""What an agent last saw and did, for Prometheus to scrape; a scrape looks at nothing anew."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import prometheus_client
from oslo_config import cfg
from oslo_log import log as logging
from prometheus_client import core, registry

from kongming.agent.observer import Look, Observer
from kongming.agent.store import Store
from kongming.agent.tally import Tally
from kongming.topology.counted import vcpu_seconds

LOG = logging.getLogger(__name__)

_MIB = 1 << 20


class Metrics(registry.Collector):
    """Answers scrapes between start() and stop(), if ``[agent] metrics_port`` is set."""

    def __init__(self, conf: cfg.ConfigOpts, observer: Observer, store: Store) -> None:
        self.tally = Tally()
        self.reported_at: float | None = None  # time.monotonic
        self._address, self._port = conf.agent.metrics_host, conf.agent.metrics_port
        self._observer = observer
        self._store = store
        self._server: Any = None

    @property
    def wanted(self) -> bool:
        """Whether anybody may scrape."""
        return self._port is not None

    def start(self) -> None:
        """Listen, if that is wanted; pins matter more than metrics, so that none is no error."""
        if not self.wanted:
            return
        metrics = prometheus_client.CollectorRegistry()
        metrics.register(self)
        prometheus_client.ProcessCollector(registry=metrics)
        where = f"{self._address}:{self._port}"
        try:
            self._server, _ = prometheus_client.start_http_server(
                self._port, self._address, metrics
            )
        except OSError as error:
            LOG.error("No metrics: %s cannot be listened on: %s", where, error)
        else:
            LOG.info("Metrics are at http://%s/metrics", where)

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def collect(self) -> Iterator[core.Metric]:
        """Yield all metrics; it is called for each scrape, in a thread of its own."""
        yield from self._pins()
        if self.reported_at is not None:
            age = time.monotonic() - self.reported_at
            text = "Seconds since a conductor last took a report."
            yield core.GaugeMetricFamily("kongming_report_age_seconds", text, age)
        look = self._observer.last
        if look is not None:
            yield from _host(look)
            yield from _instances(look)

    def describe(self) -> list[core.Metric]:
        """Say nothing in advance, so that none is collected before there is something to tell."""
        return []

    def _pins(self) -> Iterator[core.Metric]:
        held = {each.instance_uuid for each in self._store.all()}
        yield _gauge(
            "kongming_pin_state",
            "1 for what last became of a pin: applied, drifted or failed.",
            ("instance_uuid", "state"),
            {key: 1 for key in self.tally.states.items() if key[0] in held},
        )
        for name, text, value in (
            ("drifts", "Times a pin in place was found to be so no more.", self.tally.drifts),
            ("repairs", "Times such a pin was brought back at once.", self.tally.repairs),
            ("failures", "Times a pin could not be applied.", self.tally.failures),
        ):
            yield core.CounterMetricFamily(f"kongming_pin_{name}", text, value)


def _host(look: Look) -> Iterator[core.Metric]:
    loads = look.usage.cpus.items()
    for what, text in (("busy", "was busy"), ("iowait", "waited for I/O"), ("steal", "was stolen")):
        yield _gauge(
            f"kongming_host_cpu_{what}_ratio",
            f"Share of the last interval in which a pCPU {text}.",
            ("cpu",),
            {(str(cpu),): getattr(load, f"{what}_percent") / 100 for cpu, load in loads},
        )
    yield _gauge(
        "kongming_host_pages_free",
        "Free memory pages of one size on a NUMA node.",
        ("node", "page_kib"),
        {
            (str(node.id), str(pages.size_kib)): pages.free
            for node in look.host.nodes
            for pages in node.pages
        },
    )
    yield _gauge(
        "kongming_host_conflicts",
        "pCPUs over which instances get in each other's way.",
        ("kind",),
        {
            (kind,): sum(
                conflict.cpus.bit_count()
                for conflict in look.usage.conflicts
                if conflict.kind == kind
            )
            for kind in ("pinned", "shared")
        },
    )


def _instances(look: Look) -> Iterator[core.Metric]:
    run, wait = (
        core.CounterMetricFamily(
            f"kongming_instance_vcpu_{what}_seconds", text, labels=("instance_uuid", "vcpu")
        )
        for what, text in (
            ("run", "Seconds for which a vCPU ran."),
            ("wait", "Seconds for which a vCPU could have run, but had no pCPU."),
        )
    )
    for uuid, threads in look.sample.threads.items():
        for number, (ran, waited) in vcpu_seconds(threads).items():
            run.add_metric((uuid, str(number)), ran)
            wait.add_metric((uuid, str(number)), waited)
    yield run
    yield wait
    yield _gauge(
        "kongming_instance_memory_bytes",
        "Memory of an instance on a NUMA node, by the size of its pages.",
        ("instance_uuid", "node", "page_kib"),
        {
            (uuid, str(node), str(size)): mib * _MIB
            for uuid, memory in look.sample.memory.items()
            for size, nodes in memory.items()
            for node, mib in nodes.items()
        },
    )
    yield _gauge(
        "kongming_instance_locality_ratio",
        "Share of its memory that an instance has on the NUMA nodes of its vCPUs.",
        ("instance_uuid",),
        {
            (uuid,): usage.locality_percent / 100
            for uuid, usage in look.usage.instances.items()
            if usage.locality_percent is not None
        },
    )


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> core.Metric:
    family = core.GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
