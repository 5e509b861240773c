# SPDX-License-Identifier: Apache-2.0
"""Who asks: ``[api] auth_strategy``."""

from typing import Any

from keystonemiddleware import auth_token
from oslo_config import cfg

from kongming.api import openapi

#: Version documents and the description of the API: needed before a client can have a token.
_PUBLIC = ("", "/", "/v1", "/v1/", openapi.PATH, f"{openapi.PATH}/")


class Authenticated:
    """WSGI middleware: Keystone's tokens for everything but what describes the API."""

    def __init__(self, application: Any, conf: cfg.ConfigOpts) -> None:
        self._application = application
        self._protected = auth_token.AuthProtocol(application, {"oslo_config_config": conf})

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        if environ.get("PATH_INFO", "") in _PUBLIC:
            # nothing the caller claims about itself is passed on
            for name in [name for name in environ if name.startswith("HTTP_X_")]:
                del environ[name]
            return self._application(environ, start_response)
        return self._protected(environ, start_response)


class EverybodyIsAdmin:
    """WSGI middleware of ``noauth``; the program sees to it that it listens on loopback only."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        environ |= {
            "HTTP_X_ROLES": "admin",
            "HTTP_X_USER_ID": "noauth",
            "HTTP_X_PROJECT_ID": "noauth",
        }
        return self._application(environ, start_response)
