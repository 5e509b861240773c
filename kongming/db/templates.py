# SPDX-License-Identifier: Apache-2.0
"""Queries for templates, their versions and those who follow them."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Pin, Template, TemplateVersion
from kongming.topology.template import Reference


def get(session: orm.Session, template_id: str) -> Template | None:
    """Return a template, or None."""
    return session.get(Template, template_id)


def several(session: orm.Session, template_ids: Collection[str]) -> Sequence[Template]:
    """Return some templates."""
    return session.scalars(sa.select(Template).where(Template.id.in_(template_ids))).all()


def lock(session: orm.Session, template_id: str) -> Template | None:
    """Return a template, locked against change, as it is now; or None.

    To be locked after hosts and pins: that is the order of all who lock them.
    """
    query = sa.select(Template).where(Template.id == template_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def find(session: orm.Session, reference: Reference, project_id: str | None) -> Template | None:
    """Return the template that the instances of a project get under a name, or by id.

    The project's own come first, then those that are shared.
    """
    usable = sa.or_(Template.project_id == project_id, Template.shared.is_(True))
    named = Template.name == reference.name if reference.id is None else Template.id == reference.id
    own_first = sa.case((Template.project_id == project_id, 0), else_=1)
    query = sa.select(Template).where(named, usable).order_by(own_first, Template.id)
    return session.scalars(query.limit(1)).first()


def namesakes(session: orm.Session, template: Template) -> bool:
    """Whether a name is taken: in the project or, for a shared one, among those shared."""
    same = Template.project_id == template.project_id
    if template.shared:
        same = sa.or_(same, Template.shared.is_(True))
    query = sa.select(Template.id).where(
        Template.name == template.name, same, Template.id != template.id
    )
    return session.scalar(query.limit(1)) is not None


def content(
    session: orm.Session, template_id: str, version: int, lock: bool = False
) -> dict[str, Any] | None:
    """Return what a version of a template says; None if there is none.

    :param lock: see also what was committed since the transaction began
    """
    query = sa.select(TemplateVersion.content).where(
        TemplateVersion.template_id == template_id, TemplateVersion.version == version
    )
    found: dict[str, Any] | None = session.scalar(
        query.with_for_update(read=True) if lock else query
    )
    return found


def count(session: orm.Session, project_id: str) -> int:
    """Return how many templates a project has."""
    query = sa.select(sa.func.count()).where(Template.project_id == project_id)
    return session.scalar(query) or 0


def versions(session: orm.Session, template_id: str, most: int) -> Sequence[TemplateVersion]:
    """Return the newest ``most`` versions of a template, oldest first."""
    query = sa.select(TemplateVersion).where(TemplateVersion.template_id == template_id)
    return session.scalars(query.order_by(TemplateVersion.version.desc()).limit(most)).all()[::-1]


def version(session: orm.Session, template_id: str, number: int) -> TemplateVersion | None:
    """Return a version of a template, or None."""
    return session.get(TemplateVersion, (template_id, number))


def newest(session: orm.Session, template_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what the newest versions of some templates say: ``{id: content}``."""
    query = sa.select(Template.id, TemplateVersion.content).where(
        Template.id.in_(template_ids),
        TemplateVersion.template_id == Template.id,
        TemplateVersion.version == Template.version,
    )
    return {row.id: row.content for row in session.execute(query)}


def names(session: orm.Session, template_ids: Collection[str]) -> dict[str, str]:
    """Return the names of some templates: ``{id: name}``."""
    query = sa.select(Template.id, Template.name).where(Template.id.in_(template_ids))
    return {row.id: row.name for row in session.execute(query)}


def is_followed(session: orm.Session, template: Template, by_others: bool = False) -> bool:
    """Whether a pin follows a template (``by_others``: one of another project)."""
    where = Pin.template_id == template.id
    if by_others:
        where &= Pin.project_id.is_distinct_from(template.project_id)
    return session.scalar(sa.select(Pin.instance_uuid).where(where).limit(1)) is not None


def drop(session: orm.Session, template: Template) -> None:
    """Delete a template with its versions."""
    session.execute(
        sa.delete(TemplateVersion).where(TemplateVersion.template_id == template.id),
        execution_options={"synchronize_session": False},
    )
    session.delete(template)
