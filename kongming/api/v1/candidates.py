# SPDX-License-Identifier: Apache-2.0
"""``/v1/candidates``: on which hosts a pin would fit, and where there. Writes nothing."""

import operator
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import pecan
from wsme import types as wtypes

from kongming import exception, policy
from kongming.api import body, described, granted
from kongming.api.inventories import Inventories
from kongming.api.loaded import canonical, load_pin
from kongming.api.microversion import Version
from kongming.api.routes import Collection
from kongming.api.v1.placement import Placement
from kongming.api.v1.size import Size
from kongming.api.v1.wishes import TEMPLATES, FollowingBody, require_version
from kongming.db import engine, reservations
from kongming.policies import candidates as rules
from kongming.policies import pins as pin_rules
from kongming.topology import cpuset, fit, grammar
from kongming.topology.answer import Reason
from kongming.topology.inventory import Inventory
from kongming.topology.wish import Wish

# kongming.api.sizelimit lets that many through, of up to 100 characters
_MAX_HOSTS = 10_000
_MAX_NAME = 255


class Hosts(wtypes.UserType):
    """A list of host names."""

    basetype = list
    name = "list of host names"
    schema: ClassVar[dict[str, Any]] = {
        "type": "array",
        "items": body.Identifier.schema,
        "maxItems": _MAX_HOSTS,
    }

    def read(self, value: Any, path: str) -> list[str]:
        """Return the names.

        :raises BadRequest: it is no list of names
        """
        if not isinstance(value, list) or len(value) > _MAX_HOSTS:
            raise exception.BadRequest.field(path, f"must be a list of at most {_MAX_HOSTS} names")
        for number, name in enumerate(value):
            if not (isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()):
                raise exception.BadRequest.field(f"{path}.{number}", "is no name of a host")
        return value


class Question(wtypes.Base):
    """Body of a POST; without ``hosts`` all are asked about."""

    wish = wtypes.wsattr(FollowingBody, mandatory=True)
    size = wtypes.wsattr(Size, mandatory=True)
    hosts = Hosts()


class InstanceQuestion(Question):
    """Body of a POST that may be about an instance that is there already, or is yet to come.

    ``project_id`` is the project whose templates a wish may name, instead of the caller's.
    """

    _grammar = {"instance_uuid": grammar.UUID}
    _since: ClassVar[dict[str, Version]] = {"project_id": TEMPLATES}

    wish = FollowingBody
    instance_uuid = wtypes.text
    prefer_pin = bool
    project_id = body.Identifier()


class Candidate(NamedTuple):
    """A host on which the wish fits; sorts from the best to the worst.

    ``unreserved``: no room is kept there for the instance that the question is about.
    """

    unreserved: bool
    score: fit.Score
    host: str
    placement: dict[str, Any]
    claims: bool


class Found(wtypes.Base):
    """A host on which the wish fits; ``claims`` tells whether it would claim anything there."""

    host = wtypes.wsattr(wtypes.text, mandatory=True)
    placement = wtypes.wsattr(Placement, mandatory=True)
    claims = bool


class Why(wtypes.Base):
    """One reason against a host."""

    _words: ClassVar[dict[str, str]] = {"detail": "code"}

    code = wtypes.wsattr(wtypes.text, mandatory=True)
    detail = wtypes.wsattr(wtypes.text, mandatory=True)


class Rejected(wtypes.Base):
    """A host on which the wish does not fit."""

    host = wtypes.wsattr(wtypes.text, mandatory=True)
    reasons = wtypes.wsattr(wtypes.ArrayType(Why), mandatory=True)


class Answer(wtypes.Base):
    """Where the wish fits, best first, and why not elsewhere."""

    candidates = wtypes.wsattr(wtypes.ArrayType(Found), mandatory=True)
    rejected = wtypes.wsattr(wtypes.ArrayType(Rejected), mandatory=True)


