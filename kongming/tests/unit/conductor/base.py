# SPDX-License-Identifier: Apache-2.0
"""A conductor's transactions on a real database, told by invented reports."""

import collections
import datetime
import threading
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from kongming import exception, objects
from kongming.conductor import pins, reports, reservations
from kongming.conductor.reports import Answer
from kongming.context import RequestContext
from kongming.db import claims, engine, models
from kongming.objects.asked import Asked
from kongming.tests import base
from kongming.topology import cpuset
from kongming.topology.host import Host, NumaNode
from kongming.topology.placement import Placement
from kongming.topology.relocation import Receipt
from kongming.topology.wish import Wish

#: Sorted, as they appear where the order is that of the UUIDs.
A, B, C, D = (f"{digit}" * 8 + "-1111-4111-8111-111111111111" for digit in "abcd")

#: Two NUMA nodes of 8 pCPUs; 15 is offline.
TOPOLOGY = Host(
    nodes=(
        NumaNode(id=0, cpus=0x00FF, memory_mib=8192),
        NumaNode(id=1, cpus=0x7F00, memory_mib=8192),
    ),
    offline=0x8000,
)


def placement(**data: Any) -> Placement:
    """Return a placement from JSON's form: ``placement(vcpus={"0": "4"})``."""
    return Placement.from_dict(data)


def outcome(
    uuid: str,
    generation: int,
    result: str = "applied",
    reason: str | None = None,
    in_force: Placement | None = None,
    arrival: int | None = None,
    cause: str | None = None,
    receipt: Receipt | None = None,
) -> objects.Outcome:
    """Return what an agent says of a pin; without ``arrival``, of the present stay."""
    if arrival is None:
        with engine.reader() as session:
            pin = session.get(models.Pin, uuid)
            arrival = 0 if pin is None else pin.arrival
    return objects.Outcome(
        instance_uuid=uuid,
        generation=generation,
        arrival=arrival,
        result=result,
        reason=reason,
        in_force=in_force,
        cause=cause,
        receipt=receipt,
    )


