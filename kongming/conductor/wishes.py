# SPDX-License-Identifier: Apache-2.0
"""The wish of a pin, made from what was asked for it and from the template that it follows.

Every change of a pin's wish goes through here, whoever asks for it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import orm

from kongming import exception
from kongming.db import models, templates
from kongming.objects.asked import Asked
from kongming.topology import template
from kongming.topology.wish import Wish, WishError


def asked_for(session: orm.Session, fields: Mapping[str, Any], project_id: str | None) -> Asked:
    """Return what is asked for an instance of a project by fields that may name a template.

    :raises WishError: the project cannot follow such a template
    """
    overrides = dict(fields)
    text = overrides.pop("template", None)
    if text is None:
        return Asked(overrides)
    reference = template.Reference.parse(text)
    row = templates.find(session, reference, project_id)
    if row is None:
        raise WishError("template", f"there is no template {reference.name}")
    return Asked(overrides, row.id, reference.role)


def wish_of(session: orm.Session, asked: Asked) -> Wish:
    """Return the wish that one comes to who asks for this now.

    :raises WishError: it comes to none
    """
    if asked.template_id is None:
        return Wish.from_dict(asked.fields)
    row = templates.get(session, asked.template_id)
    content = row and templates.content(session, row.id, row.current)
    if content is None:
        raise WishError("template", "was deleted")
    return template.wish(content, asked.role, asked.fields)


def give(session: orm.Session, row: models.Pin, asked: Asked) -> None:
    """Let a pin ask for something else, and have the wish that comes of it.

    One that goes on following a template keeps the version that it has, since a rollout alone
    changes that. Its owner must be known.

    :raises BadRequest: naming the field because of which it comes to no wish
    """
    if asked.template_id is None:
        row.template_version = None
    elif asked.template_id != row.template_id:
        found = templates.lock(session, asked.template_id)
        if found is None or not (found.shared or found.project_id == row.project_id):
            raise exception.BadRequest.field("template", "is there no more for this project")
        row.template_version = found.current
    row.asked, row.template_id, row.template_role = (
        dict(asked.fields),
        asked.template_id,
        asked.role,
    )
    row.wish = base(session, row)


def base(session: orm.Session, row: models.Pin, content: Mapping[str, Any] | None = None) -> Wish:
    """Return the wish that a pin comes to, with what a calendar has laid over it.

    :param content: what the template that it follows shall say instead
    :raises BadRequest: naming the field because of which it comes to none, also without that
    """
    wish = under(session, row, {}, content)
    return wish if row.overlay is None else under(session, row, row.overlay.fields, content)


def under(
    session: orm.Session,
    row: models.Pin,
    overlay: Mapping[str, Any],
    content: Mapping[str, Any] | None = None,
) -> Wish:
    """Return the wish that a pin would come to, were these fields laid over it.

    :param content: as for `base`
    :raises BadRequest: naming the field because of which it comes to none
    """
    fields = {**row.asked, **overlay}
    try:
        if row.template_id is None or row.template_version is None:
            return Wish.from_dict(fields)
        if content is None:
            content = templates.content(session, row.template_id, row.template_version, lock=True)
        assert content is not None  # nosec B101 # nothing that is followed is deleted
        return template.wish(content, row.template_role, fields)
    except WishError as error:
        raise exception.BadRequest.field(error.field, error.reason) from error
