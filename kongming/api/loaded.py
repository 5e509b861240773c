# SPDX-License-Identifier: Apache-2.0
"""The rows that a request is about, loaded and authorised."""

import uuid as uuidlib
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from kongming import exception, objects, policy
from kongming.api import body
from kongming.compute.nova import Nova
from kongming.context import RequestContext
from kongming.db import calendars, engine, instances, pins, rollouts, templates
from kongming.objects.base import KongMingObject
from kongming.policies import calendars as calendar_rules
from kongming.policies import instances as instance_rules
from kongming.policies import pins as pin_rules
from kongming.policies import rollouts as rollout_rules
from kongming.policies import templates as template_rules


def load_pin(context: RequestContext, rule: str, instance_uuid: str) -> objects.Pin:
    """Return the pin of an instance, if the caller may do ``rule`` to it.

    :raises PinNotFound: there is none, or the caller may not see it
    :raises Forbidden: the caller may see it, but not do that
    """
    missing = exception.PinNotFound(instance_uuid=instance_uuid[:64])
    pin: objects.Pin = _found(objects.Pin, pins.get, instance_uuid, missing)
    policy.authorize_owned(context, rule, pin_rules.GET, pin, hidden=missing)
    return pin


def load_instance(context: RequestContext, rule: str, uuid: str) -> objects.Instance:
    """Return an instance, if the caller may do ``rule`` to it.

    :raises InstanceNotFound: no host reports it, or the caller may not see it
    :raises Forbidden: the caller may see it, but not do that
    """
    missing = exception.InstanceNotFound(instance_uuid=uuid[:64])
    instance: objects.Instance = _found(objects.Instance, instances.get, uuid, missing)
    policy.authorize_owned(context, rule, instance_rules.GET, instance, hidden=missing)
    return instance


def load_calendar(context: RequestContext, rule: str, calendar_id: str) -> objects.Calendar:
    """Return a calendar, if the caller may do ``rule`` to it.

    :raises CalendarNotFound: there is none, or the caller may not see it
    :raises Forbidden: the caller may see it, but not do that
    """
    missing = exception.CalendarNotFound(calendar_id=calendar_id[:64])
    calendar: objects.Calendar = _found(objects.Calendar, calendars.get, calendar_id, missing)
    policy.authorize_owned(context, rule, calendar_rules.GET, calendar, hidden=missing)
    return calendar


def load_template(context: RequestContext, rule: str, template_id: str) -> objects.Template:
    """Return a template, if the caller may do ``rule`` to it.

    :raises TemplateNotFound: there is none, or the caller may not see it
    :raises Forbidden: the caller may see it, but not do that
    """
    missing = exception.TemplateNotFound(template_id=template_id[:64])
    template: objects.Template = _found(objects.Template, templates.get, template_id, missing)
    seen = template.shared and policy.allows(context, template_rules.GET_SHARED)
    if seen and rule == template_rules.GET:
        return template
    see = template_rules.GET_SHARED if seen else template_rules.GET
    policy.authorize_owned(context, rule, see, template, hidden=missing)
    return template


def templates_seen(context: RequestContext, template_ids: Collection[str]) -> dict[str, str]:
    """Return the names of those of some templates that the caller may see: ``{id: name}``."""
    if not template_ids:
        return {}
    with engine.reader() as session:
        rows = templates.several(session, template_ids)
    return {
        row.id: row.name
        for row in rows
        if (row.shared and policy.allows(context, template_rules.GET_SHARED))
        or policy.allows(context, template_rules.GET, row)
    }


def load_rollout(context: RequestContext, rule: str, rollout_id: str) -> objects.Rollout:
    """Return a rollout, if the caller may do ``rule`` to it.

    :raises RolloutNotFound: there is none, or the caller may not see it
    :raises Forbidden: the caller may see it, but not do that
    """
    missing = exception.RolloutNotFound(rollout_id=rollout_id[:64])
    rollout: objects.Rollout = _found(objects.Rollout, rollouts.get, rollout_id, missing)
    policy.authorize_owned(context, rule, rollout_rules.GET, rollout, hidden=missing)
    return rollout


