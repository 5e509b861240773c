# SPDX-License-Identifier: Apache-2.0
"""How API and agents call a conductor."""

import dataclasses
import threading
import time
from collections.abc import Mapping
from typing import Any

import oslo_messaging
from oslo_log import log as logging

from kongming import exception, objects, rpc
from kongming.context import RequestContext, service_context
from kongming.objects.asked import Asked
from kongming.topology.fit import Size

LOG = logging.getLogger(__name__)

#: Seconds that a call waits until the broker was reached for the first time.
_PATIENCE = 3.0

_VERSION = "1.6"
_NO_BROKER = "The message broker cannot be reached yet."


class ConductorAPI:
    """Client side of `kongming.conductor.manager.ConductorManager`.

    History:

    - 1.0 ping, create_pin, update_pin, delete_pin, report, placements
    - 1.1 reserve; create_pin takes host and size
    - 1.2 cancel_move
    - 1.3 create_template, update_template, delete_template, create_rollout, cancel_rollout;
      pins follow templates: create_pin takes asked and template_id with the pin, update_pin takes
      template_id and role
    - 1.4 create_calendar, update_calendar, delete_calendar
    - 1.5 update_pin, delete_pin, cancel_move and reserve take project_id; set_quota
    - 1.6 update_template, delete_template, create_rollout, cancel_rollout, update_calendar and
      delete_calendar take across

    Every call raises ControlPlaneUnavailable when the broker is away, or no conductor
    answers in ``[DEFAULT] rpc_response_timeout`` seconds. Where a call takes the ``project_id`` of
    the pin that the caller was allowed to change, there is no pin unless it is still of that
    project. Where it takes ``across``, whether the caller may also change what reaches several
    projects, it raises Forbidden if that is so by now, and the caller may not.
    """

    def __init__(self, connection: oslo_messaging.Transport) -> None:
        self._client = rpc.client(connection, rpc.CONDUCTOR_TOPIC, _VERSION)
        self._timeout = connection.conf.rpc_response_timeout
        self._reachable = threading.Event()
        threading.Thread(target=self._reach, name="conductor-api", daemon=True).start()

    def ping(self, context: RequestContext, seconds: float) -> None:
        """Insist that a conductor which knows all of these calls answers in some seconds.

        :raises ControlPlaneUnavailable: none does; the message says why
        """
        if not self._reachable.wait(_PATIENCE):
            raise exception.ControlPlaneUnavailable(_NO_BROKER)
        try:
            with rpc.delivery():
                self._client.prepare(version=_VERSION, timeout=seconds).call(context, "ping")
        except oslo_messaging.MessagingTimeout as error:
            reason = f"No conductor answers within {seconds:g} s."
            raise exception.ControlPlaneUnavailable(reason) from error
        except oslo_messaging.RemoteError as error:
            if error.exc_type != "UnsupportedVersion":
                raise
            reason = "A conductor answers that is older than this program."
            raise exception.ControlPlaneUnavailable(reason) from error
        except oslo_messaging.MessageDeliveryFailure as error:
            raise exception.ControlPlaneUnavailable(_NO_BROKER) from error

    def create_pin(
        self,
        context: RequestContext,
        pin: objects.Pin,
        wait: bool,
        host: str | None = None,
        size: Size | None = None,
    ) -> objects.Pin:
        """Store a new pin (instance_uuid, project_id and user_id must be set).

        What it asks for is ``wish`` or, if it follows a template, ``asked``, ``template_id`` and
        ``template_role``.

        :param wait: accept an instance that no host reports yet
        :param host: reserve there, for an instance of ``size``; see `reserve`
        :raises InstanceNotFound, BadRequest, PinExists, CpuAlreadyClaimed, DoesNotFit:
        """
        return self._call(
            context,
            "create_pin",
            version="1.3",
            pin=pin,
            wait=wait,
            host=host,
            size=None if size is None else dataclasses.asdict(size),
        )

    def reserve(
        self,
        context: RequestContext,
        instance_uuid: str,
        project_id: str | None,
        host: str,
        size: Size,
    ) -> objects.Pin:
        """Keep what the pin of an instance needs on a host where the instance is expected.

        It is kept for ``[conductor] waiting_pin_ttl`` seconds, in place of what was kept for
        the instance before. Where the instance is already, there is nothing to keep.

        :raises PinNotFound, BadRequest, CpuAlreadyClaimed, DoesNotFit:
        """
        return self._call(
            context,
            "reserve",
            version="1.5",
            instance_uuid=instance_uuid,
            project_id=project_id,
            host=host,
            size=dataclasses.asdict(size),
        )

    def update_pin(
        self,
        context: RequestContext,
        instance_uuid: str,
        project_id: str | None,
        asked: Asked,
        generation: int | None,
    ) -> objects.Pin:
        """Replace what a pin asks for; with ``generation``, only if that is the present one.

        :raises PinNotFound, BadRequest, StaleGeneration, CpuAlreadyClaimed:
        """
        return self._call(
            context,
            "update_pin",
            version="1.5",
            instance_uuid=instance_uuid,
            project_id=project_id,
            wish=dict(asked.fields),
            generation=generation,
            template_id=asked.template_id,
            role=asked.role,
        )

    def delete_pin(
        self, context: RequestContext, instance_uuid: str, project_id: str | None
    ) -> None:
        """Delete a pin; its claims end when its host has released the instance.

        :raises PinNotFound:
        """
        self._call(
            context,
            "delete_pin",
            version="1.5",
            instance_uuid=instance_uuid,
            project_id=project_id,
        )

    def cancel_move(
        self, context: RequestContext, instance_uuid: str, project_id: str | None
    ) -> objects.Pin:
        """Call off a move of an instance's memory: its host brings everything back.

        The pin fails for that reason then, unless the move had ended before its host heard.

        :raises PinNotFound, MoveNotFound: there is nothing to call off
        """
        return self._call(
            context,
            "cancel_move",
            version="1.5",
            instance_uuid=instance_uuid,
            project_id=project_id,
        )

    def set_quota(
        self, context: RequestContext, project_id: str, limits: Mapping[str, int]
    ) -> None:
        """Set the limits of a project; those that are not named are the default ones."""
        self._call(context, "set_quota", version="1.5", project_id=project_id, limits=limits)

    def create_template(
        self, context: RequestContext, template: objects.Template
    ) -> objects.Template:
        """Store a new template (name, project_id, user_id, shared and content must be set).

        :raises TemplateExists:
        :raises QuotaExceeded: the project has as many as it may have
        """
        return self._call(context, "create_template", version="1.3", template=template)

    def update_template(
        self,
        context: RequestContext,
        template_id: str,
        content: dict[str, Any],
        shared: bool | None,
        version: int | None,
        batch_size: int,
        across: bool,
    ) -> objects.Template:
        """Give a template a new version, unless that says what the newest does.

        Those who follow it get it in a rollout, ``batch_size`` at a time.

        :param shared: None: as it is
        :param version: only if that is the newest version
        :raises TemplateNotFound, StaleTemplate, TemplateExists, TemplateInUse:
        :raises BadRequest, DoesNotFit: naming each instance for which it would not do
        """
        return self._call(
            context,
            "update_template",
            version="1.6",
            template_id=template_id,
            content=content,
            shared=shared,
            base_version=version,
            batch_size=batch_size,
            across=across,
        )

    def delete_template(self, context: RequestContext, template_id: str, across: bool) -> None:
        """Delete a template with all its versions.

        :raises TemplateNotFound, TemplateInUse:
        """
        self._call(
            context, "delete_template", version="1.6", template_id=template_id, across=across
        )

    def create_rollout(
        self,
        context: RequestContext,
        template_id: str,
        version: int,
        batch_size: int,
        across: bool,
    ) -> objects.Rollout:
        """Let those who follow a template have some version of it, ``batch_size`` at a time.

        :raises TemplateNotFound, TemplateVersionNotFound:
        :raises BadRequest, DoesNotFit: naming each instance for which it would not do
        """
        return self._call(
            context,
            "create_rollout",
            version="1.6",
            template_id=template_id,
            to_version=version,
            batch_size=batch_size,
            across=across,
        )

    def cancel_rollout(
        self, context: RequestContext, rollout_id: str, across: bool
    ) -> objects.Rollout:
        """Let those who were given the version of a rollout have what they had before.

        :raises RolloutNotFound, RolloutIsOver:
        """
        return self._call(
            context, "cancel_rollout", version="1.6", rollout_id=rollout_id, across=across
        )

    def create_calendar(
        self, context: RequestContext, calendar: objects.Calendar
    ) -> objects.Calendar:
        """Store a new calendar, of which all must be set that is not the conductor's to set.

        :returns: it, with what it collides with
        :raises BadRequest: a template is not there for the project, or has no such version or role
        :raises CalendarCollides: it is not to skip what it collides with
        :raises QuotaExceeded: the project has as many as it may have
        :raises MetadataNotFollowed: no conductor could tell which pins it is for
        """
        return self._call(context, "create_calendar", version="1.4", calendar=calendar)

    def update_calendar(
        self,
        context: RequestContext,
        calendar_id: str,
        calendar: objects.Calendar,
        generation: int | None,
        across: bool,
    ) -> objects.Calendar:
        """Replace what a calendar says, but for its owner.

        :param generation: only if that is the present one
        :raises CalendarNotFound, StaleCalendar: and as `create_calendar`
        """
        return self._call(
            context,
            "update_calendar",
            version="1.6",
            calendar_id=calendar_id,
            calendar=calendar,
            generation=generation,
            across=across,
        )

    def delete_calendar(self, context: RequestContext, calendar_id: str, across: bool) -> None:
        """Delete a calendar; its pins return to what they ask for themselves.

        :raises CalendarNotFound:
        """
        self._call(
            context, "delete_calendar", version="1.6", calendar_id=calendar_id, across=across
        )

    def report(self, context: RequestContext, report: objects.Report) -> dict[str, object]:
        """Deliver a report.

        :returns: ``{"sequence": the highest of this host so far, "full_needed": bool}``
        """
        return self._call(context, "report", version="1.0", report=report)

    def placements(self, context: RequestContext, host: str) -> list[objects.Pin]:
        """Return all pins that a host shall hold, and (without placement) release."""
        return self._call(context, "placements", version="1.0", host=host)

    def _reach(self) -> None:
        # The first call opens the way on which answers come back. oslo.messaging waits for
        # the broker there without end, which nobody's request must do.
        for pause in rpc.pauses():
            try:
                with rpc.delivery():
                    self._client.prepare(version="1.0", timeout=1).call(service_context(), "ping")
            except oslo_messaging.MessagingTimeout:
                LOG.info("The message broker is there; no conductor is yet")
            except oslo_messaging.MessagingException as error:
                LOG.warning("The message broker cannot be reached: %s", error)
                time.sleep(pause)
                continue
            self._reachable.set()
            return

    def _call(self, context: RequestContext, method: str, version: str, **arguments: Any) -> Any:
        if not self._reachable.wait(_PATIENCE):
            raise exception.ControlPlaneUnavailable(_NO_BROKER)
        try:
            with rpc.delivery():
                return self._client.prepare(version=version).call(context, method, **arguments)
        except oslo_messaging.MessagingTimeout as error:
            raise exception.ControlPlaneUnavailable(seconds=self._timeout) from error
        except oslo_messaging.MessageDeliveryFailure as error:
            LOG.warning("The message broker cannot be reached: %s", error)
            raise exception.ControlPlaneUnavailable(
                "The message broker cannot be reached."
            ) from error