class CandidatesController(Collection):
    """``/v1/candidates``"""

    def __init__(self) -> None:
        self._inventories = Inventories()

    @pecan.expose("json")
    @described.operation(
        Answer,
        takes={"1.0": Question, "1.2": InstanceQuestion},
        refuses=(exception.Forbidden, exception.InstanceNotFound, exception.PinNotFound),
    )
    def post(self) -> Any:
        """Tell where a wish would fit, best first, and why not elsewhere."""
        request = pecan.request
        policy.authorize(request.context, rules.ASK)
        about_instances = request.version >= Version(1, 2)
        asked = body.read(request, InstanceQuestion if about_instances else Question)
        names = None if asked.hosts is wtypes.Unset else set(asked.hosts)
        uuid = _instance(asked)
        if uuid is not None:
            # where it would fit tells where it is
            granted.insist_on_own(request.context, [uuid])
        question = _question(asked, uuid)
        granted.insist_on_own(request.context, question.wish.neighbours)
        exact = _names_pcpus(question.wish)
        kept_on = None if uuid is None else _reserved_on(uuid)
        up, down = self._inventories.of(names, question.wish.neighbours, uuid)
        fits, rejected = [], []
        for host, inventory in up.items():
            try:
                found = question.place(inventory)
                if exact:
                    _insist(found, inventory)
            except fit.DoesNotFit as error:
                rejected.append(_rejected(host, error.reasons))
            else:
                # the rest of the answer is let go of: there may be thousands
                fits.append(
                    Candidate(
                        host != kept_on,
                        found.score,
                        host,
                        found.placement.to_dict(),
                        bool(found.exclusive or found.memory),
                    )
                )
        rejected += [
            _rejected(host, [Reason("host", "host_down", "the host is down")]) for host in down
        ]
        rejected += [
            _rejected(host, [Reason("host", "host_unknown", "no such host is known")])
            for host in (names or set()) - set(up) - down
        ]
        fits.sort(key=lambda candidate: candidate[:3])
        rejected.sort(key=lambda answer: str(answer["host"]))
        fields = ("host", "placement", "claims") if about_instances else ("host", "placement")
        show = operator.attrgetter(*fields)
        return {
            "candidates": [dict(zip(fields, show(found), strict=True)) for found in fits],
            "rejected": rejected,
        }


def _instance(asked: Question) -> str | None:
    """Return the uuid of the instance that a question is about, if it is about one."""
    if body.has(asked, "instance_uuid"):
        not_one = exception.BadRequest.field("instance_uuid", "must be a UUID")
        return canonical(asked.instance_uuid, otherwise=not_one)
    if not body.has(asked, "wish"):
        raise exception.BadRequest.field("wish", "is missing, and so is instance_uuid")
    if body.has(asked, "prefer_pin"):
        raise exception.BadRequest.field("prefer_pin", "belongs to instance_uuid, which is missing")
    return None


def _question(asked: Question, uuid: str | None) -> fit.Question:
    size = asked.size.checked()
    wish = None
    if body.has(asked, "wish"):
        _, wish = asked.wish.asked(_project(asked), "wish.")
    if uuid is not None and (wish is None or (body.has(asked, "prefer_pin") and asked.prefer_pin)):
        try:
            wish = load_pin(pecan.request.context, pin_rules.GET, uuid).wish
        except exception.PinNotFound:
            if wish is None:
                raise
    assert wish is not None  # nosec B101 # for mypy
    try:
        return fit.Question(wish, size)
    except fit.DoesNotFit as error:
        raise exception.refusal(error.reasons) from error


def _project(asked: Question) -> str | None:
    """Return the project whose templates a wish may name."""
    context = pecan.request.context
    if not body.has(asked, "project_id"):
        project_id: str | None = context.project_id
        return project_id
    require_version(asked)
    if not policy.allows(context, pin_rules.CREATE_FOR_OTHERS):
        raise exception.BadRequest.field("project_id", "only admins and services may set it")
    named: str = asked.project_id
    return named


def _reserved_on(uuid: str) -> str | None:
    with engine.reader() as session:
        reservation = reservations.get(session, uuid)
        return None if reservation is None else reservation.host


def _names_pcpus(wish: Wish) -> bool:
    return bool(wish.vcpus or wish.every_vcpu or wish.emulator is not None or wish.iothreads)


def _insist(found: fit.Fit, inventory: Inventory) -> None:
    """Refuse exact places that are somebody else's, as the conductor would.

    :raises DoesNotFit: naming them
    """
    taken = found.exclusive & ~inventory.free_dedicated
    taken |= (found.placement.cpus | found.exclusive) & ~inventory.free_shared
    if taken:
        detail = f"pCPU {cpuset.to_text(taken)} is in use by another instance"
        raise fit.DoesNotFit([Reason("host", "cpu_already_claimed", detail)])


def _rejected(host: str, reasons: Iterable[Reason]) -> dict[str, Any]:
    return {
        "host": host,
        "reasons": [
            {"code": f"resource_pin.{reason.code}", "detail": f"{reason.field}: {reason.detail}"}
            for reason in reasons
        ],
    }
