# SPDX-License-Identifier: Apache-2.0
"""How much of the hosts a project may hold: decided with each claim, in its transaction.

What a project holds is spread over many hosts, so that the lock of a host does not keep two
conductors from giving it more than it may have. A project with a limit therefore has a row of its
own, which is locked after the hosts and before the pins: hosts, projects, pins, each in the order
of their names.
"""

from collections.abc import Collection

from oslo_log import log as logging
from sqlalchemy import orm

from kongming import exception
from kongming.conductor.retry import Moved, retried
from kongming.context import RequestContext
from kongming.db import engine, models
from kongming.db import quotas as db_quotas
from kongming.db.quotas import RESOURCES, UNLIMITED, Amounts
from kongming.topology.books import Holding

LOG = logging.getLogger(__name__)


@retried
def set_limits(context: RequestContext, project_id: str, limits: Amounts) -> None:
    """Set the limits of a project; see `ConductorAPI.set_quota`."""
    with engine.writer() as session:
        before = db_quotas.limits(session, project_id)
        db_quotas.change(session, project_id, limits)
        after = db_quotas.limits(session, project_id)
    LOG.info(
        "Quota of project %s set by user %s (%s): %s, was %s",
        project_id,
        context.user_id,
        context.request_id,
        after,
        before,
    )


@retried
def limited(project_ids: Collection[str | None]) -> set[str]:
    """Return those of some projects that have a limit, and make them ready to be locked."""
    known = {project_id for project_id in project_ids if project_id is not None}
    if not known:
        return set()
    with engine.reader() as session:
        found = {each for each in known if db_quotas.is_limited(session, each)}
        missing = db_quotas.without_row(session, found) if found else set()
    if missing:
        with engine.writer() as session:
            session.add_all(models.Project(project_id=each) for each in sorted(missing))
    return found


class Accounts:
    """What projects hold, for the length of one transaction.

    :param locked: the projects that it has locked; one that should have been is added before
        `Moved` is raised, so that the next attempt locks it
    """

    def __init__(self, session: orm.Session, locked: set[str]) -> None:
        self._session = session
        self._locked = locked
        self._limits: dict[str, Amounts] = {}
        self._use: dict[str, dict[str, dict[str, int]]] = {}

    def look(self) -> None:
        """Note what the projects that are locked hold, before any of it is changed."""
        for project_id in self._locked:
            self._use_of(project_id)

    def take(self, project_id: str | None, uuid: str, holding: Holding | None) -> None:
        """Note what the pin of an instance is about to hold, in place of what it held.

        Who has more than a limit that was lowered keeps it, but gets no more.

        :raises QuotaExceeded: naming what the project may not have so much of
        """
        if project_id is None:
            return
        limits = self._limits_of(project_id)
        if all(limit == UNLIMITED for limit in limits.values()):
            return
        if project_id not in self._locked:
            self._locked.add(project_id)
            raise Moved(project_id)
        use = self._use_of(project_id)
        before, asked = use.get(uuid, dict.fromkeys(RESOURCES, 0)), db_quotas.amounts(holding)
        for name, limit in limits.items():
            used, more = sum(each[name] for each in use.values()), asked[name] - before[name]
            if limit != UNLIMITED and more > 0 and used + more > limit:
                raise exception.QuotaExceeded(
                    project_id=project_id, resource=name, limit=limit, used=used, asked=more
                )
        use[uuid] = asked

    def _limits_of(self, project_id: str) -> Amounts:
        if project_id not in self._limits:
            self._limits[project_id] = db_quotas.limits(self._session, project_id)
        return self._limits[project_id]

    def _use_of(self, project_id: str) -> dict[str, dict[str, int]]:
        if project_id not in self._use:
            self._use[project_id] = db_quotas.use(self._session, project_id)
        return self._use[project_id]
