# SPDX-License-Identifier: Apache-2.0
"""``/v1/quotas/{project_id}``: how much a project may hold, and what it does hold."""

import re
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes

from kongming import exception, policy
from kongming.api import body, described
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.context import RequestContext
from kongming.db import engine, quotas
from kongming.db.quotas import RESOURCES, UNLIMITED
from kongming.policies import quotas as rules

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


class Quota(wtypes.Base):
    """The limits of a project and what of them is in use."""

    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    limits = wtypes.wsattr(Amounts, mandatory=True)
    used = wtypes.wsattr(Amounts, mandatory=True)


@serves("1.12")
class QuotasController(Collection):
    """``/v1/quotas``"""

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
        limits = quotas.limits(session, project_id)
        pins = quotas.use(session, project_id).values()
    used = {name: sum(pin[name] for pin in pins) for name in RESOURCES}
    return {"project_id": project_id, "limits": limits, "used": used}
