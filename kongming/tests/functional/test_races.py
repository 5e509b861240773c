# SPDX-License-Identifier: Apache-2.0
"""Many callers, two conductors, hosts nearly full: what they were told is what the tables say."""

import functools
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from testtools.content import text_content

from kongming.agent.manager import AgentManager
from kongming.db import models
from kongming.hypervisor import fleet, simulated
from kongming.hypervisor.driver import Scope
from kongming.tests import audit, base
from kongming.tests.functional.fixtures import callers, mariadb, postgresql, rabbitmq, services
from kongming.topology import cpuset

CALLERS = 16
#: What each caller asks for at least, changes and deletes included.
CLAIMS = 25
#: What no instance was given by Nova: 12 pCPUs of each NUMA node.
FREE = cpuset.parse("10-15,26-31,42-47,58-63")
GIVEN = ((1 << 64) - 1) & ~FREE

_numbers = itertools.count()


def _uuid(number: int) -> str:
    return f"{number:08d}-1111-4111-8111-111111111111"


OWN = [[_uuid(10 * caller + number) for number in range(10)] for caller in range(CALLERS)]
#: They migrate all the time.
COMMON = [_uuid(900 + number) for number in range(4)]
ALL = [uuid for own in OWN for uuid in own] + COMMON


def _instance(name: str, vcpus: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "vcpus": vcpus, "memory_mib": 64, "state": "running", **fields}


def _hosts() -> Iterator[dict[str, Any]]:
    """Yield two hosts with huge pages for ten instances each, most pCPUs of which Nova gave."""
    pins = {str(vcpu): str(cpu) for vcpu, cpu in enumerate(cpuset.members(GIVEN))}
    for name in ("one", "two"):
        given = _instance(f"given-{name}", len(pins), dedicated=True, vcpu_pins=pins)
        placed = [
            _instance(f"vnf-{uuid[:8]}", 1 + int(uuid[7]) % 2, uuid=uuid)
            for uuid in (ALL if name == "one" else ())
        ]
        yield {
            "name": name,
            "nodes": 2,
            "cores_per_node": 16,
            "threads_per_core": 2,
            "memory_mib_per_node": 32768,
            "huge_pages": {2048: 160},
            "instances": [given, *placed],
        }


def choose(dice: random.Random, uuid: str) -> dict[str, Any]:
    """Return a wish that may be granted on an empty host, and seldom is on a full one."""
    free = list(cpuset.members(FREE))
    kind = dice.randrange(5)
    if kind == 0:
        return {"cpu_policy": "dedicated"}
    if kind == 1:
        return {"cpu_policy": "dedicated", "memory": {"page_size_kib": 2048}}
    if kind == 2:
        return {"cpu_policy": "shared", "vcpus": {"*": cpuset.to_text(1 << dice.choice(free))}}
    exact = dict(zip("01", map(str, dice.sample(free, 2)), strict=True))
    if not int(uuid[7]) % 2:
        del exact["1"]
    return {"cpu_policy": "dedicated", "vcpus": exact}


