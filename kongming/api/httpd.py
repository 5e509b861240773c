# SPDX-License-Identifier: Apache-2.0
"""HTTP as kongming-api speaks it: cheroot, with errors in the form of all others.

What cheroot leaves to its users: bounds on what a client can make the server hold, an
end to a connection that the client can read, and TLS handshakes that hold up nobody else.
"""

import json
import logging as python_logging
import socket
import ssl
import time
from typing import Any

from cheroot import errors as cheroot_errors
from cheroot import server, wsgi
from cheroot.ssl import builtin
from oslo_config import cfg
from oslo_context import context
from oslo_log import log as logging
from webob import exc

from kongming.api import deadline, errors, headers, sizelimit

LOG = logging.getLogger(__name__)

_MAX_HEADERS = 64 * 1024
_BACKLOG = 128
#: What a refused client may still send, and for how long, until it has read why.
_LINGER_BYTES = 16 * 1024 * 1024
_LINGER_SECONDS = 2.0


class Server(wsgi.Server):
    """A cheroot server on a socket that another process opened."""

    def __init__(self, shared: socket.socket, conf: cfg.ConfigOpts, application: Any) -> None:
        super().__init__(
            shared.getsockname()[:2],
            application,
            numthreads=conf.api.worker_threads,
            server_name="kongming-api",
            request_queue_size=_BACKLOG,
        )
        self._shared = shared
        self.gateway = _Gateway
        self.ConnectionClass = _Connection
        self.max_request_header_size = _MAX_HEADERS
        sizelimit.register_opts(conf)
        self.conf = conf
        # cheroot's own check comes before it tells the client to go on, but knows no paths
        self.max_request_body_size = sizelimit.most_bytes_anywhere(conf)
        if conf.api.enable_ssl_api:
            self.ssl_adapter = _TLS(conf.api.ssl_cert_file, conf.api.ssl_key_file)

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        """Take the socket that is there."""
        self.socket = self._shared.dup()
        # connections inherit it: else an answer's second packet waits for the client's
        # acknowledgement of the first, which it puts off for 40 ms
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.socket

    def prepare(self) -> None:
        """Get ready to serve."""
        super().prepare()
        # a connection wakes every worker process; those that come late must not wait for another
        self.socket.settimeout(0)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log what cheroot has to say."""
        # it counts among errors what clients do: broken connections, plain HTTP to a TLS port
        LOG.log(min(level, python_logging.WARNING), "%s", msg, exc_info=traceback)


class _Request(server.HTTPRequest):
    """One request."""

    def read_request_line(self) -> bool:
        try:
            return bool(super().read_request_line())
        except ValueError:
            # the bracket of an IPv6 address that does not close, for one
            self.simple_response("400 Bad Request", "Malformed Request-URI")
            return False

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():
            return False
        if not self.inheaders.get(b"Content-Length", b"0").isdigit():
            self.simple_response("400 Bad Request", "Malformed Content-Length Header.")
            return False
        if int(self.inheaders.get(b"Content-Length", 0)) > self.most_bytes:
            self.simple_response("413 Request Entity Too Large", errors.TOO_LARGE)
            return False
        return True

    @property
    def most_bytes(self) -> int:
        """How large the body may be."""
        return sizelimit.most_bytes(self.server.conf, self.path.decode("latin-1"))

    @property
    def _is_secure(self) -> bool:
        return isinstance(self.conn.socket, ssl.SSLSocket)

    def send_headers(self) -> None:
        if self.chunked_read and not self.rfile.closed:
            # what is left would be taken for the next request
            self.close_connection = True
        self.conn.deadline.start()
        super().send_headers()
        if self.close_connection:
            left = not self.rfile.closed if self.chunked_read else self.rfile.remaining
            self.conn.unread = bool(left)

    def simple_response(self, status: str, msg: str = "") -> None:
        """Refuse what never reaches the application."""
        self.close_connection = self.conn.unread = True
        number = int(str(status)[:3])
        request_id = context.generate_request_id()
        detail = msg.rstrip(".") or str(status)[4:]
        code = errors.CODES.get(number, "resource_pin.error")
        body = json.dumps(errors.document(number, [(code, detail)], request_id)).encode()
        lines = [
            f"{self.server.protocol} {status}",
            "Content-Type: application/json; charset=utf-8",
            f"Content-Length: {len(body)}",
            f"OpenStack-Request-Id: {request_id}",
            f"X-OpenStack-Request-Id: {request_id}",
            "Connection: close",
        ]
        lines += [f"{name}: {value}" for name, value in headers.missing([], self._is_secure)]
        head = "".join(f"{line}\r\n" for line in lines)
        try:
            self.conn.wfile.write(f"{head}\r\n".encode("latin-1") + body)
        except OSError as error:
            LOG.debug("A client left before it was refused: %s", error)


class _Connection(server.HTTPConnection):
    """One connection, in the hands of one thread."""

    RequestHandlerClass = _Request
    #: Whether the client may still be sending when the connection is closed.
    unread = False

    def __init__(self, server: Server, sock: socket.socket, makefile: Any = None) -> None:
        self.deadline = deadline.Deadline(server.conf.api.request_timeout)
        super().__init__(server, sock, deadline.files(self.deadline))

    def communicate(self) -> bool:
        self.deadline.start()
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.version() is None:
            try:
                self.socket.do_handshake()
            except OSError as error:
                LOG.debug("No TLS with %s: %s", self.remote_addr, error)
                return False
        return bool(super().communicate())

    def close(self) -> None:
        if self.unread:
            self._linger()
        super().close()

    def _linger(self) -> None:
        """Take in what is under way: TCP would answer it with a reset, and lose the answer."""
        deadline = time.monotonic() + _LINGER_SECONDS
        left = _LINGER_BYTES
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while left > 0 and (seconds := deadline - time.monotonic()) > 0:
                self.socket.settimeout(seconds)
                received = len(self.socket.recv(65536))
                if not received:
                    return
                left -= received
        except OSError as error:
            LOG.debug("A refused client went on: %s", error)


class _Chunks(server.ChunkedRFile):
    """A body in chunks; what is wrong with it is the client's fault, also to the application."""

    def _fetch(self) -> None:
        try:
            super()._fetch()  # type: ignore[misc]
        except ValueError as error:
            raise exc.HTTPBadRequest(f"body: {error}") from error
        except cheroot_errors.MaxSizeExceeded as error:
            raise exc.HTTPRequestEntityTooLarge from error
        except OSError as error:
            if error.errno is not None or isinstance(error, TimeoutError):
                raise
            raise exc.HTTPRequestEntityTooLarge from error


class _Gateway(wsgi.Gateway_10):
    """Between one request and the application."""

    def __init__(self, request: _Request) -> None:
        if request.chunked_read:
            request.rfile = _Chunks(request.conn.rfile, request.most_bytes)
        super().__init__(request)


class _TLS(builtin.BuiltinSSLAdapter):
    """TLS whose handshake is left to the thread that serves the connection."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        try:
            wrapped = self.context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:
            raise cheroot_errors.FatalSSLAlert(*error.args) from error
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}
