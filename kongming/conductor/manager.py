# SPDX-License-Identifier: Apache-2.0
"""The conductor: the only writer to the database."""

from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging

from kongming import clock, exception, objects, rpc
from kongming.agent.rpcapi import AgentAPI
from kongming.compute import notifications
from kongming.compute.notifications import Listener
from kongming.conductor import (
    arguments,
    calendars,
    notices,
    pins,
    quotas,
    reports,
    reservations,
    rollouts,
    templates,
)
from kongming.conductor.expiry import Expiry
from kongming.conductor.follower import Follower
from kongming.conductor.reservations import Target
from kongming.conductor.roller import Roller
from kongming.conductor.timekeeper import Timekeeper
from kongming.context import RequestContext
from kongming.db import engine
from kongming.db import pins as db_pins
from kongming.db import reservations as db_reservations
from kongming.objects.asked import Asked
from kongming.topology.answer import Size

LOG = logging.getLogger(__name__)

#: Refusals are answers, not failures of the conductor: no trace in its log.
_answers = oslo_messaging.expected_exceptions(
    *exception.NOT_GRANTED,
    exception.CalendarCollides,
    exception.CalendarNotFound,
    exception.Forbidden,
    exception.InstanceNotFound,
    exception.MetadataNotFollowed,
    exception.MoveNotFound,
    exception.PinNotFound,
    exception.PinExists,
    exception.RolloutIsOver,
    exception.RolloutNotFound,
    exception.StaleCalendar,
    exception.StaleGeneration,
    exception.StaleTemplate,
    exception.TemplateExists,
    exception.TemplateInUse,
    exception.TemplateNotFound,
    exception.TemplateVersionNotFound,
)


