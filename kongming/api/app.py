# SPDX-License-Identifier: Apache-2.0
"""The WSGI application, assembled."""

from typing import Any

import oslo_messaging
import pecan
from oslo_config import cfg
from oslo_middleware import cors, http_proxy_to_wsgi, request_id

from kongming.api import auth, errors, headers, health, hooks, ratelimit, sizelimit
from kongming.api.root import Root
from kongming.api.routes import Request
from kongming.compute.nova import Nova
from kongming.conductor.rpcapi import ConductorAPI


def make(conf: cfg.ConfigOpts, connection: oslo_messaging.Transport) -> Any:
    """Return the application; ``connection`` leads to the conductors.

    A request passes, in this order: the proxy's word on scheme and host; the headers of all
    answers; those for pages of other sites, if there are such; the request id, which everything
    below logs; the load balancer's question for the health; the form of errors, around all that
    may refuse; the size limit, before anything reads; the token; how fast its project sends; the
    controllers.
    """
    conductor = ConductorAPI(connection)
    application: Any = pecan.make_app(
        Root(),
        request_cls=Request,
        hooks=[
            errors.ErrorHook(),
            hooks.RequestHook(conductor, Nova.from_conf(conf)),
        ],
        # host names end in .example.org, which is no content type
        guess_content_type_from_ext=False,
        force_canonical=False,
        wrap_app=None,
    )
    if conf.api.request_rate:
        application = ratelimit.RateLimit(application, conf)
    if conf.api.auth_strategy == "keystone":
        application = auth.Authenticated(application, conf)
    else:
        application = auth.EverybodyIsAdmin(application)
    application = sizelimit.SizeLimit(application, conf)
    application = errors.ErrorForm(application)
    application = health.Health(application, conductor)
    application = request_id.RequestId(application)
    application = _cors(application, conf)
    application = headers.SecurityHeaders(application)
    return http_proxy_to_wsgi.HTTPProxyToWSGI(application, conf)


def _cors(application: Any, conf: cfg.ConfigOpts) -> Any:
    """Let pages of ``[cors] allowed_origin`` in, and nobody without it."""
    conf.register_opts(cors.CORS_OPTS, "cors")
    if not conf.cors.allowed_origin:
        return application
    cors.set_defaults(
        allow_headers=["X-Auth-Token", "OpenStack-API-Version"],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        expose_headers=["OpenStack-API-Version", "OpenStack-Request-Id", "Retry-After"],
    )
    return cors.CORS(application, conf)
