# SPDX-License-Identifier: Apache-2.0
"""A Nova API that knows one call: the answers have the form that Nova 34 gives an admin."""

import json
import threading
from typing import Any
from wsgiref import simple_server

import fixtures

#: Each as ``GET /servers/{id}`` shows it, but for what nobody here reads.
Servers = dict[str, dict[str, Any]]


class _Silent(simple_server.WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class NovaAPI(fixtures.Fixture):
    """Listens on loopback; ``newest`` is the microversion that it announces ("" for none).

    ``status``, where set, is the answer to everything; ``asked`` are the calls, each with its
    microversion.
    """

    def __init__(self, newest: str = "2.100") -> None:
        super().__init__()
        self.newest = newest
        self.servers: Servers = {}
        self.status: str | None = None
        self.asked: list[tuple[str, str | None]] = []

    def _setUp(self) -> None:
        server = simple_server.make_server("127.0.0.1", 0, self._answer, handler_class=_Silent)
        self.url = f"http://127.0.0.1:{server.server_port}/v2.1"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)

    def add(
        self,
        uuid: str,
        project_id: str = "telco",
        metadata: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Let there be a server."""
        self.servers[uuid] = {
            "id": uuid,
            "tenant_id": project_id,
            "user_id": "mano",
            "status": "BUILD",
            "metadata": metadata or {},
            "OS-EXT-SRV-ATTR:host": None,
            "links": [],
            **more,
        }

    @property
    def options(self) -> dict[str, Any]:
        """Those of ``[service_credentials]`` that lead here, without Keystone."""
        return {"auth_type": "none", "endpoint_override": self.url, "timeout": 2}

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        self.asked.append((path, environ.get("HTTP_OPENSTACK_API_VERSION")))
        uuid = path.rpartition("/")[2]
        status, body = "404 Not Found", {"itemNotFound": {"code": 404, "message": "not found"}}
        if self.status is not None:
            status, body = self.status, {"error": {"message": "as told", "code": 0}}
        elif path in ("/v2.1", "/v2.1/"):
            status, body = "200 OK", {"version": self._version()}
        elif path.startswith("/v2.1/servers/") and uuid in self.servers:
            status, body = "200 OK", {"server": self.servers[uuid]}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _version(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.url + "/"}]
        oldest = "2.1" if self.newest else ""
        return {
            "id": "v2.1",
            "status": "CURRENT",
            "version": self.newest,
            "min_version": oldest,
            "links": links,
        }