def _exposed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method be called over RPC, with arguments that make sense."""
    exposed: Callable[..., Any] = oslo_messaging.expose(_answers(arguments.checked(method)))
    return exposed


class ConductorManager:
    """RPC endpoint; see `kongming.conductor.rpcapi.ConductorAPI` for its methods.

    Each gets its arguments as `kongming.conductor.arguments` lets them through.
    """

    target = oslo_messaging.Target(version="1.6")

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._transport = rpc.transport(conf)
        self._agents = AgentAPI(self._transport)
        self._server = rpc.server(self._transport, rpc.CONDUCTOR_TOPIC, conf.host, self)
        self._conf = conf
        self._waiting_pin_ttl = conf.conductor.waiting_pin_ttl
        self._expiry = Expiry(self._tell)
        self._roller = Roller(self._tell)
        self._timekeeper = Timekeeper(self._tell, clock.now)
        self._listener: Listener | None = None
        if listened := notifications.handlers(conf):
            follower = Follower(conf, self._tell)
            # one pool: whichever conductor takes an event, the others do not
            self._listener = Listener(conf, listened, "kongming-conductor", follower.take)

    def start(self) -> None:
        """Begin to answer calls."""
        notices.start(self._conf)
        self._expiry.start()
        self._roller.start()
        self._timekeeper.start()
        if self._listener is not None:
            self._listener.start()
        # waits for the broker, if that is away; all else goes on meanwhile
        if self._server.start():
            LOG.info("Conductor is ready")

    def stop(self) -> None:
        """Finish the calls under way and leave the broker."""
        if self._listener is not None:
            self._listener.stop()
        self._server.stop()
        self._expiry.stop()
        self._roller.stop()
        self._timekeeper.stop()
        notices.stop()
        rpc.disconnect(self._transport)
        engine.dispose()

    @_exposed
    def ping(self, context: RequestContext) -> None:
        """Answer."""

    @_exposed
    def create_pin(
        self,
        context: RequestContext,
        pin: objects.Pin,
        wait: bool,
        host: str | None = None,
        size: Size | None = None,
    ) -> objects.Pin:
        """Store a new pin and set the agents that it concerns to work."""
        target = None if host is None or size is None else self._target(host, size)
        stored = pins.create(context, pin, wait, target)
        for concerned in {stored.host, host}:
            self._tell(context, concerned)
        return stored

    @_exposed
    def reserve(
        self,
        context: RequestContext,
        instance_uuid: str,
        host: str,
        size: Size,
        project_id: str | None = None,
    ) -> objects.Pin:
        """Keep room for an instance on the host where it is expected."""
        target = self._target(host, size)
        pin = reservations.reserve(context, instance_uuid, target, project_id)
        self._tell(context, host)
        return pin

    @_exposed
    def update_pin(
        self,
        context: RequestContext,
        instance_uuid: str,
        wish: Mapping[str, Any],
        generation: int | None,
        template_id: str | None = None,
        role: str | None = None,
        project_id: str | None = None,
    ) -> objects.Pin:
        """Replace what a pin asks for and set its agent to work."""
        asked = Asked(wish, template_id, role)
        stored = pins.update(context, instance_uuid, asked, generation, project_id=project_id)
        self._tell(context, stored.host)
        return stored

    @_exposed
    def delete_pin(
        self, context: RequestContext, instance_uuid: str, project_id: str | None = None
    ) -> None:
        """Delete a pin and set its agent to work."""
        self._tell(context, pins.delete(context, instance_uuid, project_id=project_id))

    @_exposed
    def cancel_move(
        self, context: RequestContext, instance_uuid: str, project_id: str | None = None
    ) -> objects.Pin:
        """Call off a move of memory and tell the agent that is at it."""
        pin = pins.cancel_move(context, instance_uuid, project_id)
        self._tell(context, pin.host)
        return pin

    @_exposed
    def set_quota(
        self, context: RequestContext, project_id: str, limits: Mapping[str, int]
    ) -> None:
        """Set the limits of a project."""
        quotas.set_limits(context, project_id, limits)

    @_exposed
    def create_template(
        self, context: RequestContext, template: objects.Template
    ) -> objects.Template:
        """Store a new template."""
        return templates.create(context, template)

    @_exposed
    def update_template(
        self,
        context: RequestContext,
        template_id: str,
        content: dict[str, Any],
        shared: bool | None,
        base_version: int | None,
        batch_size: int,
        across: bool = True,
    ) -> objects.Template:
        """Give a template a new version."""
        stored = templates.update(
            context, template_id, content, shared, base_version, batch_size, across
        )
        self._roller.wake()
        return stored

    @_exposed
    def delete_template(
        self, context: RequestContext, template_id: str, across: bool = True
    ) -> None:
        """Delete a template."""
        templates.delete(context, template_id, across)

    @_exposed
    def create_rollout(
        self,
        context: RequestContext,
        template_id: str,
        to_version: int,
        batch_size: int,
        across: bool = True,
    ) -> objects.Rollout:
        """Let those who follow a template have some version of it."""
        rollout = rollouts.create(context, template_id, to_version, batch_size, across)
        self._roller.wake()
        return rollout

    @_exposed
    def cancel_rollout(
        self, context: RequestContext, rollout_id: str, across: bool = True
    ) -> objects.Rollout:
        """Let a rollout go back."""
        rollout = rollouts.cancel(context, rollout_id, across)
        self._roller.wake()
        return rollout

    @_exposed
    def create_calendar(
        self, context: RequestContext, calendar: objects.Calendar
    ) -> objects.Calendar:
        """Store a new calendar."""
        self._insist_on_metadata(calendar)
        stored = calendars.create(context, calendar, clock.now())
        self._timekeeper.wake()
        return stored

    @_exposed
    def update_calendar(
        self,
        context: RequestContext,
        calendar_id: str,
        calendar: objects.Calendar,
        generation: int | None,
        across: bool = True,
    ) -> objects.Calendar:
        """Replace what a calendar says."""
        self._insist_on_metadata(calendar)
        stored = calendars.update(context, calendar_id, calendar, generation, clock.now(), across)
        self._timekeeper.wake()
        return stored

    @_exposed
    def delete_calendar(
        self, context: RequestContext, calendar_id: str, across: bool = True
    ) -> None:
        """Delete a calendar."""
        calendars.delete(context, calendar_id, across)
        self._timekeeper.wake()

    @_exposed
    def report(self, context: RequestContext, report: objects.Report) -> dict[str, object]:
        """Take in what an agent tells."""
        answer = reports.take_in(context, report)
        if answer.placements_changed:
            self._tell(context, report.host)
        if report.outcomes:
            self._roller.wake()
        return {"sequence": answer.sequence, "full_needed": answer.full_needed}

    @_exposed
    def placements(self, context: RequestContext, host: str) -> list[objects.Pin]:
        """Tell an agent what to do."""
        with engine.reader() as session:
            here = [objects.Pin.from_row(row) for row in db_pins.for_agent(session, host)]
            for row, reserved in db_reservations.for_agent(session, host):
                coming = objects.Pin.from_row(row)
                coming.host, coming.placement = host, reserved.placement
                coming.arrival += 1
                coming.cancelled = False
                here.append(coming)
            return here

    def _insist_on_metadata(self, calendar: objects.Calendar) -> None:
        if calendar.metadata_key is not None and self._listener is None:
            raise exception.MetadataNotFollowed

    def _target(self, host: str, size: Size) -> Target:
        return Target(host, size, self._waiting_pin_ttl)

    def _tell(self, context: RequestContext, host: str | None) -> None:
        if host is None:
            return
        try:
            self._agents.placements_changed(context, host)
        except oslo_messaging.MessagingException:
            # the pin is stored: the agent fetches it with its next full report
            LOG.warning("Could not tell the agent of host %s of its new placements", host)
