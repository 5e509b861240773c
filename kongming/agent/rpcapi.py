# SPDX-License-Identifier: Apache-2.0
"""How a conductor reaches the agent of a host."""

import oslo_messaging

from kongming import rpc
from kongming.context import RequestContext


class AgentAPI:
    """Client side of `kongming.agent.manager.AgentManager`.

    History: 1.0 placements_changed.
    """

    def __init__(self, connection: oslo_messaging.Transport) -> None:
        self._client = rpc.client(connection, rpc.AGENT_TOPIC, "1.0")

    def placements_changed(self, context: RequestContext, host: str) -> None:
        """Tell the agent of a host to fetch its placements; does not wait for it.

        It may be lost: the agent also fetches them with each full report.

        :raises oslo_messaging.MessagingException: the broker is away
        """
        with rpc.delivery():
            self._client.prepare(server=host, version="1.0").cast(context, "placements_changed")
