# SPDX-License-Identifier: Apache-2.0
"""``/v1/quotas``: how much projects may hold, and what they do hold."""

import re
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes

from kongming import exception, policy
from kongming.api import body, described, query
from kongming.api.microversion import Version, serves
from kongming.api.routes import Collection
from kongming.context import RequestContext
from kongming.db import engine, quotas
from kongming.db.paging import MarkerNotFound
from kongming.db.quotas import RESOURCES, UNLIMITED
from kongming.policies import quotas as rules

#: From here on it is told which limits were set for a project, and for which ones.
OWN = Version(1, 13)

_HIGHEST = 2**31 - 1
# Keystone knows which there are; what it makes itself is 32 of 0-9 a-f
_ID = re.compile(r"[A-Za-z0-9._:@-]{1,255}")


class Limit(wtypes.UserType):
    """A number of things, or -1 for as many as there are."""

    basetype = int
    name = "limit"
    schema: ClassVar[dict[str, Any]] = {
        "type": "integer",
        "minimum": UNLIMITED,
        "maximum": _HIGHEST,
    }

    def read(self, value: Any, path: str) -> int:
        """Return the limit.

        :raises BadRequest: it is none
        """
        if type(value) is not int or not UNLIMITED <= value <= _HIGHEST:
            raise exception.BadRequest.field(path, f"must be from {UNLIMITED} to {_HIGHEST}")
        return value


class Limits(wtypes.Base):
    """Body of a PUT: what is absent is as by default."""

    pins = Limit()
    dedicated_pcpus = Limit()
    memory_mib = Limit()


class Amounts(wtypes.Base):
    """How much of each."""

    pins = wtypes.wsattr(int, mandatory=True)
    dedicated_pcpus = wtypes.wsattr(int, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)


class Own(wtypes.Base):
    """Limits that were set for a project; what is absent is as by default."""

    pins = int
    dedicated_pcpus = int
    memory_mib = int


class Quota(wtypes.Base):
    """The limits of a project, those that were set for it, and what of them is in use."""

    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    limits = wtypes.wsattr(Amounts, mandatory=True)
    own = Own
    used = wtypes.wsattr(Amounts, mandatory=True)


class ListedQuota(wtypes.Base):
    """The limits of a project for which any were set."""

    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    limits = wtypes.wsattr(Amounts, mandatory=True)
    own = wtypes.wsattr(Own, mandatory=True)


class Quotas(wtypes.Base):
    """A page of the projects for which limits were set."""

    quotas = wtypes.wsattr(wtypes.ArrayType(ListedQuota), mandatory=True)
    next = wtypes.text


@serves("1.12", "1.12")
class QuotaController(Collection):
    """``/v1/quotas/{project_id}``"""

    @pecan.expose("json")
    @described.operation(Quota, refuses=(exception.Forbidden,))
    def get_one(self, project_id: str) -> dict[str, Any]:
        """Show the limits of a project and what of them is in use."""
        _authorize(rules.GET, project_id)
        return _shown(project_id)

    @pecan.expose("json")
    @described.operation(
        Quota,
        takes={"1.12": Limits},
        refuses=(exception.Forbidden, exception.ControlPlaneUnavailable),
    )
    def put(self, project_id: str) -> dict[str, Any]:
        """Set the limits of a project; what it has already stays."""
        context = _authorize(rules.SET, project_id)
        asked = body.read(pecan.request, Limits)
        limits = {name: getattr(asked, name) for name in RESOURCES if body.has(asked, name)}
        pecan.request.conductor.set_quota(context, project_id, limits)
        return _shown(project_id)

    @pecan.expose("json")
    @described.operation(
        status=204, refuses=(exception.Forbidden, exception.ControlPlaneUnavailable)
    )
    def delete(self, project_id: str) -> None:
        """Return to the default limits."""
        context = _authorize(rules.SET, project_id)
        pecan.request.conductor.set_quota(context, project_id, {})
        pecan.response.status = 204


@serves("1.13")
class QuotasController(QuotaController):
    """``/v1/quotas``"""

    @pecan.expose("json")
    @described.operation(Quotas, refuses=(exception.Forbidden,), filters=())
    def get_all(self) -> dict[str, Any]:
        """List the projects for which limits were set."""
        request = pecan.request
        policy.authorize(request.context, rules.LIST)
        page = query.page(request, (), ())
        with engine.reader() as session:
            try:
                projects, more = quotas.projects(session, page.limit, page.marker)
            except MarkerNotFound as error:
                raise exception.BadRequest.field("marker", "is not in the list") from error
            own = quotas.own(session, projects)
        shown = [
            {"project_id": project, "limits": quotas.default() | limits, "own": limits}
            for project, limits in own.items()
        ]
        answer: dict[str, Any] = {"quotas": shown}
        if more:
            answer["next"] = query.next_link(request, page, projects[-1])
        return answer


class _Project:
    """What policies look at: to the quota of a project, that is the project."""

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id


def _authorize(rule: str, project_id: str) -> RequestContext:
    """Insist that the caller may do something to the quota of a project.

    :raises Forbidden: it may not; whether there is such a project only Keystone knows
    :raises BadRequest: it is no id
    """
    context: RequestContext = pecan.request.context
    if not policy.allows(context, rule, _Project(project_id)):
        raise exception.Forbidden(rule=rule)
    if not _ID.fullmatch(project_id):
        raise exception.BadRequest.field("project_id", "is none: 1 to 255 of A-Z a-z 0-9 . _ : @ -")
    return context


def _shown(project_id: str) -> dict[str, Any]:
    with engine.reader() as session:
        own = quotas.own(session, [project_id]).get(project_id, {})
        pins = quotas.use(session, project_id).values()
    used = {name: sum(pin[name] for pin in pins) for name in RESOURCES}
    shown = {"project_id": project_id, "limits": quotas.default() | own, "used": used}
    return shown | {"own": own} if pecan.request.version >= OWN else shown
