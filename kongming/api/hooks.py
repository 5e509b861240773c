# SPDX-License-Identifier: Apache-2.0
"""What every request is given before its controller sees it."""

import re
from typing import Any

from oslo_config import cfg
from pecan import hooks

from kongming import exception
from kongming.api import microversion
from kongming.compute.nova import Nova
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import RequestContext

#: A name or an address, and a port, which may be empty: what links of answers may begin with.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class RequestHook(hooks.PecanHook):
    """Sets ``request.context`` (who asks), ``.version``, ``.conductor`` and ``.nova``."""

    def __init__(self, conductor: ConductorAPI, nova: Nova | None) -> None:
        self._conductor = conductor
        self._nova = nova

    def on_route(self, state: Any) -> None:
        """Prepare a request; refuses versions that do not exist, and hosts that cannot."""
        request = state.request
        request.context = RequestContext.from_environ(request.environ)
        request.conductor = self._conductor
        request.nova = self._nova
        if not cfg.CONF.api.public_endpoint:
            _check_host(request)
        request.GET  # noqa: B018  fails here, not in some controller, unless it is UTF-8
        request.version = microversion.negotiate(request.headers)

    def after(self, state: Any) -> None:
        """Say which version answered; leave an empty answer empty."""
        if state.response.status_int == 204:
            state.response.body = b""
            del state.response.content_type
        headers = state.response.headers
        headers["Vary"] = microversion.HEADER
        version = getattr(state.request, "version", None)
        if version is not None:
            headers[microversion.HEADER] = f"{microversion.SERVICE_TYPE} {version}"


def _check_host(request: Any) -> None:
    """Insist on a host that links may begin with; of those that proxies list take the first.

    That is the one which the client asked for, each further proxy has added its own.

    :raises BadRequest: it is none
    """
    if request.host == request.headers.get("X-Forwarded-Host"):
        request.host = request.host.partition(",")[0].strip()
    if not _HOST.fullmatch(request.host):
        raise exception.BadRequest.field("Host", "must be a name or an address, and a port")