class MariaDBRaceTest(base.TestCase):
    """Each test has an empty database and a KongMing of its own; the servers are shared."""

    database_type: Any = mariadb.MariaDB
    broker: rabbitmq.RabbitMQ
    database: Any

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.broker, cls.database = rabbitmq.RabbitMQ(), cls.database_type()
        for fixture in (cls.broker, cls.database):
            fixture.setUp()
            cls.addClassCleanup(fixture.cleanUp)

    def start(self, response_timeout: int) -> None:
        """Start two conductors, an API, and the agents of two hosts in this process."""
        url = self.database.create(f"races{next(_numbers)}")
        self.kongming = self.useFixture(
            services.ControlPlane(
                self.broker.transport_url,
                url,
                None,
                {"DEFAULT": {"rpc_response_timeout": response_timeout}},
                conductors=2,
            )
        )
        self.engine = sa.create_engine(url, isolation_level="REPEATABLE READ")
        self.addCleanup(self.engine.dispose)
        self.fleet = simulated.Fleet(fleet.parse({"hosts": list(_hosts())}))
        self.configuration.set("transport_url", self.broker.transport_url)
        self.configuration.set("rpc_response_timeout", response_timeout)
        self.configuration.set("update_resources_interval", 5, "agent")
        self.configuration.set("state_dir", str(self.directory), "agent")
        for name in self.fleet.host_names:
            agent = AgentManager(self.conf, name, simulated.SimulatedDriver(self.fleet, name))
            agent.start()
            self.addCleanup(agent.stop)
        for name in self.fleet.host_names:
            self.eventually(functools.partial(self.is_there, f"/v1/hosts/{name}"), 30)
        for uuid in COMMON:
            body = {"instance_uuid": uuid, "cpu_policy": "shared", "vcpus": {"*": "10"}}
            self.assertEqual(201, self.request("POST", "/v1/pins", json=body).status_code)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request."""
        return self.kongming.request(method, path, **options)

    def is_there(self, path: str) -> bool:
        """Whether the API has something to show."""
        return bool(self.request("GET", path).ok)

    def audit(self, quiet: bool = False) -> None:
        """Insist that the tables agree with each other at this moment."""
        with orm.Session(self.engine) as session:
            self.assertEqual([], audit.faults(session, quiet))

    def call(
        self, until: Callable[[int], bool], meanwhile: Callable[[], None]
    ) -> list[callers.Caller]:
        """Let all callers call; migrate, look at the tables and do something else meanwhile."""
        running = [
            callers.Caller(number, self.request, choose, own, COMMON, until)
            for number, own in enumerate(OWN)
        ]
        begin = time.monotonic()
        for caller in running:
            caller.start()
        moves = 0
        while any(caller.is_alive() for caller in running):
            self.audit()
            self.move(moves)
            moves += 1
            meanwhile()
        answers = [answer for caller in running for answer in caller.answers]
        longest = max(answer.seconds for answer in answers)
        self.addDetail(
            "calls",
            text_content(
                f"{len(answers)} in {time.monotonic() - begin:.1f} s, the longest"
                f" {longest:.2f} s, {moves} migrations; {callers.counted(answers)}"
            ),
        )
        self.assertEqual([], [caller.error for caller in running if caller.error])
        return running

    def move(self, number: int) -> None:
        """Migrate one of the common instances."""
        uuid = COMMON[number % len(COMMON)]
        here = self.fleet.running(uuid).host.spec.name
        self.fleet.migrate(uuid, "two" if here == "one" else "one")

    def settle(self, running: list[callers.Caller]) -> None:
        """Wait until the hosts did what they were told; compare what everybody knows."""
        self.eventually(lambda: not self.unfinished(), 60)
        self.audit(quiet=True)
        with orm.Session(self.engine) as session:
            stored = {pin.instance_uuid: pin for pin in session.scalars(sa.select(models.Pin))}
            changes = sa.select(models.PinEvent.instance_uuid, models.PinEvent.event)
            events = [(uuid, event) for uuid, event in session.execute(changes)]
        told = {uuid: pin for caller in running for uuid, pin in caller.told.items()}
        self.assertEqual({uuid for uuid in told if told[uuid]} | {*COMMON}, set(stored))
        for uuid, pin in told.items():
            if pin:
                placement = stored[uuid].placement
                self.assertEqual(pin["placement"], placement and placement.to_dict())
                self.assertEqual(pin["generation"], stored[uuid].generation)
        # an agent that knew of a pin which left meanwhile has yet to hear of that
        self.eventually(lambda: not self.displaced(stored), 60)
        self.compare_with_answers(running, stored, events)

    def unfinished(self) -> bool:
        """Whether some pin is yet to be confirmed, or some migration to be heard of."""
        open_pins = sa.select(models.Pin.instance_uuid).where(
            models.Pin.deleted.is_(True)
            | models.Pin.status.not_in(("applied", "failed"))
            | (models.Pin.placement.is_(None) & models.Pin.in_force.is_not(None))
        )
        on = sa.select(models.Instance.uuid, models.Instance.host)
        with orm.Session(self.engine) as session:
            known = {row.uuid: row.host for row in session.execute(on)}
            heard = all(known[uuid] == self.fleet.running(uuid).host.spec.name for uuid in COMMON)
            return not heard or session.scalar(open_pins.limit(1)) is not None

    def displaced(self, stored: dict[str, models.Pin]) -> dict[str, list[str]]:
        """Return the instances that are not where their pin wants them, or pinned without one."""
        found = {}
        for host in self.fleet.host_names:
            driver = simulated.SimulatedDriver(self.fleet, host)
            for uuid in self.fleet.host(host).instances:
                pin = stored.get(uuid)
                if pin is None or pin.placement is None:
                    # no pin, or one from another host that does not fit here
                    wanted = driver.unpinned(uuid)
                else:
                    self.assertEqual(host, pin.host)
                    wanted = pin.placement
                if differences := wanted.differences(driver.read(uuid, Scope.LIVE)):
                    found[uuid] = differences
        return found

    def compare_with_answers(
        self,
        running: list[callers.Caller],
        stored: dict[str, models.Pin],
        events: list[tuple[str, str]],
    ) -> None:
        """Insist that what was granted, and nothing else, has left its line in the history.

        Of a request that was answered with 503 it is not known whether it acted.
        """
        answers = [answer for caller in running for answer in caller.answers]
        for uuid in ALL:
            for method, success, event in (
                ("POST", 201, "created"),
                ("PUT", 200, "changed"),
                ("DELETE", 204, "deleted"),
            ):
                statuses = [a.status for a in answers if (a.uuid, a.method) == (uuid, method)]
                granted = statuses.count(success) + (uuid in COMMON and method == "POST")
                seen = events.count((uuid, event))
                self.assertIn(seen, range(granted, granted + statuses.count(503) + 1), uuid)
        for uuid in COMMON:
            self.assertEqual(1 + events.count((uuid, "changed")), stored[uuid].generation)

    def logs(self) -> list[str]:
        """Return the log of each conductor."""
        return [conductor.log.read_text() for conductor in self.kongming.conductors]

    def test_every_answer_is_true(self) -> None:
        self.start(response_timeout=30)
        running = self.call(lambda rounds: rounds >= CLAIMS, lambda: time.sleep(0.1))
        answers = [answer for caller in running for answer in caller.answers]
        self.assertNotIn(503, {answer.status for answer in answers})
        self.settle(running)
        granted = [answer for answer in answers if answer.status in (200, 201)]
        refused = [answer for answer in answers if answer.status == 409]
        self.assertGreater(len(refused), len(granted), "the host was not nearly full")
        for log in self.logs():
            self.assertGreater(len(re.findall(r"Pin of instance \S+ (?:created|changed)", log)), 20)
            self.assertNotIn("Traceback", log)
            self.assertNotIn(" ERROR ", log)

    def test_conductors_that_are_killed(self) -> None:
        self.start(response_timeout=2)
        over = threading.Event()
        kills = itertools.count()

        def kill() -> None:
            number = next(kills)
            if number >= 6:
                over.set()
                return
            # in turn, and now and then both
            down = (
                self.kongming.conductors
                if number % 4 == 3
                else [self.kongming.conductors[number % 2]]
            )
            for conductor in down:
                conductor.kill()
            self.audit()
            for conductor in down:
                conductor.start()

        running = self.call(lambda rounds: over.is_set(), kill)
        answers = [answer for caller in running for answer in caller.answers]
        self.assertIn(503, {answer.status for answer in answers})
        self.settle(running)


class PostgreSQLRaceTest(MariaDBRaceTest):
    database_type = postgresql.PostgreSQL
