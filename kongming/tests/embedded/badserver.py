# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers other than KongMing should."""

import http.server
import json
import threading
from typing import Any

import fixtures

REFUSAL = {"message": "no", "errors": [{"code": "resource_pin.pin_not_found"}]}


class BadServer(fixtures.Fixture):
    """Answers every request with ``status`` and ``body``, after ``delay`` seconds.

    ``queue`` has the statuses of the next answers, before ``status`` holds; ``seen`` the headers
    of each request.
    """

    def __init__(
        self,
        status: int = 200,
        body: Any = None,
        delay: float = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.status = status
        self.body = body
        self.delay = delay
        self.headers = headers or {}
        self.queue: list[int] = []
        self.seen: list[Any] = []

    def _setUp(self) -> None:
        outer, over = self, threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append(self.headers)
                over.wait(outer.delay)
                status = outer.queue.pop(0) if outer.queue else outer.status
                body = outer.body
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in outer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # nobody waits for it any more

            do_POST = do_PUT = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.addCleanup(over.set)
