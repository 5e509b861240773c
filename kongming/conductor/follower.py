# SPDX-License-Identifier: Apache-2.0
"""Pins follow what Nova tells of their servers."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from kongming import exception, objects
from kongming.compute import hint
from kongming.compute.events import News, What
from kongming.compute.metadata import fields_in, fields_of
from kongming.compute.nova import Nova, Server
from kongming.conductor import metadata, pins, reservations, wishes
from kongming.context import RequestContext
from kongming.db import engine, instances, models
from kongming.db import pins as db_pins
from kongming.objects.asked import Asked
from kongming.policies import base
from kongming.topology.allowed import Bounds, beyond
from kongming.topology.wish import Wish, WishError

LOG = logging.getLogger(__name__)

#: Somebody else changed the pin since it was looked at, and that is as new as this event.
_OVERTAKEN = (exception.PinExists, exception.PinNotFound, exception.StaleGeneration)


class Follower:
    """Carries out news; any thread may use it.

    :param tell: is called with a context and the name of a host whose agent must hear of it
    """

    def __init__(
        self, conf: cfg.ConfigOpts, tell: Callable[[RequestContext, str | None], None]
    ) -> None:
        self._key = conf.agent.agent_trigger_metadata_key
        self._exact_projects = set(conf.notifications.exact_projects)
        self._most = Bounds(conf.quota.highest_weight, conf.quota.highest_quota_percent)
        self._nova = Nova.from_conf(conf)
        self._tell = tell
        # what was last logged of a server: its events are many
        self._said: dict[str, str] = {}

    def take(self, context: RequestContext, news: News) -> None:
        """Bring the pin of a server to what the news say."""
        try:
            if news.what == What.DELETED:
                self._said.pop(news.uuid, None)
                metadata.note(news.uuid, {})
                self._tell(context, pins.delete(context, news.uuid))
            elif news.what == What.NOT_BUILT:
                self._tell(context, reservations.give_up(context, news.uuid))
            else:
                self._follow(context, news)
        except _OVERTAKEN as error:
            LOG.debug("Server %s: nothing to do: %s", news.uuid, error)

    def _follow(self, context: RequestContext, news: News) -> None:
        told = news.metadata
        if told is None:
            try:
                told = self._server(news.uuid).metadata
            except exception.InstanceNotFound:
                return
        metadata.note(news.uuid, told)
        text, pin = told.get(self._key), _pin(news.uuid)
        try:
            self._heed(context, news, text, pin)
        except exception.StaleGeneration:
            now = _pin(news.uuid)
            if pin is None or now is None or _asked_of(now) != _asked_of(pin):
                raise
            # a rollout or its host was at the pin: neither knows what its server asks for by now
            self._heed(context, news, text, now)

    def _heed(
        self, context: RequestContext, news: News, text: str | None, pin: models.Pin | None
    ) -> None:
        """Bring a pin to what its server asks for, unless it has changed since it was read."""
        if pin is not None and pin.origin != models.METADATA:
            if text is not None:
                self._say(news.uuid, f"{self._key} is ignored: the pin was made otherwise")
        elif text is None:
            if pin is not None:
                self._tell(context, pins.delete(context, news.uuid, pin.generation))
            elif news.built and self._nova is not None:
                self._heed_hint(context, news)
        else:
            self._obey(context, news, text, pin)

    def _server(self, uuid: str) -> Server:
        # notifications.handlers() insists on it
        assert self._nova is not None  # nosec B101 # for mypy
        return self._nova.server(uuid)

    def _heed_hint(self, context: RequestContext, news: News) -> None:
        """Make the pin that the scheduler's filter makes where Nova asks it."""
        try:
            value = self._server(news.uuid).scheduler_hints.get(hint.NAME)
        except exception.InstanceNotFound:
            return
        if value is None:
            return
        try:
            asked = self._hinted(value, news.project_id)
            self._insist(asked, news.project_id)
            self._tell(context, self._create(context, news, asked, models.HINT).host)
        except (hint.HintError, WishError, *exception.NOT_GRANTED) as error:
            self._say(news.uuid, str(error))

    def _hinted(self, value: Any, project_id: str | None) -> Asked:
        wanted = hint.parse(value)
        if isinstance(wanted, hint.PinOf):
            with engine.reader() as session:
                model = db_pins.get(session, wanted.instance_uuid)
                if model is None or model.project_id != project_id:
                    raise hint.HintError(f"instance {wanted.instance_uuid} has no pin")
                wish = wishes.under(session, model, {})
            # what an operator allowed one instance is not for all that are made like it
            return Asked(dataclasses.replace(wish, override=False).to_dict())
        try:
            return _checked(fields_in(wanted), project_id)
        except WishError as error:
            raise hint.HintError(str(error)) from error

    def _obey(self, context: RequestContext, news: News, text: str, pin: models.Pin | None) -> None:
        try:
            asked = _checked(fields_of(text), news.project_id)
            self._insist(asked, news.project_id)
            if pin is None or not _asks_for(pin, asked):
                self._tell(context, self._store(context, news, asked, pin).host)
            self._said.pop(news.uuid, None)
        except (WishError, *exception.NOT_GRANTED) as error:
            reason = f"{self._key}: {error}"
            self._say(news.uuid, reason)
            pins.refuse(context, news.uuid, reason)

    def _insist(self, asked: Asked, project_id: str | None) -> None:
        """Insist that members of a project may ask for everything that they ask for themselves.

        :raises WishError: they may not
        """
        wish = asked.own()
        if wish.neighbours:
            with engine.reader() as session:
                own = instances.owned(session, wish.neighbours, project_id)
            for uuid in wish.neighbours:
                if uuid not in own:
                    field = "near" if uuid == wish.near else "avoid"
                    raise WishError(field, f"instance {uuid} is not known")
        if not self._exact_projects.isdisjoint(("*", project_id)):
            return
        for field in wish.named_places:
            raise WishError(field, f"policy does not allow {base.NAME_PLACES} in metadata or hints")
        for field, reason in beyond(wish.qos, self._most):
            raise WishError(field, reason)

    def _store(
        self, context: RequestContext, news: News, asked: Asked, pin: models.Pin | None
    ) -> objects.Pin:
        if pin is not None:
            return pins.update(context, news.uuid, asked, pin.generation, models.METADATA)
        return self._create(context, news, asked, models.METADATA)

    def _create(
        self, context: RequestContext, news: News, asked: Asked, origin: str
    ) -> objects.Pin:
        new = objects.Pin(
            instance_uuid=news.uuid,
            project_id=news.project_id,
            user_id=news.user_id,
            asked=asked.fields,
            template_id=asked.template_id,
            template_role=asked.role,
        )
        return pins.create(context, new, wait=True, origin=origin)

    def _say(self, uuid: str, text: str) -> None:
        if self._said.get(uuid) != text:
            self._said[uuid] = text
            LOG.warning("Instance %s: %s", uuid, text)


def _checked(fields: Mapping[str, Any], project_id: str | None) -> Asked:
    """Return what fields ask for an instance of a project.

    :raises WishError: they come to no wish
    """
    with engine.reader() as session:
        asked = wishes.asked_for(session, fields, project_id)
        wishes.wish_of(session, asked)
    return asked


def _pin(uuid: str) -> models.Pin | None:
    with engine.reader() as session:
        return db_pins.get(session, uuid)


def _asked_of(pin: models.Pin) -> tuple[Any, ...]:
    """Return what a pin asks for, and on whose behalf."""
    return pin.origin, pin.asked, pin.template_id, pin.template_role


def _asks_for(pin: models.Pin, asked: Asked) -> bool:
    """Whether a pin asks for just that, in whatever words."""
    if (pin.template_id, pin.template_role) != (asked.template_id, asked.role):
        return False
    if pin.template_id is not None:
        return pin.asked == asked.fields
    return Wish.from_dict(pin.asked) == Wish.from_dict(asked.fields)
