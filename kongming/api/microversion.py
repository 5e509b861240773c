# SPDX-License-Identifier: Apache-2.0
"""Microversions: the header ``OpenStack-API-Version: resource_pin 1.N``."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import microversion_parse
import pecan
import webob
from webob import exc

from kongming import exception


class Version(NamedTuple):
    """A microversion; compares like its numbers."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


#: Every version with what it brought; the last is the newest.
VERSIONS: tuple[tuple[Version, str], ...] = (
    (Version(1, 0), "the calls of 2018, and pins with their history"),
    (Version(1, 1), "hosts with NUMA nodes and cores, instances with observed placement"),
)
MIN_VERSION: Version = VERSIONS[0][0]
MAX_VERSION = VERSIONS[-1][0]

HEADER = "OpenStack-API-Version"
SERVICE_TYPE = "resource_pin"
_ACCEPTED_TYPES = (SERVICE_TYPE, "resource-pin")


class NotAcceptable(exception.KongMingError):
    """The version asked for is not one of `VERSIONS`."""

    status = 406
    code = "resource_pin.version_not_supported"
    template = "Version {asked} is not supported: {lowest} to {highest} are."


def negotiate(headers: Any) -> Version:
    """Return the version that a request wants; the lowest if it does not say.

    :raises BadRequest: the header is malformed
    :raises NotAcceptable: there is no such version
    """
    asked = None
    for service_type in _ACCEPTED_TYPES:
        asked = asked or microversion_parse.get_version(headers, service_type)
    if asked is None:
        return MIN_VERSION
    if asked == "latest":
        return MAX_VERSION
    try:
        wanted = microversion_parse.parse_version_string(asked)
    except (TypeError, ValueError) as error:
        raise exception.BadRequest.field(HEADER, "must read 'resource_pin 1.N'") from error
    for version, _ in VERSIONS:
        if Version(wanted.major, wanted.minor) == version:
            return version
    raise NotAcceptable(asked=asked[:32], lowest=MIN_VERSION, highest=MAX_VERSION)


def serves(first: str, last: str | None = None) -> Callable[[type], type]:
    """Mark a controller class as the one for versions ``first`` to ``last`` (or the newest)."""

    def mark(controller: type) -> type:
        controller.versions = (_parse(first), _parse(last) if last else MAX_VERSION)  # type: ignore[attr-defined]
        return controller

    return mark


class Versioned:
    """Several controllers under one path; the request's version picks one."""

    def __init__(self, *controllers: Any) -> None:
        self.controllers: Sequence[Any] = controllers

    @pecan.expose()
    def _route(self, args: Any, request: webob.Request) -> Any:
        for controller in self.controllers:
            first, last = controller.versions
            if first <= request.version <= last:
                return controller._route(args, request)
        raise exc.HTTPNotFound(f"not there at version {request.version}")


def _parse(text: str) -> Version:
    major, minor = text.split(".")
    return Version(int(major), int(minor))
