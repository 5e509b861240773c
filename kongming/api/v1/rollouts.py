# SPDX-License-Identifier: Apache-2.0
"""``/v1/rollouts``: versions of templates on their way to those who follow them."""

from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import body, described, granted, links, query
from kongming.api.loaded import load_rollout, load_template, visible
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.api.v1.templates import Batch
from kongming.db import engine, models
from kongming.db import templates as db_templates
from kongming.objects.asked import Asked
from kongming.objects.template import STATES
from kongming.policies import rollouts as rules
from kongming.policies import templates as template_rules
from kongming.topology import grammar
from kongming.topology.template import Reference
from kongming.topology.wish import WishError

FILTERS = ("project_id", "state", "template_id")
SORT_KEYS = ("created_at", "id", "state", "template_id")


class NewRollout(wtypes.Base):
    """Body of a POST: the version of a template, by name or id, that its followers shall have."""

    _grammar = {"template": grammar.NAME}

    template = wtypes.wsattr(wtypes.text, mandatory=True)
    version = wtypes.wsattr(int, mandatory=True)
    batch_size = Batch()


class Rollout(wtypes.Base):
    """How far a rollout is: ``done`` of ``total`` pins have the ``version``.

    ``former`` is what they had before; ``failed_pin`` is the instance because of whose pin the
    rollout went back, for the ``reason``.
    """

    _words: ClassVar[dict[str, str]] = {"reason": "state"}
    _instances = ("failed_pin",)

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    template_id = wtypes.wsattr(wtypes.text, mandatory=True)
    template_name = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    user_id = wtypes.text
    version = wtypes.wsattr(int, mandatory=True)
    former = int
    batch_size = wtypes.wsattr(int, mandatory=True)
    state = wtypes.wsattr(wtypes.Enum(str, *STATES), mandatory=True)
    reason = wtypes.text
    failed_pin = wtypes.text
    total = wtypes.wsattr(int, mandatory=True)
    done = wtypes.wsattr(int, mandatory=True)
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Rollouts(wtypes.Base):
    """A page of rollouts."""

    rollouts = wtypes.wsattr(wtypes.ArrayType(Rollout), mandatory=True)
    next = wtypes.text


@serves("1.10")
class RolloutsController(Collection):
    """``/v1/rollouts``"""

    @pecan.expose("json")
    @described.operation(
        Rollouts, refuses=(exception.Forbidden,), filters=FILTERS, sort_keys=SORT_KEYS
    )
    def get_all(self) -> dict[str, Any]:
        """List the rollouts that the caller may see."""
        request = pecan.request
        page = query.page(request, FILTERS, SORT_KEYS)
        where = visible(request.context, rules.GET, rules.ALL_PROJECTS, models.Rollout.project_id)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Rollout.id, page, where)
            found = [objects.Rollout.from_row(row) for row in rows]
        answer: dict[str, Any] = {"rollouts": [_show(rollout) for rollout in found]}
        if more:
            answer["next"] = query.next_link(request, page, found[-1].id)
        return answer

    @pecan.expose("json")
    @described.operation(Rollout, refuses=(exception.RolloutNotFound,))
    def get_one(self, rollout_id: str) -> Any:
        """Show how far a rollout is."""
        return _show(load_rollout(pecan.request.context, rules.GET, rollout_id))

    @pecan.expose("json")
    @described.operation(
        Rollout,
        takes={"1.10": NewRollout},
        status=201,
        refuses=(
            *(exception.BadRequest, exception.DoesNotFit),
            *(exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def post(self) -> Any:
        """Let those who follow a template have some version of it, older ones included."""
        request = pecan.request
        asked = body.read(request, NewRollout)
        template = _template(asked.template)
        policy.authorize(request.context, rules.CREATE, template)
        if template.shared:
            policy.authorize(request.context, template_rules.SHARE)
        _check_version(template, asked.version)
        size = asked.batch_size if body.has(asked, "batch_size") else 1
        across = policy.allows(request.context, template_rules.SHARE)
        stored = request.conductor.create_rollout(
            request.context, template.id, asked.version, size, across
        )
        pecan.response.status = 201
        pecan.response.location = links.to(request, "rollouts", stored.id)[0].href
        return _show(stored)

    @pecan.expose("json")
    @described.operation(
        Rollout,
        status=202,
        refuses=(
            *(exception.RolloutNotFound, exception.RolloutIsOver),
            *(exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def delete(self, rollout_id: str) -> Any:
        """Let a rollout go back; one that is queued never begins."""
        request = pecan.request
        rollout = load_rollout(request.context, rules.CANCEL, rollout_id)
        across = policy.allows(request.context, template_rules.SHARE)
        pecan.response.status = 202
        return _show(request.conductor.cancel_rollout(request.context, rollout.id, across))


_UNSEEN = exception.BadRequest.field("template", "there is no such template")


def _template(text: str) -> objects.Template:
    """Return the template that is named, if the caller may see it.

    :raises BadRequest: there is none, or a role is named as well
    """
    context = pecan.request.context
    try:
        reference = Reference.parse(text)
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
    if reference.role is not None:
        raise exception.BadRequest.field("template", "must not name a role: all have one version")
    template_id = reference.id
    if template_id is None:
        with engine.reader() as session:
            row = db_templates.find(session, reference, context.project_id)
            if row is None:
                raise _UNSEEN
            template_id = row.id
    try:
        return load_template(context, template_rules.GET, template_id)
    except exception.TemplateNotFound as error:
        raise _UNSEEN from error


def _check_version(template: objects.Template, version: int) -> None:
    """Insist that there is a version, with nothing that the caller may not ask for.

    :raises BadRequest, Forbidden:
    """
    content = None
    # a number that no column could hold is none of a version either
    if 0 < version <= template.version:
        with engine.reader() as session:
            content = db_templates.content(session, template.id, version)
    if content is None:
        raise exception.BadRequest.field("version", f"the template has 1 to {template.version}")
    for wish in content.get("roles", {"": content.get("wish", {})}).values():
        granted.check(pecan.request.context, Asked(wish).own())


def _show(rollout: objects.Rollout) -> Any:
    return wsme_json.tojson(
        Rollout,
        Rollout(
            id=rollout.id,
            template_id=rollout.template_id,
            template_name=rollout.template_name,
            project_id=rollout.project_id,
            user_id=rollout.user_id,
            version=rollout.version,
            former=rollout.former,
            batch_size=rollout.batch_size,
            state=rollout.state,
            reason=rollout.reason,
            failed_pin=rollout.failed_pin,
            total=rollout.total,
            done=rollout.done,
            created_at=links.instant(rollout.created_at),
            updated_at=links.instant(rollout.updated_at),
            links=links.to(pecan.request, "rollouts", rollout.id),
        ),
    )
