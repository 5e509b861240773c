# SPDX-License-Identifier: Apache-2.0
"""``/v1/templates``: named wishes that pins follow, and their versions."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import body, described, granted, links, query
from kongming.api.loaded import load_template, visible
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.api.v1.placement import Raw
from kongming.api.v1.wishes import WishBody
from kongming.db import engine, models
from kongming.db import templates as db_templates
from kongming.objects.template import MAX_BATCH
from kongming.policies import templates as rules
from kongming.topology import grammar, template
from kongming.topology.wish import WishError

FILTERS = ("name", "project_id")
SORT_KEYS = ("created_at", "id", "name", "project_id")
#: What the fields of a content are.
_READ_AS = {"wish": WishBody, "roles": wtypes.DictType(wtypes.text, WishBody)}
_NUMBER = re.compile("[1-9][0-9]{0,8}")
#: Versions in a list: each may be as large as a body, so that a page of them would be too much.
_MOST_VERSIONS = 50


class Batch(wtypes.UserType):
    """How many pins are changed at once."""

    basetype = int
    name = "size of a batch"
    schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": MAX_BATCH}

    def read(self, value: Any, path: str) -> int:
        """Return the number.

        :raises BadRequest: it is none, or no sensible one
        """
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_BATCH:
            raise exception.BadRequest.field(path, f"must be an integer from 1 to {MAX_BATCH}")
        return value


class NewTemplate(wtypes.Base):
    """Body of a POST: with one wish, or with one for each role by name."""

    _grammar = {"name": grammar.NAME}

    name = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = body.Identifier()
    shared = bool
    wish = WishBody
    roles = wtypes.DictType(wtypes.text, WishBody)


class ChangedTemplate(wtypes.Base):
    """Body of a PUT: replaces the content; those who follow get it ``batch_size`` at a time."""

    version = int
    shared = bool
    batch_size = Batch()
    wish = WishBody
    roles = wtypes.DictType(wtypes.text, WishBody)


class Template(wtypes.Base):
    """A template with the content of its newest ``version``.

    ``current`` is the version that those take which begin to follow; ``rollout_id`` is there
    after a change that those who follow are yet to get.
    """

    _read_as = _READ_AS

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.wsattr(wtypes.text, mandatory=True)
    user_id = wtypes.text
    shared = wtypes.wsattr(bool, mandatory=True)
    version = wtypes.wsattr(int, mandatory=True)
    current = wtypes.wsattr(int, mandatory=True)
    wish = Raw()
    roles = Raw()
    rollout_id = wtypes.text
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Templates(wtypes.Base):
    """A page of templates."""

    templates = wtypes.wsattr(wtypes.ArrayType(Template), mandatory=True)
    next = wtypes.text


class OneVersion(wtypes.Base):
    """What a template said from some change on."""

    _read_as = _READ_AS

    version = wtypes.wsattr(int, mandatory=True)
    wish = Raw()
    roles = Raw()
    user_id = wtypes.text
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)


class AllVersions(wtypes.Base):
    """The newest versions of a template."""

    versions = wtypes.wsattr(wtypes.ArrayType(OneVersion), mandatory=True)


class VersionsController(Collection):
    """``/v1/templates/{template_id}/versions``"""

    @pecan.expose("json")
    @described.operation(AllVersions, refuses=(exception.TemplateNotFound,))
    def get_all(self, template_id: str) -> dict[str, Any]:
        """List what a template has said, oldest version first: the newest 50 versions."""
        for parameter in pecan.request.GET:
            raise exception.BadRequest.field(parameter[:64], "unknown query parameter")
        row = load_template(pecan.request.context, rules.GET, template_id)
        with engine.reader() as session:
            found = db_templates.versions(session, row.id, _MOST_VERSIONS)
            return {"versions": [_version(version) for version in found]}

    @pecan.expose("json")
    @described.operation(
        OneVersion, refuses=(exception.TemplateNotFound, exception.TemplateVersionNotFound)
    )
    def get_one(self, template_id: str, version: str) -> dict[str, Any]:
        """Show what a template said at a version."""
        row = load_template(pecan.request.context, rules.GET, template_id)
        # a number that no column could hold is none of a version either
        if _NUMBER.fullmatch(version):
            with engine.reader() as session:
                found = db_templates.version(session, row.id, int(version))
                if found is not None:
                    return _version(found)
        raise exception.TemplateVersionNotFound(template_id=row.id, version=version[:32])


@serves("1.10")
class TemplatesController(Collection):
    """``/v1/templates``"""

    children = {"versions": VersionsController()}

    @pecan.expose("json")
    @described.operation(
        Templates, refuses=(exception.Forbidden,), filters=FILTERS, sort_keys=SORT_KEYS
    )
    def get_all(self) -> dict[str, Any]:
        """List the templates that the caller may see."""
        request = pecan.request
        page = query.page(request, FILTERS, SORT_KEYS)
        where = visible(request.context, rules.GET, rules.ALL_PROJECTS, models.Template.project_id)
        if policy.allows(request.context, rules.GET_SHARED):
            where |= models.Template.shared.is_(True)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Template.id, page, where)
            found = [objects.Template.from_row(row) for row in rows]
            contents = db_templates.newest(session, [row.id for row in rows])
        answer: dict[str, Any] = {"templates": [_show(row, contents[row.id]) for row in found]}
        if more:
            answer["next"] = query.next_link(request, page, found[-1].id)
        return answer

    @pecan.expose("json")
    @described.operation(Template, refuses=(exception.TemplateNotFound,))
    def get_one(self, template_id: str) -> Any:
        """Show a template."""
        row = load_template(pecan.request.context, rules.GET, template_id)
        with engine.reader() as session:
            return _show(row, db_templates.content(session, row.id, row.version) or {})

    @pecan.expose("json")
    @described.operation(
        Template,
        takes={"1.10": NewTemplate},
        status=201,
        refuses=(
            *(exception.Forbidden, exception.TemplateExists),
            exception.ControlPlaneUnavailable,
        ),
    )
    def post(self) -> Any:
        """Make a template."""
        request = pecan.request
        asked = body.read(request, NewTemplate)
        _check_name("name", asked.name)
        shared = body.has(asked, "shared") and asked.shared
        new = objects.Template(
            name=asked.name,
            project_id=_project(asked),
            user_id=request.context.user_id,
            shared=shared,
            content=_content(asked),
        )
        policy.authorize(request.context, rules.CREATE, new)
        if shared:
            policy.authorize(request.context, rules.SHARE)
        stored = request.conductor.create_template(request.context, new)
        pecan.response.status = 201
        pecan.response.location = links.to(request, "templates", stored.id)[0].href
        return _show(stored, stored.content)

    @pecan.expose("json")
    @described.operation(
        Template,
        takes={"1.10": ChangedTemplate},
        refuses=(
            *(exception.TemplateNotFound, exception.StaleTemplate, exception.TemplateInUse),
            *(exception.TemplateExists, exception.BadRequest, exception.DoesNotFit),
            *(exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def put(self, template_id: str) -> Any:
        """Give a template a new version, and those who follow it a rollout."""
        request = pecan.request
        row = load_template(request.context, rules.UPDATE, template_id)
        asked = body.read(request, ChangedTemplate)
        shared = asked.shared if body.has(asked, "shared") else None
        if row.shared or shared:
            policy.authorize(request.context, rules.SHARE)
        stored = request.conductor.update_template(
            request.context,
            row.id,
            _content(asked),
            shared,
            asked.version if body.has(asked, "version") else None,
            asked.batch_size if body.has(asked, "batch_size") else 1,
            policy.allows(request.context, rules.SHARE),
        )
        return _show(stored, stored.content)

    @pecan.expose("json")
    @described.operation(
        status=204,
        refuses=(
            *(exception.TemplateNotFound, exception.TemplateInUse),
            *(exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def delete(self, template_id: str) -> None:
        """Delete a template that no pin follows, with all its versions."""
        request = pecan.request
        row = load_template(request.context, rules.DELETE, template_id)
        across = policy.allows(request.context, rules.SHARE)
        request.conductor.delete_template(request.context, row.id, across)
        pecan.response.status = 204


def _content(asked: Any) -> dict[str, Any]:
    """Return the content of a template.

    :raises BadRequest: naming the field that is wrong
    :raises Forbidden: the caller may not ask for a field
    """
    if body.has(asked, "wish") == body.has(asked, "roles"):
        raise exception.BadRequest.field("wish", "either wish or roles must be given")
    if body.has(asked, "wish"):
        return {"wish": _checked(asked.wish, "wish.")}
    roles: Mapping[str, WishBody] = asked.roles
    if not 0 < len(roles) <= template.MAX_ROLES:
        raise exception.BadRequest.field("roles", f"must be 1 to {template.MAX_ROLES}")
    for name in roles:
        _check_name(f"roles.{name[:64]}", name)
    return {"roles": {name: _checked(wish, f"roles.{name}.") for name, wish in roles.items()}}


def _check_name(field: str, text: str) -> None:
    try:
        template.name(field, text)
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error


def _checked(wish: WishBody, prefix: str) -> dict[str, Any]:
    """Return the fields of a wish of which form and permission are checked, once for all."""
    granted.check(pecan.request.context, wish.wish(prefix))
    return wish.fields(prefix)


def _project(asked: NewTemplate) -> str:
    context = pecan.request.context
    if body.has(asked, "project_id"):
        if not policy.allows(context, rules.CREATE_FOR_OTHERS):
            raise exception.BadRequest.field("project_id", "only admins may set it")
        named: str = asked.project_id
        return named
    if context.project_id is None:
        raise exception.BadRequest.field("project_id", "is missing, and so is that of the token")
    own: str = context.project_id
    return own


def _show(row: objects.Template, content: Mapping[str, Any]) -> Any:
    return wsme_json.tojson(
        Template,
        Template(
            id=row.id,
            name=row.name,
            project_id=row.project_id,
            user_id=row.user_id,
            shared=row.shared,
            version=row.version,
            current=row.current,
            **content,
            rollout_id=row.rollout_id,
            created_at=links.instant(row.created_at),
            updated_at=links.instant(row.updated_at),
            links=links.to(pecan.request, "templates", row.id),
        ),
    )


def _version(row: models.TemplateVersion) -> dict[str, Any]:
    return {
        "version": row.version,
        **row.content,
        "user_id": row.user_id,
        "created_at": links.instant(row.created_at),
    }