def _found(
    kind: type[KongMingObject],
    get: Callable[[orm.Session, str], Any],
    key: str,
    missing: exception.NotFound,
) -> Any:
    with engine.reader() as session:
        row = get(session, canonical(key, missing))
        if row is None:
            raise missing
        return kind.from_row(row)


def future_owner(
    context: RequestContext, asked: Any, uuid: str, wait: bool, nova: Nova | None
) -> dict[str, str | None]:
    """Return project and user of a pin that is asked for: those of its instance, if it is known.

    :param asked: the body, whose ``project_id`` and ``user_id`` may be unset
    :param wait: accept an instance that no host reports yet
    :param nova: whom to ask for such an instance, unless the caller may act for every project
    :raises BadRequest: the caller may not name an owner
    :raises InstanceNotFound, Forbidden: as `load_instance`
    :raises NovaUnavailable: Nova was to be asked, and does not tell
    """
    owner = {"project_id": context.project_id, "user_id": context.user_id}
    for_others = policy.allows(context, pin_rules.CREATE_FOR_OTHERS)
    for name in owner:
        if body.has(asked, name):
            if not for_others:
                raise exception.BadRequest.field(name, "only admins and services may set it")
            owner[name] = getattr(asked, name)
    try:
        instance = load_instance(context, pin_rules.CREATE, uuid)
    except exception.InstanceNotFound:
        if not wait:
            raise
        if not (for_others or nova is None):
            # also for one that is known: who is not to see it must not see that Nova is not asked
            owner = _own_server(context, uuid, nova)
        with engine.reader() as session:
            if instances.get(session, uuid) is not None:
                raise
        return owner
    return {name: getattr(instance, name) or value for name, value in owner.items()}


def _own_server(context: RequestContext, uuid: str, nova: Nova) -> dict[str, str | None]:
    """Return project and user of a server that the caller may pin.

    :raises InstanceNotFound: there is none, or the caller may not see it
    :raises Forbidden: the caller may see it, but not pin it
    """
    server = nova.server(uuid)
    missing = exception.InstanceNotFound(instance_uuid=uuid)
    policy.authorize_owned(context, pin_rules.CREATE, instance_rules.GET, server, hidden=missing)
    return {"project_id": server.project_id, "user_id": server.user_id}


def create_pin(request: Any, pin: objects.Pin, wait: bool, **target: Any) -> objects.Pin:
    """Have a pin made; see `ConductorAPI.create_pin`.

    :raises PinExists: there is one, which the caller may see
    :raises InstanceNotFound: there is one of somebody else, who waits for an instance to come
    """
    try:
        stored: objects.Pin = request.conductor.create_pin(request.context, pin, wait, **target)
    except exception.PinExists:
        try:
            load_pin(request.context, pin_rules.GET, pin.instance_uuid)
        except exception.PinNotFound as error:
            raise exception.InstanceNotFound(instance_uuid=pin.instance_uuid) from error
        raise
    return stored


def visible(
    context: RequestContext, see: str, rule: str, project_id: orm.InstrumentedAttribute[Any]
) -> sa.ColumnElement[bool]:
    """Return the condition for rows that the caller may see in a list.

    :param see: the rule for seeing one
    :param rule: the rule for seeing those of every project
    :raises Forbidden: the caller may see none, not even of the own project
    """
    if policy.allows(context, rule):
        return sa.true()
    # the context has the project that the caller's own rows have
    if context.project_id is None or not policy.allows(context, see, context):
        raise exception.Forbidden(rule=see)
    return project_id == context.project_id


def canonical(text: str, otherwise: Exception) -> str:
    """Return a UUID in its one form, lower case with dashes.

    :raises Exception: ``otherwise``, if it is not written that way (in either case)
    """
    try:
        uuid = str(uuidlib.UUID(text))
    except ValueError:
        raise otherwise from None
    if uuid != text.lower():
        raise otherwise
    return uuid
