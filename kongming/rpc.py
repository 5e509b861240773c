# SPDX-License-Identifier: Apache-2.0
"""Messaging between API, conductors and agents over oslo.messaging."""

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import oslo_messaging
from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError
from oslo_config import cfg
from oslo_log import log as logging
from oslo_messaging.rpc import dispatcher
from oslo_versionedobjects import base as versioned

from kongming import exception
from kongming.context import RequestContext
from kongming.objects.base import KongMingObject

LOG = logging.getLogger(__name__)

_LEAVE_SECONDS = 3.0
_FINISH_SECONDS = 5.0
#: What the libraries below oslo.messaging say of a broker that is away, or refuses the user.
_AWAY = (OperationalError, AMQPError)

CONDUCTOR_TOPIC = "kongming-conductor"
AGENT_TOPIC = "kongming-agent"


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """What came in place of an object: its fields as they were sent, and what is wrong."""

    fields: Mapping[str, Any]
    reason: str


class _ObjectSerializer(versioned.VersionedObjectSerializer):
    """Reads what it can: that one object is malformed must not keep others from their receiver."""

    OBJ_BASE_CLASS = KongMingObject

    def _process_object(self, context: Any, objprim: dict[str, Any]) -> Any:
        try:
            return super()._process_object(context, objprim)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            fields = objprim.get("kongming_object.data")
            return Unreadable(fields if isinstance(fields, dict) else {}, repr(error)[:200])


class _ContextSerializer(oslo_messaging.NoOpSerializer):
    """Versioned objects in arguments and results, the request context beside them."""

    def __init__(self) -> None:
        self._objects = _ObjectSerializer()

    def serialize_entity(self, ctxt: RequestContext, entity: Any) -> Any:
        return self._objects.serialize_entity(ctxt, entity)

    def deserialize_entity(self, ctxt: RequestContext, entity: Any) -> Any:
        return self._objects.deserialize_entity(ctxt, entity)

    def serialize_context(self, ctxt: RequestContext) -> dict[str, Any]:
        values: dict[str, Any] = ctxt.to_dict()
        # nobody behind the API needs the caller's secret
        return values | {"auth_token": None}  # nosec B105 # none

    def deserialize_context(self, ctxt: dict[str, Any]) -> RequestContext:
        return RequestContext.from_dict(ctxt)


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """Connect to the broker that ``[DEFAULT] transport_url`` names."""
    return oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=[exception.__name__])


def notification_transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """Connect to the broker of ``[oslo_messaging_notifications]``."""
    return oslo_messaging.get_notification_transport(conf)


def notifier(connection: oslo_messaging.Transport, publisher: str) -> oslo_messaging.Notifier:
    """Return what sends notifications, in the name of ``publisher`` (``PROGRAM:HOST``)."""
    return oslo_messaging.Notifier(connection, publisher, serializer=_ContextSerializer())


def disconnect(connection: oslo_messaging.Transport) -> None:
    """Leave the broker.

    The one in this process is shared by all parts, and to leave it would drop the
    messages of those that still run.
    """
    if str(connection.conf.transport_url).startswith("fake:"):
        return
    # one that cannot be reached is not waited for: whoever stops has nothing to tell it
    _is_done(connection.cleanup, _LEAVE_SECONDS)


class Server:
    """Takes what a broker hands out, between `start` and `stop`.

    :param make: makes what does so for oslo.messaging, and can be started but once
    """

    def __init__(self, make: Callable[[], oslo_messaging.MessageHandlingServer]) -> None:
        self._make = make
        self._running: oslo_messaging.MessageHandlingServer | None = None
        self._stopping = threading.Event()

    def start(self) -> bool:
        """Begin; return whether it did before `stop`.

        A broker that is away, or refuses the user, is waited for.
        """
        for pause in pauses():
            if self._stopping.is_set():
                break
            running = self._make()
            try:
                with delivery():
                    running.start()
            except oslo_messaging.MessagingException as error:
                LOG.warning("The message broker cannot be reached: %s", error)
            else:
                self._running = running
                if not self._stopping.is_set():
                    return True
                # whoever stopped it may have found nothing to stop
                self.stop()
            self._stopping.wait(pause)
        return False

    def stop(self) -> None:
        """Finish what is under way, and take no more.

        If the broker is away that is not waited for: nobody could be answered.
        """
        self._stopping.set()
        if self._running is not None and _is_done(self._running.stop, _FINISH_SECONDS):
            self._running.wait()


def server(connection: oslo_messaging.Transport, topic: str, name: str, endpoint: Any) -> Server:
    """Return a server, not started, that offers the exposed methods of one endpoint."""
    return Server(
        lambda: oslo_messaging.get_rpc_server(
            connection,
            oslo_messaging.Target(topic=topic, server=name),
            [endpoint],
            serializer=_ContextSerializer(),
            access_policy=dispatcher.ExplicitRPCAccessPolicy,
        )
    )


def pauses() -> Iterator[float]:
    """Yield in how many seconds to try again to reach a broker, without end."""
    return itertools.chain((0.5, 1.0, 2.0), itertools.repeat(5.0))


def client(connection: oslo_messaging.Transport, topic: str, version: str) -> Any:
    """Return a client for a topic at the RPC version that it was written for."""
    return oslo_messaging.get_rpc_client(
        connection,
        oslo_messaging.Target(topic=topic, version=version),
        serializer=_ContextSerializer(),
        # a broker that is away is an answer, too: callers must not wait for its return
        retry=1,
    )


@contextlib.contextmanager
def delivery() -> Iterator[None]:
    """Let all that is said of a broker that is away leave as MessageDeliveryFailure.

    Where oslo.messaging needs another connection it lets the words of the library below through.
    """
    try:
        yield
    except _AWAY as error:
        raise oslo_messaging.MessageDeliveryFailure(str(error)) from error


def _is_done(leaving: Callable[[], None], seconds: float) -> bool:
    """Whether something ends in time; what does not is left to the end of the process."""
    thread = threading.Thread(target=leaving, name="leaving", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
