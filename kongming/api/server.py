# SPDX-License-Identifier: Apache-2.0
"""kongming-api's own HTTP server: cheroot around the WSGI application."""

import ipaddress
import socket
import threading
from typing import Any

from cheroot import wsgi
from cheroot.ssl import builtin
from oslo_config import cfg
from oslo_log import log as logging

from kongming import rpc
from kongming.api import app
from kongming.db import engine

LOG = logging.getLogger(__name__)


class ConfigurationError(Exception):
    """The configuration would make an API that must not run."""


def listen(conf: cfg.ConfigOpts) -> socket.socket:
    """Return the listening socket that ``[api]`` describes, for workers to share.

    :raises ConfigurationError: noauth beyond loopback, TLS without its files
    :raises OSError: the address cannot be had
    """
    if conf.api.auth_strategy == "noauth" and not _is_loopback(conf.api.host_ip):
        raise ConfigurationError(
            "[api] auth_strategy = noauth makes everybody admin and is only allowed on a"
            f" loopback address; [api] host_ip is {conf.api.host_ip}"
        )
    if conf.api.enable_ssl_api and not (conf.api.ssl_cert_file and conf.api.ssl_key_file):
        raise ConfigurationError("[api] enable_ssl_api needs [api] ssl_cert_file and ssl_key_file")
    family = socket.AF_INET6 if ":" in conf.api.host_ip else socket.AF_INET
    return socket.create_server((conf.api.host_ip, conf.api.port), family=family, backlog=128)


class _SharedSocketServer(wsgi.Server):
    """A cheroot server on a socket that another process opened."""

    def __init__(self, shared: socket.socket, **options: Any) -> None:
        super().__init__(shared.getsockname()[:2], **options)
        self._shared = shared

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        """Take the socket that is there."""
        self.socket = self._shared.dup()
        return self.socket


class Server:
    """One worker of the API."""

    def __init__(self, conf: cfg.ConfigOpts, listening: socket.socket) -> None:
        self._transport = rpc.transport(conf)
        self._http = _SharedSocketServer(
            listening,
            wsgi_app=app.make(conf, self._transport),
            numthreads=conf.api.worker_threads,
            server_name="kongming-api",
        )
        if conf.api.enable_ssl_api:
            self._http.ssl_adapter = builtin.BuiltinSSLAdapter(
                conf.api.ssl_cert_file, conf.api.ssl_key_file
            )
        scheme = "https" if conf.api.enable_ssl_api else "http"
        self.url = f"{scheme}://{conf.api.host_ip}:{listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._http.serve, name="api", daemon=True)

    def start(self) -> None:
        """Begin to answer requests."""
        self._http.prepare()
        self._thread.start()
        LOG.info("API answers on %s", self.url)

    def stop(self) -> None:
        """Finish the requests under way and close."""
        self._http.stop()
        self._thread.join()
        self._transport.cleanup()
        engine.dispose()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
