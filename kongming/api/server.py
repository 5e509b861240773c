# SPDX-License-Identifier: Apache-2.0
"""kongming-api's own HTTP server: cheroot around the WSGI application."""

import importlib.util
import ipaddress
import socket
import ssl
import threading

from keystoneauth1 import loading
from keystonemiddleware import opts
from oslo_config import cfg
from oslo_log import log as logging

from kongming import rpc
from kongming.api import app, httpd
from kongming.db import engine

LOG = logging.getLogger(__name__)


class ConfigurationError(Exception):
    """The configuration would make an API that must not run."""


def listen(conf: cfg.ConfigOpts) -> socket.socket:
    """Return the listening socket that ``[api]`` describes, for workers to share.

    :raises ConfigurationError: noauth beyond loopback, no Keystone, TLS without its files
    :raises OSError: the address cannot be had
    """
    if conf.api.auth_strategy == "keystone":
        check_keystone(conf)
    if conf.api.auth_strategy == "noauth" and not _is_loopback(conf.api.host_ip):
        raise ConfigurationError(
            "[api] auth_strategy = noauth makes everybody admin and is only allowed on a"
            f" loopback address; [api] host_ip is {conf.api.host_ip}"
        )
    if conf.api.enable_ssl_api:
        _check_certificate(conf.api.ssl_cert_file, conf.api.ssl_key_file)
    family = socket.AF_INET6 if ":" in conf.api.host_ip else socket.AF_INET
    return socket.create_server((conf.api.host_ip, conf.api.port), family=family, backlog=128)


class Server:
    """One worker of the API."""

    def __init__(self, conf: cfg.ConfigOpts, listening: socket.socket) -> None:
        self._transport = rpc.transport(conf)
        self._listening = listening
        self._http = httpd.Server(listening, conf, app.make(conf, self._transport))
        scheme = "https" if conf.api.enable_ssl_api else "http"
        host = f"[{conf.api.host_ip}]" if ":" in conf.api.host_ip else conf.api.host_ip
        self.url = f"{scheme}://{host}:{listening.getsockname()[1]}"
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
        self._listening.close()
        rpc.disconnect(self._transport)
        engine.dispose()


def check_keystone(conf: cfg.ConfigOpts) -> None:
    """Insist that tokens can be validated.

    :raises ConfigurationError: every request would fail
    """
    for group, options in opts.list_auth_token_opts():
        conf.register_opts(options, group)
    loading.register_auth_conf_options(conf, "keystone_authtoken")
    section = conf.keystone_authtoken
    if not (section.auth_type or section.auth_section):
        raise ConfigurationError(
            "[api] auth_strategy = keystone needs [keystone_authtoken] auth_type, with the"
            " options of that plugin, to validate tokens"
        )
    if section.memcached_servers:
        _check_memcache(section)


def _check_memcache(section: cfg.ConfigOpts.GroupAttr) -> None:
    """Insist on the modules that keystonemiddleware takes to speak with memcached."""
    pooled = section.memcache_use_advanced_pool
    # TLS is that of the pool alone
    binary = section.memcache_sasl_enabled or (pooled and section.memcache_tls_enabled)
    if binary and importlib.util.find_spec("bmemcached") is None:
        raise ConfigurationError(
            "[keystone_authtoken] memcache_sasl_enabled and memcache_tls_enabled need"
            " python-binary-memcached: pip install python-binary-memcached"
        )
    # the pool is built on the other module in either case
    if (pooled or not binary) and importlib.util.find_spec("memcache") is None:
        raise ConfigurationError(
            "[keystone_authtoken] memcached_servers needs python-memcached: pip install"
            " 'kongming[memcache]'"
        )


def _check_certificate(certificate: str | None, key: str | None) -> None:
    if not (certificate and key):
        raise ConfigurationError("[api] enable_ssl_api needs [api] ssl_cert_file and ssl_key_file")
    try:
        # without a password nobody is asked for one
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, "")
    except OSError as error:
        raise ConfigurationError(
            f"[api] ssl_cert_file {certificate} and ssl_key_file {key} are of no use: {error}"
        ) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
