# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import client
from typing import Any

import fixtures

from kongming.api import httpd
from kongming.tests import base


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the method and the path; read the body on "/read" only."""
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("a secret")
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


class ServerTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch("cheroot.server.HTTPServer.expiration_interval", 0.05))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.socket.close)
        self.servers = [self.serve()]

    def serve(self) -> httpd.Server:
        """Serve on the socket."""
        server = httpd.Server(self.socket, self.conf, application)
        server.prepare()
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.stop)
        return server

    def connect(self) -> client.HTTPConnection:
        """Return a new connection."""
        host, port = self.socket.getsockname()
        connection = client.HTTPConnection(host, port, timeout=20)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection: client.HTTPConnection, path: str, **options: Any) -> str:
        """Send a GET and return the body of the answer."""
        connection.request("GET", path, **options)
        return connection.getresponse().read().decode()

    def assert_refused(self, answer: client.HTTPResponse, status: int) -> dict[str, Any]:
        """Insist on an error in the documented form; return it."""
        self.assertEqual(status, answer.status)
        body = json.loads(answer.read())
        self.assertEqual({"message", "errors"}, set(body))
        (error,) = body["errors"]
        self.assertEqual(status, error["status"])
        self.assertEqual(answer.getheader("OpenStack-Request-Id"), error["request_id"])
        self.assertEqual(answer.getheader("X-OpenStack-Request-Id"), error["request_id"])
        self.assertEqual("close", answer.getheader("Connection"))
        found: dict[str, Any] = error
        return found

    def test_connections_are_kept(self) -> None:
        connection = self.connect()
        for number in range(5):
            self.assertEqual(f"GET /{number} 0", self.ask(connection, f"/{number}"))

    def test_answers_are_not_held_back(self) -> None:
        # each would be for 40 ms, until the client has acknowledged the headers
        connection = self.connect()
        start = time.monotonic()
        for _ in range(60):
            self.ask(connection, "/")
        self.assertLess(time.monotonic() - start, 1)

    def test_workers_do_not_wait_for_connections_that_others_took(self) -> None:
        self.servers.append(self.serve())
        kept = [self.connect() for _ in range(8)]
        slowest = 0.0
        for number in range(40):
            self.ask(self.connect(), "/new")
            start = time.monotonic()
            self.ask(kept[number % len(kept)], "/kept")
            slowest = max(slowest, time.monotonic() - start)
        self.assertLess(slowest, 0.8)

    def test_many_connections_at_once(self) -> None:
        connections = [self.connect() for _ in range(100)]
        start = time.monotonic()
        for connection in connections:
            connection.connect()
        # a queue that is full would let them wait a second or more
        self.assertLess(time.monotonic() - start, 0.8)
        for connection in connections:
            self.assertEqual("GET / 0", self.ask(connection, "/"))

    def test_chunks_left_over_are_no_request(self) -> None:
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        request = (
            b"POST /ignore HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
        )
        with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        self.assertEqual(1, received.count(b"HTTP/1.1 "))
        self.assertIn(b"POST /ignore", received)
        self.assertIn(b"Connection: close", received)

    def test_body_left_over_is_no_request(self) -> None:
        connection = self.connect()
        connection.request("POST", "/ignore", body=b"GET /smuggled HTTP/1.1\r\n\r\n")
        self.assertEqual(b"POST /ignore 0", connection.getresponse().read())
        self.assertEqual("GET /next 0", self.ask(connection, "/next"))

    def test_chunks_are_read(self) -> None:
        connection = self.connect()
        body = iter([b"1" * 1000, b"2" * 70000])
        self.assertEqual(
            "GET /read 71000", self.ask(connection, "/read", body=body, encode_chunked=True)
        )

    def test_refusal_can_be_read_by_who_still_sends(self) -> None:
        connection = self.connect()
        connection.putrequest("POST", "/read")
        connection.putheader("Content-Length", str(5 << 20))
        connection.endheaders()
        for _ in range(5):
            connection.send(b" " * (1 << 20))
        error = self.assert_refused(connection.getresponse(), 413)
        self.assertEqual("resource_pin.body_too_large", error["code"])

    def test_who_goes_on_sending_is_cut_off(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.httpd._LINGER_BYTES", 1 << 20))
        with (
            socket.create_connection(self.socket.getsockname(), timeout=20) as connection,
            self.assertRaises(OSError),
        ):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            for _ in range(1000):
                connection.sendall(b" " * (1 << 20))

    def test_who_says_nothing_more_is_not_waited_for(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.httpd._LINGER_SECONDS", 0.2))
        with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            start = time.monotonic()
            received = b"".join(iter(lambda: connection.recv(65536), b""))
            self.assertTrue(received.startswith(b"HTTP/1.1 400 "))
            # the thread is free again
            self.eventually(lambda: self.servers[0].requests.idle == 10)
            self.assertLess(time.monotonic() - start, 2)

    def test_application_that_fails(self) -> None:
        connection = self.connect()
        connection.request("GET", "/fail")
        error = self.assert_refused(connection.getresponse(), 500)
        self.assertNotIn("secret", str(error))
        self.assertIn("a secret", self.log.output)

    def test_headers_have_a_bound(self) -> None:
        connection = self.connect()
        connection.request("GET", "/", headers={"X-Padding": "a" * 100000})
        self.assert_refused(connection.getresponse(), 413)
        self.assertEqual("GET / 0", self.ask(self.connect(), "/", headers={"X-P": "a" * 60000}))

    def test_lengths_that_are_none(self) -> None:
        for length in ("-1", "+1", "1_0", " ", "0x1", "1.0", "٣"):
            with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
                head = f"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
                connection.sendall(head.encode())
                answer = client.HTTPResponse(connection)
                answer.begin()
                self.assert_refused(answer, 400)

    def test_addresses_that_are_none(self) -> None:
        for address in (b"http://[", b"http://[::1/", b"//[", b"http://\xff["):
            with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
                connection.sendall(b"GET " + address + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = client.HTTPResponse(connection)
                answer.begin()
                error = self.assert_refused(answer, 400)
                self.assertEqual("resource_pin.bad_request", error["code"])

    def test_stop_does_not_wait_for_idle_connections(self) -> None:
        connection = self.connect()
        self.ask(connection, "/")
        start = time.monotonic()
        self.servers[0].stop()
        self.assertLess(time.monotonic() - start, 2)

    def test_request_that_comes_in_drops(self) -> None:
        self.configuration.set("request_timeout", 1, "api")
        for request in (b"GET / HTTP/1.1\r\nX-Drop: ", b"POST /read HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection(self.socket.getsockname(), timeout=20) as connection:
                connection.sendall(request)
                start = time.monotonic()
                with contextlib.suppress(OSError):
                    while time.monotonic() - start < 15:
                        connection.sendall(b"a")
                        if select.select([connection], [], [], 0.1)[0]:
                            break
                self.assertLess(time.monotonic() - start, 10)
        self.eventually(lambda: self.servers[0].requests.idle == 10)
