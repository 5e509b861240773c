# SPDX-License-Identifier: Apache-2.0
"""What the scheduler filter asks KongMing, over HTTP."""

import contextlib
import threading
from typing import Any

from keystoneauth1 import adapter, exceptions, loading
from oslo_config import cfg

from kongming.compute import options

#: The one that brought templates; what only operators may ask for, `choice` leaves out.
_VERSION = "1.10"
#: The second is that of catalogues made in 2018.
_SERVICE_TYPES = ("resource-pin", "resource_pin")

#: Codes of 403 that are not about the scheduler's own user.
_FOR_USERS = frozenset({"resource_pin.quota_exceeded", "resource_pin.cpu_time_forbidden"})


class Unavailable(Exception):
    """KongMing gave no usable answer. The message is for users, its cause for operators."""


class Refused(Exception):
    """KongMing answered 400, 404, 409, or 403 to what the scheduler asked for; in its words."""

    def __init__(self, status: int, codes: list[str], message: str) -> None:
        super().__init__(message)
        self.status = status
        self.codes = codes


class Client:
    """The calls. Any thread may make them, and a process forked before the first of them.

    Each takes the request id that KongMing's log shall show, and raises `Unavailable`. A call that
    met no answer, or 503, was made twice: what it does may have been done.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        # now, so that nova-scheduler does not start with a wrong one
        self._timeout: float = conf[options.GROUP].timeout
        self._lock = threading.Lock()
        self._made: adapter.Adapter | None = None

    def pin(self, instance_uuid: str, request_id: str) -> dict[str, Any] | None:
        """Return the pin of an instance, None if it has none."""
        try:
            return self._call("GET", f"/v1/pins/{instance_uuid}", None, request_id)
        except Refused as refused:
            if refused.status == 404 and "resource_pin.pin_not_found" in refused.codes:
                return None
            raise

    def instance(self, uuid: str, request_id: str) -> dict[str, Any] | None:
        """Return an instance, None if no host reports it."""
        try:
            return self._call("GET", f"/v1/instances/{uuid}", None, request_id)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def candidates(
        self, question: dict[str, Any], request_id: str
    ) -> tuple[list[tuple[str, bool]], dict[str, str]]:
        """Return the candidates, best first, and why the other hosts are none.

        Of a candidate that is its host, and whether the placement claims pCPUs or memory there.

        :raises Refused: the wish is one that no host could satisfy
        """
        answer = self._call("POST", "/v1/candidates", question, request_id)
        try:
            fits = [(str(each["host"]), bool(each["claims"])) for each in answer["candidates"]]
            rejected = {
                str(each["host"]): "; ".join(str(why["detail"]) for why in each["reasons"])
                for each in answer["rejected"]
            }
        except (KeyError, TypeError) as error:
            raise Unavailable("KongMing answered what the scheduler does not understand") from error
        return fits, rejected

    def create_pin(self, pin: dict[str, Any], request_id: str) -> bool:
        """Make a pin, with a reservation if it has ``host`` and ``size``.

        :returns: False if there is one already
        :raises Refused: otherwise
        """
        try:
            self._call("POST", "/v1/pins", pin, request_id)
        except Refused as refused:
            if "resource_pin.pin_exists" in refused.codes:
                return False
            raise
        return True

    def reserve(self, instance_uuid: str, host: str, size: dict[str, int], request_id: str) -> None:
        """Keep on a host what the pin of an instance needs.

        :raises Refused: it has no room, or there is no pin
        """
        body = {"host": host, "size": size}
        self._call("PUT", f"/v1/pins/{instance_uuid}/reservation", body, request_id)

    def _call(self, method: str, path: str, body: Any, request_id: str) -> dict[str, Any]:
        try:
            where = self._adapter()
            answer = where.request(
                path,
                method,
                json=body,
                raise_exc=False,
                endpoint_override=_endpoint(where),
                microversion=_VERSION,
                microversion_service_type=_SERVICE_TYPES[0],
                global_request_id=request_id,
                connect_retries=1,
                status_code_retries=1,
            )
        except exceptions.ClientException as error:
            raise Unavailable("KongMing cannot be reached") from error
        status = answer.status_code
        try:
            data = answer.json()
            if status in (200, 201) and isinstance(data, dict):
                return data
            if status in (400, 403, 404, 409):
                codes = [str(error["code"]) for error in data["errors"]]
                if status != 403 or _FOR_USERS.issuperset(codes):
                    raise Refused(status, codes, str(data["message"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"KongMing gave HTTP {status} and no answer of its own") from error
        if status in (401, 403):
            raise Unavailable(f"KongMing does not accept the scheduler (HTTP {status})")
        raise Unavailable(f"KongMing failed (HTTP {status})")

    def _adapter(self) -> adapter.Adapter:
        with self._lock:
            # not before there is a request: nova-scheduler forks after it has made its filters
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> adapter.Adapter:
        where, how = self._conf[options.GROUP], self._conf[options.CREDENTIALS]
        session = loading.session.Session().load_from_options(
            auth=loading.load_auth_from_conf_options(self._conf, options.CREDENTIALS),
            timeout=self._timeout,
            insecure=how.insecure,
            cacert=how.cafile,
            cert=how.certfile,
            key=how.keyfile,
        )
        return adapter.Adapter(
            session,
            interface=where.valid_interfaces,
            region_name=where.region_name,
            endpoint_override=where.endpoint_override,
        )


def _endpoint(where: adapter.Adapter) -> str:
    """Return the URL of the service without the version that a catalogue may name."""
    found = where.endpoint_override
    for service_type in _SERVICE_TYPES:
        if not found:
            with contextlib.suppress(exceptions.EndpointNotFound):
                found = where.get_endpoint(service_type=service_type)
    if not found:
        raise exceptions.EndpointNotFound(f"no {_SERVICE_TYPES[0]} in the service catalogue")
    url: str = found.rstrip("/").removesuffix("/v1")
    return url
