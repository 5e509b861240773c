# SPDX-License-Identifier: Apache-2.0
"""The agent of one host: two threads around the driver, the store and the conductor.

The worker thread brings instances to their placements and never waits for the control
plane; the talker thread fetches placements, sends reports, and may wait.
"""

import threading
import time

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging

from kongming import exception, objects, rpc
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.metrics import Metrics
from kongming.agent.observer import Observer
from kongming.agent.reporter import Reporter
from kongming.agent.store import NotStored, Store
from kongming.agent.view import View
from kongming.agent.worker import Worker
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import RequestContext, service_context
from kongming.hypervisor.driver import Driver, Event, HypervisorError
from kongming.objects.base import is_uuid

LOG = logging.getLogger(__name__)

_FIRST_RETRY = 0.5
_LAST_RETRY = 10.0
_STOP_GRACE = 5.0


class AgentManager:
    """RPC endpoint of an agent; see `kongming.agent.rpcapi.AgentAPI` for its methods."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, conf: cfg.ConfigOpts, host: str, driver: Driver) -> None:
        self._host = host
        self._interval = conf.agent.update_resources_interval
        self._driver = driver
        self._store = Store(conf.agent.state_dir, host)
        limits = Limits.from_conf(conf)
        rules = Rules.from_conf(conf)
        self._worker = Worker(
            host, driver, self._store, limits, self._concluded, self._moves, rules
        )
        self._transport = rpc.transport(conf)
        self._server = rpc.server(self._transport, rpc.AGENT_TOPIC, host, self)
        self._conductor = ConductorAPI(self._transport)
        view = View(driver, self._store, limits)
        observer = Observer(driver)
        self._metrics = Metrics(conf, observer, self._store)
        self._reporter = Reporter(view, observer, self._conductor, host, self._interval)
        self._stopping = False
        # guards all below; notified when there is something to do
        self._news = threading.Condition()
        self._fetch_due = True
        self._report_due = False
        self._full_due = False
        self._outcomes: list[objects.Outcome] = []
        self._moving: dict[str, objects.Moving] = {}
        # a call that nobody answers is not waited for; the thread is a daemon
        self._talker = threading.Thread(target=self._talk, name=f"talker-{host}", daemon=True)

    def start(self) -> None:
        """Watch the hypervisor, pin what the local file says, and join the control plane."""
        self._driver.listen(self._event)
        self._worker.start()
        self._talker.start()
        self._metrics.start()
        LOG.info("Agent of host %s is ready", self._host)
        # waits for the broker, if that is away; all else goes on meanwhile
        self._server.start()
        # what conductors told before, when there was no queue yet to keep it, may be lost
        self._fetch_soon()

    def stop(self) -> None:
        """Finish the step under way and let go; instances stay as they are."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self._metrics.stop()
        self._server.stop()
        self._worker.stop()
        self._talker.join(_STOP_GRACE)
        self._driver.close()
        rpc.disconnect(self._transport)

    @oslo_messaging.expose
    def placements_changed(self, context: RequestContext) -> None:
        """Fetch the placements soon."""
        self._fetch_soon()

    def _fetch_soon(self) -> None:
        with self._news:
            self._fetch_due = True
            self._news.notify_all()

    def _event(self, uuid: str, what: Event) -> None:
        self._worker.event(uuid, what)
        if what is not Event.STOPPED and self._store.get(uuid) is not None:
            # a report now would take time from placing it, and comes right after that anyway
            return
        with self._news:
            self._report_due = True
            self._full_due = self._full_due or not uuid
            self._news.notify_all()

    def _concluded(self, outcomes: list[objects.Outcome]) -> None:
        self._metrics.tally.add(outcomes)
        with self._news:
            self._outcomes += outcomes
            self._report_due = True
            self._news.notify_all()

    def _moves(self, moving: objects.Moving) -> None:
        with self._news:
            self._moving[moving.instance_uuid] = moving
            self._report_due = True
            self._news.notify_all()

    def _talk(self) -> None:
        next_full, pause = 0.0, _FIRST_RETRY
        while True:
            with self._news:
                next_report = min(next_full, self._reporter.next_gone)
                self._news.wait_for(
                    lambda: self._stopping or self._fetch_due or self._report_due,
                    timeout=max(0.0, next_report - time.monotonic()),
                )
                if self._stopping:
                    return
                full = self._full_due or time.monotonic() >= next_full
                fetch, self._fetch_due = self._fetch_due or full, False
                self._report_due = self._full_due = False
                outcomes, self._outcomes = self._outcomes, []
                moving, self._moving = self._moving, {}
            if full:
                self._worker.sweep()
            self._reporter.add(outcomes)
            asked = "the fetch of placements"
            try:
                if fetch:
                    self._fetch()
                asked = "the report"
                taken = self._reporter.report(full, moving.values())
            except (exception.Unavailable, oslo_messaging.MessagingException) as error:
                LOG.warning("Host %s cannot reach a conductor: %s", self._host, error)
            except exception.KongMingError as error:
                LOG.error("Host %s: a conductor refuses %s: %s", self._host, asked, error.message)
            except HypervisorError as error:
                LOG.error("Host %s cannot be looked at: %s", self._host, error)
            except NotStored as error:
                LOG.error("Host %s: %s", self._host, error)
            except Exception:
                LOG.exception("Host %s: reporting failed; tried again soon", self._host)
            else:
                pause = _FIRST_RETRY
                if full and taken:
                    self._metrics.reported_at = time.monotonic()
                if full:
                    next_full = time.monotonic() + self._interval
                continue
            with self._news:
                self._fetch_due = self._fetch_due or fetch
                self._full_due = self._full_due or full
                self._report_due = True
                self._news.wait_for(lambda: self._stopping, timeout=pause)
            pause = min(2 * pause, _LAST_RETRY)

    def _fetch(self) -> None:
        told = self._conductor.placements(service_context(), self._host)
        refused = [pin for pin in told if isinstance(pin, rpc.Unreadable)]
        pins = [pin for pin in told if isinstance(pin, objects.Pin)]
        # reports that speak of such an instance would be refused, with all else that they tell
        nobodys = [pin.instance_uuid for pin in pins if not is_uuid(pin.instance_uuid)]
        for name in nobodys:
            LOG.error("Host %s: a conductor speaks of %r, which is no UUID", self._host, name)
        for pin in refused:
            LOG.error(
                "Host %s: what a conductor says of instance %s is not carried out: %s",
                self._host,
                pin.fields.get("instance_uuid"),
                pin.reason,
            )
        self._concluded([outcome for pin in refused for outcome in self._refusal(pin)])
        changed = self._store.replace(
            (pin for pin in pins if pin.instance_uuid not in nobodys),
            keep={str(pin.fields.get("instance_uuid")) for pin in refused},
        )
        if changed:
            LOG.info("Host %s: placements changed for %s", self._host, ", ".join(changed))
        self._worker.bring(changed)

    def _refusal(self, pin: rpc.Unreadable) -> list[objects.Outcome]:
        """Return the outcome that a conductor is told of a pin, if it says whose it is."""
        uuid = pin.fields.get("instance_uuid")
        held = self._store.get(str(uuid))
        whose = ("instance_uuid", "generation", "arrival")
        try:
            # a conductor refuses any other form, and the whole report with it
            if not is_uuid(uuid):
                return []
            return [
                objects.Outcome(
                    **{name: pin.fields[name] for name in whose},
                    result="failed",
                    reason=f"the agent does not understand it: {pin.reason}",
                    in_force=None if held is None else held.in_force,
                    cause=None,
                    receipt=None,
                )
            ]
        except (ValueError, LookupError, TypeError, AttributeError):
            return []
