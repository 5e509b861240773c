# SPDX-License-Identifier: Apache-2.0
"""Listens to Nova's notifications."""

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging
from stevedore import driver, exception

from kongming import rpc
from kongming.compute.events import Handler, News
from kongming.compute.nova import Nova
from kongming.context import RequestContext
from kongming.objects.base import is_uuid

LOG = logging.getLogger(__name__)

_NAMESPACE = "kongming.notification_handlers"

#: Is called with who caused something (user and request id of Nova's call) and what it was.
Take = Callable[[RequestContext, News], None]


class ConfigurationError(Exception):
    """``[notifications]`` cannot be followed; the message says why."""


def handlers(conf: cfg.ConfigOpts, default: tuple[str, ...] = ()) -> dict[str, Handler]:
    """Return the handlers that ``[notifications] handlers`` names, ``default`` if it is empty.

    :raises ConfigurationError: one is not known, or lacks what it needs
    """
    found: dict[str, Handler] = {}
    for name in conf.notifications.handlers or default:
        try:
            manager: Any = driver.DriverManager(_NAMESPACE, name, warn_on_missing_entrypoint=False)
        except exception.NoMatches as error:
            raise ConfigurationError(f"[notifications] handlers: there is no '{name}'") from error
        found[name] = manager.driver
        if found[name].asks_nova and Nova.from_conf(conf) is None:
            raise ConfigurationError(
                f"[notifications] handlers: '{name}' needs [service_credentials] auth_type"
            )
    return found


def check(conf: cfg.ConfigOpts, default: tuple[str, ...] = ()) -> None:
    """Insist that a `Listener` can be made.

    :raises ConfigurationError: as `handlers`, or the broker's URL is of no use
    """
    handlers(conf, default)
    try:
        rpc.disconnect(_transport(conf))
    except oslo_messaging.MessagingException as error:
        raise ConfigurationError(f"[notifications] transport_url: {error}") from error


def _transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    # not [oslo_messaging_notifications]: that is where KongMing's own go
    url = conf.notifications.transport_url or conf.transport_url
    return oslo_messaging.get_notification_transport(conf, url=url)


class Listener:
    """Hands on what matters, each event once to one of all listeners of the same ``pool``.

    ``take`` is called by several threads. An event that it fails on is not seen again: what
    it would have led to comes with the next event of the server.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, listened: Mapping[str, Handler], pool: str, take: Take
    ) -> None:
        self._transport = _transport(conf)
        self._servers = [
            rpc.Server(
                functools.partial(
                    oslo_messaging.get_notification_listener,
                    self._transport,
                    [
                        oslo_messaging.Target(
                            exchange=conf.notifications.exchange, topic=handler.topic
                        )
                    ],
                    [_Endpoint(handler, take)],
                    # the pool is the name of the queue, for whatever topic
                    pool=f"{pool}-{handler.topic}",
                )
            )
            for handler in listened.values()
        ]
        self._thread = threading.Thread(target=self._start, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin; a broker that is away is waited for elsewhere."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the events under way and leave the broker."""
        for server in self._servers:
            server.stop()
        rpc.disconnect(self._transport)

    def _start(self) -> None:
        if all(server.start() for server in self._servers):
            LOG.info("Listening to Nova's notifications")


class _Endpoint:
    """What oslo.messaging calls: a method for each priority that Nova uses."""

    def __init__(self, handler: Handler, take: Take) -> None:
        self._handler = handler
        self._take = take

    def info(
        self,
        ctxt: Mapping[str, Any],
        publisher_id: str,
        event_type: str,
        payload: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> None:
        """Take an event."""
        try:
            news = self._handler.read(event_type, payload)
            if news is not None and not is_uuid(news.uuid):
                said = repr(news.uuid)[:64]
                LOG.warning("%s of %s is ignored: %s is no UUID", event_type, publisher_id, said)
            elif news is not None:
                context = RequestContext(
                    user_id=ctxt.get("user_id"), request_id=ctxt.get("request_id"), is_admin=True
                )
                self._take(context, news)
        except Exception:
            # the next event of the server repairs what this one does not
            LOG.exception("%s of %s could not be handled", event_type, publisher_id)

    error = info
