# SPDX-License-Identifier: Apache-2.0
"""An agent without API, conductors and database: wishes come from the metadata of servers.

Every such agent hears of every server and acts on those that run on its host. It decides on
placements itself, and keeps them in its file, so that the rest is as with conductors: the
worker thread brings instances to what the file says.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping

from oslo_config import cfg
from oslo_log import log as logging

from kongming import exception, objects
from kongming.agent.fights import Rules
from kongming.agent.limits import Limits
from kongming.agent.metrics import Metrics
from kongming.agent.observer import Observer
from kongming.agent.store import Decided, Held, NotStored, Store
from kongming.agent.view import View
from kongming.agent.worker import Worker
from kongming.compute import notifications
from kongming.compute.events import News, What
from kongming.compute.metadata import wish_of
from kongming.compute.nova import Nova
from kongming.context import RequestContext
from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone
from kongming.objects.report import RELEASED
from kongming.topology import cpuset, fit
from kongming.topology.books import Books, Gift, Holding
from kongming.topology.inventory import Occupancy
from kongming.topology.placement import MEMORY, Placement
from kongming.topology.wish import Wish, WishError

LOG = logging.getLogger(__name__)

#: The handler where ``[notifications] handlers`` names none.
DEFAULT_HANDLERS = ("versioned",)


class StandaloneAgent:
    """The agent of one host, alone."""

    def __init__(self, conf: cfg.ConfigOpts, host: str, driver: Driver) -> None:
        self._host = host
        self._key = conf.agent.agent_trigger_metadata_key
        self._interval = conf.agent.update_resources_interval
        self._driver = driver
        self._nova = Nova.from_conf(conf)
        self._store = Store(conf.agent.state_dir, host)
        limits = Limits.from_conf(conf)
        self._view = View(driver, self._store, limits)
        self._observer = Observer(driver)
        self._metrics = Metrics(conf, self._observer, self._store)
        rules = Rules.from_conf(conf)
        self._worker = Worker(
            host, driver, self._store, limits, self._concluded, self._moves, rules
        )
        self._listener = notifications.Listener(
            conf,
            notifications.handlers(conf, DEFAULT_HANDLERS),
            f"kongming-agent-{host}",
            self._take,
        )
        # one decision after the other
        self._lock = threading.Lock()
        self._missing: set[str] = set()
        # why those that are not placed are not
        self._said: dict[str, str] = {}
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper-{host}", daemon=True)

    def start(self) -> None:
        """Watch the hypervisor, pin what the local file says, and listen to Nova."""
        self._driver.listen(self._worker.event)
        self._worker.start()
        self._keeper.start()
        self._listener.start()
        self._metrics.start()
        LOG.info("Stand-alone agent of host %s is ready", self._host)

    def stop(self) -> None:
        """Finish the step under way and let go; instances stay as they are."""
        self._stopping.set()
        self._metrics.stop()
        self._listener.stop()
        self._worker.stop()
        self._keeper.join()
        self._driver.close()

    def _take(self, context: RequestContext, news: News) -> None:
        with self._lock:
            held = self._store.get(news.uuid)
            deleted = news.what == What.DELETED
            told = {} if deleted else news.metadata
            # most servers are elsewhere, and have no wish
            if news.what == What.NOT_BUILT or (
                held is None and told is not None and self._key not in told
            ):
                return
            if self._runs(news.uuid):
                self._follow(news.uuid, self._ask(news.uuid) if told is None else told, held)
            elif deleted:
                self._forget(news.uuid)

    def _runs(self, uuid: str) -> bool:
        """Whether an instance runs on this host; the payloads of Nova do not tell reliably."""
        try:
            self._driver.scopes(uuid)
        except InstanceGone:
            return False
        return True

    def _ask(self, uuid: str) -> Mapping[str, str]:
        # notifications.handlers() insists on it
        assert self._nova is not None  # nosec B101 # for mypy
        return self._nova.server(uuid).metadata

    def _follow(self, uuid: str, metadata: Mapping[str, str], held: Held | None) -> None:
        text = metadata.get(self._key)
        if text is not None:
            try:
                wish = wish_of(text)
            except WishError as error:
                self._say(uuid, error)
            else:
                self._try(uuid, wish, held)
        elif held is not None and (held.placement is not None or held.wanted is not None):
            self._said.pop(uuid, None)
            now = held.generation + 1
            self._put(Held(uuid, now, None, in_force=held.in_force, given=held.given))

    def _try(self, uuid: str, wish: Wish, held: Held | None) -> None:
        """Place an instance if there is room; keep the wish for the next sweep if there is none."""
        try:
            self._place(uuid, wish, held)
        except (WishError, fit.DoesNotFit, *exception.NOT_GRANTED) as error:
            self._say(uuid, error)
            self._store.put(dataclasses.replace(held or Held(uuid, 0, None), wanted=wish))
        else:
            self._said.pop(uuid, None)

    def _say(self, uuid: str, error: Exception) -> None:
        """Log why an instance is not placed, unless that was the last that was logged of it."""
        text = str(error)
        if self._said.get(uuid) != text:
            self._said[uuid] = text
            LOG.error("Instance %s is not placed: %s: %s", uuid, self._key, text)

    def _try_again(self) -> None:
        """Place those that found no room so far, and run."""
        for held in self._store.all():
            if held.wanted is not None and self._runs(held.instance_uuid):
                self._try(held.instance_uuid, held.wanted, held)

    def _place(self, uuid: str, wish: Wish, held: Held | None) -> None:
        """Decide where an instance belongs, unless that is decided.

        :raises DoesNotFit: the host has too little left, or lacks what the wish names
        :raises CpuAlreadyClaimed: an exact place is somebody else's
        :raises PlacedByOthers: others gave the instance pCPUs for itself
        """
        instances = {instance.uuid: instance for instance in self._view.instances()}
        if uuid not in instances:
            return
        size = instances[uuid].size
        if held and held.decided and (held.decided.wish, held.decided.size) == (wish, size):
            if held.wanted is not None:
                self._store.put(dataclasses.replace(held, wanted=None))
            return
        books = self._books(instances)
        before = held or Held(uuid, 0, None)
        if given := books.placed_by_others(uuid, before.in_force):
            raise exception.PlacedByOthers(
                instance_uuid=uuid, cpus=cpuset.to_text(given), host=self._host
            )
        found = fit.place(wish, size, books.inventory(uuid, _occupancy(instances)))
        contest = books.contest(uuid, found)
        if contest is not None:
            raise exception.contested(contest, self._host)
        decided = Decided(wish, size, Holding(found.exclusive, found.memory))
        self._put(
            dataclasses.replace(
                before,
                generation=before.generation + 1,
                placement=found.placement,
                decided=decided,
                wanted=None,
                process=None,
                enforce=wish.enforce,
            )
        )

    def _books(self, instances: Mapping[str, objects.Instance]) -> Books:
        books = Books(self._view.host())
        books.gifts = {
            uuid: Gift(
                cpuset.parse(instance.holds),
                (instance.observed or Placement()).get(MEMORY, 0),
                instance.memory_mib,
            )
            for uuid, instance in instances.items()
            if instance.holds
        }
        for held in self._store.all():
            used = (held.placement or Placement()).cpus | (held.in_force or Placement()).cpus
            holding = held.decided.holding if held.decided else Holding()
            books.hold(held.instance_uuid, used, holding)
            books.claims |= dict.fromkeys(cpuset.members(holding.cpus), held.instance_uuid)
        return books

    def _put(self, held: Held) -> None:
        self._store.put(held)
        self._worker.bring([held.instance_uuid])

    def _forget(self, uuid: str) -> None:
        self._said.pop(uuid, None)
        self._store.remove(uuid)
        self._worker.bring([uuid])

    def _concluded(self, outcomes: list[objects.Outcome]) -> None:
        self._metrics.tally.add(outcomes)
        for outcome in outcomes:
            with self._lock:
                held = self._store.get(outcome.instance_uuid)
                if outcome.result != RELEASED or held is None or held.wanted is not None:
                    continue
                if held.generation == outcome.generation:
                    try:
                        self._store.remove(outcome.instance_uuid)
                    except NotStored as error:
                        # the next sweep finds it released again
                        LOG.error("Instance %s: %s", outcome.instance_uuid, error)

    def _moves(self, moving: objects.Moving) -> None:
        LOG.info(
            "Instance %s: %s of %s MiB of its memory moved, %s MiB/s",
            moving.instance_uuid,
            moving.progress.moved_mib,
            moving.progress.total_mib,
            moving.progress.mib_per_s,
        )

    def _keep(self) -> None:
        with self._tried_again():
            self._look()
        while not self._stopping.wait(self._interval):
            self._worker.sweep()
            with self._tried_again():
                self._look()
            with self._tried_again(), self._lock:
                self._forget_missing()
                self._try_again()

    @contextlib.contextmanager
    def _tried_again(self) -> Iterator[None]:
        """Log what goes wrong; the next sweep meets it again."""
        try:
            yield
        except HypervisorError as error:
            LOG.error("Host %s cannot be looked at: %s", self._host, error)
        except NotStored as error:
            LOG.error("Host %s: %s", self._host, error)
        except Exception:
            LOG.exception("Host %s: looking after it failed; tried again soon", self._host)

    def _look(self) -> None:
        if self._metrics.wanted:
            self._observer.look(self._view.host())

    def _forget_missing(self) -> None:
        """Forget instances that left; a hard reboot takes one away for a moment only."""
        here = {instance.uuid for instance in self._driver.instances()}
        missing = {held.instance_uuid for held in self._store.all()} - here
        for uuid in missing & self._missing:
            LOG.info("Instance %s left host %s", uuid, self._host)
            self._forget(uuid)
        self._missing = missing


def _occupancy(instances: Mapping[str, objects.Instance]) -> dict[str, Occupancy]:
    return {
        uuid: Occupancy(instance.observed.cpus, instance.observed.get(MEMORY, 0))
        for uuid, instance in instances.items()
        if instance.observed is not None
    }
