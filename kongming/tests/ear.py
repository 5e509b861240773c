# SPDX-License-Identifier: Apache-2.0
"""Hears KongMing's own notifications, as any other service would."""

from typing import Any

import fixtures
import oslo_messaging
from oslo_config import cfg

from kongming import rpc


class Ear(fixtures.Fixture):
    """Takes down in ``heard`` what is sent over the broker of a configuration.

    :param pool: whoever else listens hears it too, unless it is in the same pool; without one,
        each message is heard by one listener
    """

    def __init__(self, conf: cfg.ConfigOpts, pool: str | None = None) -> None:
        super().__init__()
        self._conf = conf
        self._pool = pool
        self.heard: list[dict[str, Any]] = []

    def _setUp(self) -> None:
        transport = rpc.notification_transport(self._conf)
        self.addCleanup(rpc.disconnect, transport)
        listener = oslo_messaging.get_notification_listener(
            transport, [oslo_messaging.Target(topic="notifications")], [self], pool=self._pool
        )
        listener.start()
        self.addCleanup(listener.wait)
        self.addCleanup(listener.stop)

    def info(self, ctxt: Any, publisher_id: str, event: str, payload: Any, _: Any) -> None:
        """Hear of something."""
        self._hear("INFO", publisher_id, event, payload)

    def error(self, ctxt: Any, publisher_id: str, event: str, payload: Any, _: Any) -> None:
        """Hear of a failure."""
        self._hear("ERROR", publisher_id, event, payload)

    def _hear(self, priority: str, publisher_id: str, event: str, payload: Any) -> None:
        message = {"priority": priority, "publisher_id": publisher_id, "event_type": event}
        self.heard.append(message | {"payload": payload})
