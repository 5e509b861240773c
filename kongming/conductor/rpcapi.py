# SPDX-License-Identifier: Apache-2.0
"""How API and agents call a conductor."""

from typing import Any

import oslo_messaging

from kongming import exception, objects, rpc
from kongming.context import RequestContext
from kongming.topology.wish import Wish


class ConductorAPI:
    """Client side of `kongming.conductor.manager.ConductorManager`.

    History: 1.0 create_pin, update_pin, delete_pin, report, placements.

    Every call raises ControlPlaneUnavailable when no conductor answers in
    ``[DEFAULT] rpc_response_timeout`` seconds.
    """

    def __init__(self, connection: oslo_messaging.Transport) -> None:
        self._client = rpc.client(connection, rpc.CONDUCTOR_TOPIC, "1.0")
        self._timeout = connection.conf.rpc_response_timeout

    def create_pin(self, context: RequestContext, pin: objects.Pin, wait: bool) -> objects.Pin:
        """Store a new pin (instance_uuid, project_id, user_id and wish must be set).

        :param wait: accept an instance that no host reports yet
        :raises InstanceNotFound, BadRequest, PinExists, CpuAlreadyClaimed:
        """
        return self._call(context, "create_pin", version="1.0", pin=pin, wait=wait)

    def update_pin(
        self, context: RequestContext, instance_uuid: str, wish: Wish, generation: int | None
    ) -> objects.Pin:
        """Replace the wish of a pin; with ``generation``, only if that is the present one.

        :raises PinNotFound, BadRequest, StaleGeneration, CpuAlreadyClaimed:
        """
        return self._call(
            context,
            "update_pin",
            version="1.0",
            instance_uuid=instance_uuid,
            wish=wish.to_dict(),
            generation=generation,
        )

    def delete_pin(self, context: RequestContext, instance_uuid: str) -> None:
        """Delete a pin; its claims end when its host has released the instance.

        :raises PinNotFound:
        """
        self._call(context, "delete_pin", version="1.0", instance_uuid=instance_uuid)

    def report(self, context: RequestContext, report: objects.Report) -> dict[str, object]:
        """Deliver a report.

        :returns: ``{"sequence": the highest of this host so far, "full_needed": bool}``
        """
        return self._call(context, "report", version="1.0", report=report)

    def placements(self, context: RequestContext, host: str) -> list[objects.Pin]:
        """Return all pins that a host shall hold, and (without placement) release."""
        return self._call(context, "placements", version="1.0", host=host)

    def _call(self, context: RequestContext, method: str, version: str, **arguments: Any) -> Any:
        try:
            return self._client.prepare(version=version).call(context, method, **arguments)
        except oslo_messaging.MessagingTimeout as error:
            raise exception.ControlPlaneUnavailable(seconds=self._timeout) from error
        except oslo_messaging.MessageDeliveryFailure as error:
            raise exception.ControlPlaneUnavailable(
                f"The message broker cannot be reached: {error}"
            ) from error
