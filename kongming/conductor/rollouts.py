# SPDX-License-Identifier: Apache-2.0
"""Rollouts are asked for, and called off."""

from collections.abc import Sequence

from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils

from kongming import exception, objects
from kongming.conductor import history, trial
from kongming.conductor.retry import retried
from kongming.context import RequestContext
from kongming.db import engine, models, templates
from kongming.db import rollouts as db_rollouts
from kongming.objects.template import QUEUED, RETURNED, RETURNING, RUNNING
from kongming.policies import templates as rules

LOG = logging.getLogger(__name__)


def insist_on_own(template: models.Template | None, across: bool) -> None:
    """Insist that a template, which is locked, is of its project alone.

    :param across: the caller may also change one that is shared
    :raises Forbidden: it may not, and somebody has shared it since it was looked at
    """
    if template is not None and template.shared and not across:
        raise exception.Forbidden(rule=rules.SHARE)


@retried
def create(
    context: RequestContext, template_id: str, version: int, batch_size: int, across: bool = True
) -> objects.Rollout:
    """Let those who follow a template have a version; see `ConductorAPI.create_rollout`."""
    with trial.everything_that_follows(template_id) as followed:
        row = followed.template
        insist_on_own(row, across)
        content = templates.content(followed.session, row.id, version, lock=True)
        if content is None:
            raise exception.TemplateVersionNotFound(template_id=row.id, version=version)
        trial.insist(followed, content, batch_size)
        return shown(enqueue(context, followed, version, batch_size))


def heads_for(template: models.Template, ahead: Sequence[models.Rollout]) -> int:
    """Return the version that a template comes to if no rollout of those ahead goes back."""
    going = [rollout.version for rollout in ahead if rollout.state != RETURNING]
    return going[-1] if going else template.current


def enqueue(
    context: RequestContext, followed: trial.Followed, version: int, batch_size: int
) -> models.Rollout:
    """Add a rollout to those of a template that is locked."""
    session, template = followed.session, followed.template
    rollout = models.Rollout(
        id=uuidutils.generate_uuid(),
        template_id=template.id,
        template_name=template.name,
        number=db_rollouts.last_number(session, template.id) + 1,
        project_id=template.project_id,
        user_id=context.user_id,
        request_id=context.request_id,
        version=version,
        batch_size=batch_size,
        state=QUEUED,
        total=len(followed.pins),
        done=0,
        touched=[],
        created_at=timeutils.utcnow(),
    )
    session.add(rollout)
    _log(rollout)
    return rollout


@retried
def cancel(context: RequestContext, rollout_id: str, across: bool = True) -> objects.Rollout:
    """Let a rollout go back; see `ConductorAPI.cancel_rollout`."""
    with engine.writer() as session:
        known = db_rollouts.get(session, rollout_id)
        template = None if known is None else templates.lock(session, known.template_id)
        rollout = db_rollouts.lock(session, rollout_id)
        if rollout is None:
            raise exception.RolloutNotFound(rollout_id=rollout_id)
        insist_on_own(template, across)
        if rollout.state == QUEUED:
            enter(rollout, RETURNED, f"called off by user {context.user_id} before it began")
        elif rollout.state == RUNNING:
            enter(rollout, RETURNING, f"called off by user {context.user_id}")
        elif rollout.state != RETURNING:
            raise exception.RolloutIsOver(rollout_id=rollout_id, state=rollout.state)
        return shown(rollout)


def enter(rollout: models.Rollout, state: str, reason: str | None) -> None:
    """Bring a rollout, which is locked, into another state for some reason."""
    rollout.state, rollout.reason = state, history.short(reason)
    rollout.updated_at = timeutils.utcnow()
    _log(rollout)


def _log(rollout: models.Rollout) -> None:
    LOG.info(
        "Rollout %s of version %s of template %s (%s) is %s: %s of %s pins, reason: %s",
        *(rollout.id, rollout.version, rollout.template_name, rollout.template_id, rollout.state),
        *(rollout.done, rollout.total, rollout.reason),
    )


def shown(rollout: models.Rollout) -> objects.Rollout:
    """Return a rollout as it is told."""
    found: objects.Rollout = objects.Rollout.from_row(rollout)
    return found
