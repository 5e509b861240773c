# SPDX-License-Identifier: Apache-2.0
"""Templates come, change and go."""

from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils
from sqlalchemy import orm

from kongming import exception, objects
from kongming.conductor import rollouts, trial
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import calendars, engine, models
from kongming.db import rollouts as db_rollouts
from kongming.db import templates as db_templates
from kongming.db.quotas import UNLIMITED

LOG = logging.getLogger(__name__)


@retried
def create(context: RequestContext, template: objects.Template) -> objects.Template:
    """Store a new template; see `ConductorAPI.create_template`."""
    with engine.writer() as session:
        _insist_on_room(session, template.project_id)
        row = models.Template(
            id=uuidutils.generate_uuid(),
            name=template.name,
            project_id=template.project_id,
            user_id=template.user_id,
            shared=template.shared,
            version=1,
            current=1,
            created_at=timeutils.utcnow(),
        )
        _insist_on_name(session, row)
        session.add(row)
        _add_version(context, session, row, template.content)
        return shown(row, template.content)


@retried
def update(
    context: RequestContext,
    template_id: str,
    content: dict[str, Any],
    shared: bool | None,
    version: int | None,
    batch_size: int,
    across: bool = True,
) -> objects.Template:
    """Give a template a new version; see `ConductorAPI.update_template`."""
    with trial.everything_that_follows(template_id) as followed:
        session, row, rollout_id = followed.session, followed.template, None
        rollouts.insist_on_own(row, across)
        if version is not None and version != row.version:
            raise exception.StaleTemplate(given=version, newest=row.version)
        if shared is not None and shared != row.shared:
            _share(session, row, shared)
        ahead = db_rollouts.unfinished(session, row.id)
        new = content != db_templates.content(session, row.id, row.version)
        # what says the same as a version that went back is to be tried once more
        if new or rollouts.heads_for(row, ahead) != row.version:
            trial.insist(followed, content, batch_size)
            if new:
                row.version += 1
                _add_version(context, session, row, content)
            if followed.pins or ahead:
                rollout_id = rollouts.enqueue(context, followed, row.version, batch_size).id
            else:
                row.current = row.version
        row.updated_at = timeutils.utcnow()
        return shown(row, content, rollout_id)


@retried
def delete(context: RequestContext, template_id: str, across: bool = True) -> None:
    """Delete a template that no pin follows; see `ConductorAPI.delete_template`."""
    with engine.writer() as session:
        row = db_templates.lock(session, template_id)
        if row is None:
            raise exception.TemplateNotFound(template_id=template_id)
        rollouts.insist_on_own(row, across)
        if db_templates.is_followed(session, row):
            raise exception.TemplateInUse(name=row.name, whose="followed by pins")
        if db_rollouts.unfinished(session, row.id):
            raise exception.TemplateInUse(name=row.name, whose="being rolled out")
        if calendars.names_template(session, row):
            raise exception.TemplateInUse(name=row.name, whose="named by calendars")
        db_templates.drop(session, row)
        LOG.info("Template %s (%s) deleted by user %s", row.name, row.id, context.user_id)


def shown(
    row: models.Template, content: dict[str, Any], rollout_id: str | None = None
) -> objects.Template:
    """Return a template with the content of its newest version, and the rollout of that."""
    template: objects.Template = objects.Template.from_row(row)
    template.content, template.rollout_id = content, rollout_id
    return template


def _share(session: orm.Session, row: models.Template, shared: bool) -> None:
    if not shared and db_templates.is_followed(session, row, by_others=True):
        raise exception.TemplateInUse(name=row.name, whose="followed by pins of other projects")
    if not shared and calendars.names_template(session, row, by_others=True):
        raise exception.TemplateInUse(name=row.name, whose="named by calendars of other projects")
    row.shared = shared
    _insist_on_name(session, row)


def _insist_on_room(session: orm.Session, project_id: str) -> None:
    """Insist that a project may have one more; of several at once, more may slip through."""
    limit = cfg.CONF.quota.templates
    if limit != UNLIMITED and (used := db_templates.count(session, project_id)) >= limit:
        raise exception.QuotaExceeded(
            project_id=project_id, resource="templates", limit=limit, used=used, asked=1
        )


def _insist_on_name(session: orm.Session, row: models.Template) -> None:
    with session.no_autoflush:
        if db_templates.namesakes(session, row):
            raise exception.TemplateExists(name=row.name)


def _add_version(
    context: RequestContext, session: orm.Session, row: models.Template, content: dict[str, Any]
) -> None:
    session.add(
        models.TemplateVersion(
            template_id=row.id, version=row.version, content=content, user_id=context.user_id
        )
    )
    LOG.info(
        "Template %s (%s) has version %s by user %s",
        *(row.name, row.id, row.version, context.user_id),
    )
