# SPDX-License-Identifier: Apache-2.0
"""What Nova answers and tells: an API that knows one call, and notifications as recorded."""

import copy
import json
import pathlib
import threading
from typing import Any
from wsgiref import simple_server

import fixtures
import oslo_messaging
from oslo_config import cfg
from oslo_messaging import opts as messaging

from kongming.tests.unit import compute

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
        return {"auth_type": "none", "endpoint_override": self.url, "timeout": 60}

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


#: Notifications of Nova 34, in the order in which they were recorded.
RECORDED: list[dict[str, Any]] = json.loads(
    (pathlib.Path(compute.__file__).parent / "nova_34.json").read_text()
)
VERSIONED, LEGACY = "versioned_notifications", "notifications"


def recorded(event: str, topic: str = VERSIONED) -> dict[str, Any]:
    """Return a copy of what was recorded of an event."""
    (found,) = (each for each in RECORDED if (each["topic"], each["event"]) == (topic, event))
    return copy.deepcopy(found)


def payload(event: str, uuid: str, metadata: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the payload of a versioned event of a server of project telco.

    An event that was not recorded has the payload of the recorded one that is most like it.
    """
    if event.startswith("compute_task."):
        found = recorded("compute_task.migrate_server.error")["payload"]
        found["nova_object.data"] |= {"instance_uuid": uuid} | changes
        return found
    names = [each["event"] for each in RECORDED if each["topic"] == VERSIONED]
    found = recorded(event if event in names else "instance.create.end")["payload"]
    owner = {"uuid": uuid, "tenant_id": "telco", "user_id": "mano"}
    found["nova_object.data"] |= owner | {"metadata": metadata or {}} | changes
    return found


def legacy_payload(uuid: str, **changes: Any) -> dict[str, Any]:
    """Return the payload of a legacy event of a server of project telco."""
    found = recorded("compute.instance.power_on.end", LEGACY)["payload"]
    owner = {"instance_id": uuid, "tenant_id": "telco", "user_id": "mano"}
    return {**found, **owner, **changes}


class _Context(oslo_messaging.NoOpSerializer):
    """Puts into each message the context that was recorded."""

    def serialize_context(self, ctxt: Any) -> dict[str, Any]:
        """Return it."""
        found: dict[str, Any] = recorded("instance.create.end")["ctxt"]
        return found


class Publisher(fixtures.Fixture):
    """Sends notifications as Nova does, to a broker."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def _setUp(self) -> None:
        # Nova's configuration is not KongMing's
        conf = cfg.ConfigOpts()
        for group, options in messaging.list_opts():
            conf.register_opts(options, group=group)
        conf([])
        conf.set_override("control_exchange", "nova")
        self._transport = oslo_messaging.get_notification_transport(conf, url=self._url)
        if not self._url.startswith("fake:"):
            self.addCleanup(self._transport.cleanup)

    def send(self, event: str, content: dict[str, Any], topic: str = VERSIONED) -> None:
        """Send an event."""
        notifier = oslo_messaging.Notifier(
            self._transport,
            "nova-compute:fake1",
            driver="messagingv2",
            topics=[topic],
            serializer=_Context(),
        )
        send = notifier.error if event.endswith("error") else notifier.info
        send({}, event, content)
