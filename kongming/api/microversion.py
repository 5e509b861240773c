# SPDX-License-Identifier: Apache-2.0
"""Microversions: the header ``OpenStack-API-Version: resource_pin 1.N``."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import microversion_parse
import webob
from webob import exc

from kongming import exception
from kongming.api.routes import Node, Operation, Route


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
    (Version(1, 2), "pins made before their instance is known, and reservations"),
    (Version(1, 3), "pins at a PCI device, and the PCI devices of hosts"),
    (Version(1, 4), "pins that override what Nova gave an instance"),
    (Version(1, 5), "what hosts and instances are used for"),
    (Version(1, 6), "the isolated pCPUs of hosts"),
    (Version(1, 7), "causes of drifts, and pins that leave drifts as they are"),
    (Version(1, 8), "pins with quotas, periods, shares and weights of CPU time"),
    (Version(1, 9), "moves of memory: progress, end and receipt; memory that stays until a start"),
    (Version(1, 10), "templates that pins follow, rollouts, and who asked in the history of pins"),
    (Version(1, 11), "calendars, and what they have in force for pins and when"),
    (Version(1, 12), "quotas of projects"),
    (Version(1, 13), "the projects for which limits were set, and which these are"),
)
MIN_VERSION: Version = VERSIONS[0][0]
MAX_VERSION = VERSIONS[-1][0]

HEADER = "OpenStack-API-Version"
SERVICE_TYPE = "resource_pin"
_ACCEPTED_TYPES = (SERVICE_TYPE, "resource-pin")
_NUMBERS = re.compile(r"([1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


class NotAcceptable(exception.KongMingError):
    """The version asked for is not one of `VERSIONS`."""

    status = 406
    code = "resource_pin.version_not_supported"
    template = "Version {asked} is not supported: {lowest} to {highest} are."

    @property
    def details(self) -> dict[str, str]:
        """What a client needs to settle on another version."""
        return {"min_version": str(MIN_VERSION), "max_version": str(MAX_VERSION)}


def is_named(headers: Any) -> bool:
    """Whether a request says which version it wants."""
    return any(microversion_parse.get_version(headers, word) for word in _ACCEPTED_TYPES)


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
    numbers = _NUMBERS.fullmatch(asked)
    if numbers is None:
        raise exception.BadRequest.field(HEADER, "must read 'resource_pin 1.N'")
    wanted = Version(int(numbers[1]), int(numbers[2]))
    if wanted in dict(VERSIONS):
        return wanted
    raise NotAcceptable(asked=asked[:32], lowest=MIN_VERSION, highest=MAX_VERSION)


def serves(first: str, last: str | None = None) -> Callable[[type], type]:
    """Mark a controller class as the one for versions ``first`` to ``last`` (or the newest)."""

    def mark(controller: type) -> type:
        controller.versions = (parse(first), parse(last) if last else MAX_VERSION)  # type: ignore[attr-defined]
        return controller

    return mark


class Versioned(Node):
    """Several controllers under one path; the request's version picks one."""

    def __init__(self, *controllers: Any) -> None:
        self.controllers: Sequence[Any] = controllers

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Leave it to the controller of the version."""
        for controller in self.controllers:
            first, last = controller.versions
            if first <= request.version <= last:
                route: Route = controller.route(path, request)
                return route
        raise exc.HTTPNotFound(f"not there at version {request.version}")

    def operations(self, version: Version, path: str = "") -> Iterator[Operation]:
        """Yield those of the controller of the version."""
        for controller in self.controllers:
            first, last = controller.versions
            if first <= version <= last:
                yield from controller.operations(version, path)


def parse(text: str) -> Version:
    """Return the version that is written as ``1.N``."""
    major, minor = text.split(".")
    return Version(int(major), int(minor))