class ConductorTestCase(base.TestCase):
    """An empty database, and short words for what happens to it."""

    def database_url(self) -> str | None:
        """Return the URL of an empty database, None for one of SQLite."""
        return None

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(base.Database(self.database_url()))
        self.context = RequestContext(user_id="mano", project_id="telco", request_id="req-1")
        self.sequences: collections.Counter[str] = collections.Counter()

    def instance(self, uuid: str, host: str = "one", **facts: Any) -> objects.Instance:
        """Return what the agent of a host says of an instance."""
        known = {
            "name": "vnf",
            "project_id": "telco",
            "user_id": "mano",
            "vcpus": 2,
            "memory_mib": 512,
            "iothreads": [1],
            "state": "running",
            "holds": "",
            "observed": Placement(),
            "started_ms": None,
            "updated_at": datetime.datetime.now(datetime.UTC),
        }
        return objects.Instance(uuid=uuid, host=host, **known | facts)

    def report(
        self,
        *instances: objects.Instance,
        host: str = "one",
        full: bool = False,
        gone: Iterable[str] = (),
        moving: Iterable[objects.Moving] = (),
        outcomes: Iterable[objects.Outcome] = (),
        topology: Host = TOPOLOGY,
        sequence: int | None = None,
        interval: int = 60,
    ) -> Answer:
        """Let the agent of a host report."""
        self.sequences[host] += 1
        return reports.take_in(
            self.context,
            objects.Report(
                host=host,
                sequence=self.sequences[host] if sequence is None else sequence,
                interval=interval,
                full=full,
                topology=topology if full else None,
                instances=list(instances),
                gone=list(gone),
                moving=list(moving),
                outcomes=list(outcomes),
            ),
        )

    def run_instances(self, *uuids: str, host: str = "one", **facts: Any) -> None:
        """Let a host have just these instances, running."""
        self.report(*(self.instance(uuid, host, **facts) for uuid in uuids), host=host, full=True)

    def create(
        self,
        uuid: str,
        cpus: str | None = None,
        wait: bool = False,
        project_id: str | None = "telco",
        target: reservations.Target | None = None,
        **wish: Any,
    ) -> objects.Pin:
        """Create a pin; ``cpus`` are those of a dedicated one."""
        if cpus is not None:
            wish |= {"cpu_policy": "dedicated", "vcpus": {"*": cpus}}
        pin = objects.Pin(
            instance_uuid=uuid,
            project_id=project_id,
            user_id="mano",
            wish=Wish.from_dict(wish),
        )
        return pins.create(self.context, pin, wait, target)

    def update(
        self, uuid: str, cpus: str | None = None, generation: int | None = None, **wish: Any
    ) -> objects.Pin:
        """Change a pin; ``cpus`` are those of a dedicated one."""
        if cpus is not None:
            wish |= {"cpu_policy": "dedicated", "vcpus": {"*": cpus}}
        return pins.update(self.context, uuid, Asked(wish), generation)

    def delete(self, uuid: str) -> str | None:
        """Delete a pin; return the host that has to release it."""
        return pins.delete(self.context, uuid)

    def confirm(self, uuid: str, host: str = "one") -> None:
        """Let the agent report that it carried out the present wish, or released it."""
        pin = self.row(uuid)
        result = "released" if pin.deleted else "applied"
        self.report(
            host=host, outcomes=[outcome(uuid, pin.generation, result, in_force=pin.placement)]
        )

    def row(self, uuid: str) -> models.Pin:
        """Return the row of a pin, deleted or not."""
        pin = self.row_or_none(uuid)
        assert pin is not None, uuid
        return pin

    def row_or_none(self, uuid: str) -> models.Pin | None:
        """Return the row of a pin, deleted or not, if there is one."""
        with engine.reader() as session:
            pin = session.get(models.Pin, uuid)
            session.expunge_all()
            return pin

    def status(self, uuid: str) -> tuple[str, str | None]:
        """Return status and reason of a pin."""
        pin = self.row(uuid)
        return pin.status, pin.reason

    def instance_row(self, uuid: str) -> models.Instance | None:
        """Return what is known of an instance."""
        with engine.reader() as session:
            instance = session.get(models.Instance, uuid)
            session.expunge_all()
            return instance

    def host_row(self, name: str = "one") -> models.Host:
        """Return what is known of a host."""
        with engine.reader() as session:
            host = session.get(models.Host, name)
            session.expunge_all()
        assert host is not None
        return host

    def claims(self, host: str = "one") -> dict[str, str]:
        """Return what each instance claims on a host: ``{uuid: "4-7"}``."""
        held: dict[str, int] = collections.defaultdict(int)
        with engine.reader() as session:
            for pcpu, uuid in claims.on_host(session, host).items():
                held[uuid] |= 1 << pcpu
        return {uuid: cpuset.to_text(mask) for uuid, mask in held.items()}

    def events(self, uuid: str) -> list[str]:
        """Return the history of a pin."""
        with engine.reader() as session:
            query = sa.select(models.PinEvent.event).where(models.PinEvent.instance_uuid == uuid)
            return list(session.scalars(query.order_by(models.PinEvent.id)))

    def database(self) -> dict[str, list[Any]]:
        """Return all rows of all tables."""
        with engine.reader() as session:
            return {
                table.name: sorted(map(repr, session.execute(sa.select(table))))
                for table in models.Base.metadata.sorted_tables
            }

    def refused(
        self, error: type[exception.KongMingError], call: Callable[..., Any], *args: Any, **kw: Any
    ) -> exception.KongMingError:
        """Return the error of a call, which must leave the database as it was."""
        before = self.database()
        raised: exception.KongMingError = self.assertRaises(error, call, *args, **kw)
        self.assertEqual(before, self.database())
        return raised

    def race(self, *calls: Callable[[], Any]) -> list[Any]:
        """Make calls at once, each in its thread; return what each returned or raised."""
        start = threading.Barrier(len(calls))
        results: list[Any] = [None] * len(calls)

        def run(number: int) -> None:
            start.wait()
            try:
                results[number] = calls[number]()
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
