# SPDX-License-Identifier: Apache-2.0
"""A report comes in: facts, observations and outcomes of one host, in one transaction.

The number of SQL statements does not depend on the number of instances or pins.
"""

import dataclasses

from oslo_log import log as logging
from oslo_utils import timeutils
from sqlalchemy import orm

from kongming import objects
from kongming.conductor import quotas
from kongming.conductor.claims import size_of
from kongming.conductor.lifecycle import Lifecycle
from kongming.conductor.retry import Moved, retried
from kongming.context import RequestContext
from kongming.db import bulk, engine, hosts, instances, models, reservations
from kongming.db import quotas as db_quotas
from kongming.objects.instance import ACTIVE_STATES
from kongming.topology.answer import Size

LOG = logging.getLogger(__name__)

#: Uuid, host and start of those of which was said that they should not run any more.
_doubles: set[tuple[str, str, int]] = set()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the agent is told, and whether its placements changed by its own report."""

    sequence: int
    full_needed: bool = False
    placements_changed: bool = False


def take_in(context: RequestContext, report: objects.Report) -> Answer:
    """Store a report and draw the consequences for the pins of its host."""
    return _take_in(context, report, set())


@retried
def _take_in(context: RequestContext, report: objects.Report, projects: set[str]) -> Answer:
    """Do so; an attempt that would claim for a project with a limit adds it to ``projects``."""
    quotas.limited(projects)
    # An instance that arrives changes the books of hosts that it left or was expected on, too:
    # to lock those later would be against the order in which changes there lock.
    names = {report.host, *_hosts_of(report)}
    with engine.writer() as session:
        host = hosts.lock_all(session, names).get(report.host)
        db_quotas.lock(session, projects)
        if host is None and not report.full:
            return Answer(report.sequence, full_needed=True)
        if host is not None and report.sequence <= host.report_sequence:
            LOG.warning(
                "Report %s of host %s ignored: report %s was here before",
                report.sequence,
                report.host,
                host.report_sequence,
            )
            return Answer(host.report_sequence)
        if host is None:
            LOG.info("Host %s reports for the first time", report.host)
            host = models.Host(name=report.host, topology=report.topology, generation=0)
            session.add(host)
        changed = report.topology is not None and not report.topology.offers_as(host.topology)
        with session.no_autoflush:
            host.report_sequence = report.sequence
            host.report_interval = report.interval
            host.reported_at = timeutils.utcnow()
            if report.topology is not None:
                host.topology = report.topology
            # agents of the version before tell none
            if report.obj_attr_is_set("usage") and report.usage is not None:
                usage = report.usage.to_dict()
                host.instance_usage = {"at": usage["at"], "instances": usage.pop("instances")}
                host.usage = usage
            news = _take_instances(session, report, names)
            accounts = quotas.Accounts(session, projects)
            lifecycle = Lifecycle(context, session, host, news.here, news.sizes, accounts)
            for uuid in news.gone:
                lifecycle.left(uuid)
            for uuid in news.here:
                lifecycle.seen(uuid, resized=uuid in news.resized)
            for moving in report.moving:
                lifecycle.moves(moving)
            for outcome in report.outcomes:
                lifecycle.concluded(outcome)
            changed = lifecycle.save() or news.gifts_changed or changed
            host.generation += changed
        return Answer(report.sequence, placements_changed=lifecycle.placements_changed)


def _hosts_of(report: objects.Report) -> set[str]:
    uuids = [instance.uuid for instance in report.instances]
    with engine.reader() as session:
        reserved = reservations.of_instances(session, uuids).values()
        return instances.hosts_of(session, uuids) | {row.host for row in reserved}


@dataclasses.dataclass
class _News:
    """The instances that a report finds on its host, those of a new size, those gone.

    ``sizes`` are those of all instances of which it speaks. ``gifts_changed`` tells whether
    others gave an instance something, or took it back.
    """

    here: dict[str, models.Instance]
    resized: set[str]
    gone: set[str]
    sizes: dict[str, Size]
    gifts_changed: bool = False


def _take_instances(session: orm.Session, report: objects.Report, locked: set[str]) -> _News:
    reported = {instance.uuid: instance for instance in report.instances}
    spoken_of = {outcome.instance_uuid for outcome in report.outcomes}
    stored = {
        row.uuid: row
        for row in instances.touched_by_report(
            session, report.host, {*reported, *report.gone, *spoken_of}, report.full
        )
    }
    for uuid in reported:
        if uuid in stored and stored[uuid].host not in locked:
            raise Moved(uuid)
    ours = {uuid for uuid, row in stored.items() if row.host == report.host}
    gone = ours - set(reported) if report.full else ours & set(report.gone)
    news = _News({}, set(), gone, {uuid: size_of(row) for uuid, row in stored.items()})
    news.gifts_changed = any(stored[uuid].holds for uuid in news.gone)
    rows = []
    for uuid, instance in reported.items():
        row = stored.get(uuid)
        if row is not None and not _believable(instance, row):
            continue
        facts = {name: getattr(instance, name) for name in _FACTS}
        if row is not None and row.host == instance.host:
            # who stopped it here did not make the process that another host still has a newer one
            facts["started_ms"] = facts["started_ms"] or row.started_ms
        news.here[uuid] = models.Instance(**facts)
        news.sizes[uuid] = size_of(news.here[uuid])
        if row is None or any(getattr(row, name) != value for name, value in facts.items()):
            rows.append(facts | {"updated_at": timeutils.utcnow()})
            news.gifts_changed |= bool(instance.holds or (row is not None and row.holds))
        if row is not None and (row.vcpus, row.iothreads) != (instance.vcpus, instance.iothreads):
            news.resized.add(uuid)
    bulk.replace(session, models.Instance.uuid, news.gone, rows)
    return news


_FACTS = (
    "uuid",
    "host",
    "name",
    "project_id",
    "user_id",
    "vcpus",
    "memory_mib",
    "iothreads",
    "state",
    "holds",
    "observed",
    "started_ms",
)


def _believable(instance: objects.Instance, row: models.Instance) -> bool:
    """Whether a report may replace what is stored, perhaps by another host.

    While an instance migrates two hosts know it, and when it was evacuated from a host that is
    only cut off, two run it. It lives where it was started last of where it runs, and else where
    it was known first: were each believed in turn, the pin would change hosts with every report.
    """
    if instance.host == row.host:
        return True
    if instance.state not in ACTIVE_STATES:
        return False
    if row.started_ms and instance.started_ms and instance.started_ms < row.started_ms:
        if instance.state == "running" and row.state == "running":
            _warn_of_double(instance, row.host)
        return False
    return instance.state == "running" or row.state not in ACTIVE_STATES


def _warn_of_double(instance: objects.Instance, host: str) -> None:
    """Say once what every report would say again."""
    double = (instance.uuid, instance.host, instance.started_ms)
    if double not in _doubles:
        _doubles.add(double)
        LOG.warning(
            "Instance %s runs on host %s and also, started earlier, on host %s, which has neither"
            " pin nor claims for it any more",
            instance.uuid,
            host,
            instance.host,
        )
