# SPDX-License-Identifier: Apache-2.0
"""How large a body may be, by path: oslo.middleware knows one limit for all."""

import functools
from typing import Any

import webob.dec
from oslo_config import cfg
from oslo_middleware import sizelimit
from webob import exc

#: Bytes where a body lists names of hosts; elsewhere the operator says.
_LARGE = {"/v1/candidates": 1024 * 1024}


def most_bytes(conf: cfg.ConfigOpts, path: str) -> int:
    """Return how many bytes a body that is sent to ``path`` may have."""
    usual: int = conf.oslo_middleware.max_request_body_size
    return max(usual, _LARGE.get(path.rstrip("/"), 0))


def most_bytes_anywhere(conf: cfg.ConfigOpts) -> int:
    """Return how many bytes the largest body may have."""
    return max(map(functools.partial(most_bytes, conf), _LARGE))


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the option for the usual limit."""
    conf.register_opts(sizelimit.OPTS, group="oslo_middleware")


class SizeLimit:
    """WSGI middleware: refuses with 413 what is too large, before anybody reads it."""

    def __init__(self, application: Any, conf: cfg.ConfigOpts) -> None:
        register_opts(conf)
        self._application = application
        self._conf = conf

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer a request."""
        most = most_bytes(self._conf, request.environ.get("PATH_INFO", ""))
        if request.content_length is None:
            # a body in chunks: whoever reads it finds out
            request.body_file = sizelimit.LimitingReader(request.body_file, most)
        elif request.content_length > most:
            raise exc.HTTPRequestEntityTooLarge
        return request.get_response(self._application)
