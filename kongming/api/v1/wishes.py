# SPDX-License-Identifier: Apache-2.0
"""A wish in a body: as it is, or with a template that it differs from."""

from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception
from kongming.api import body
from kongming.api.microversion import Version
from kongming.api.v1.placement import Memory, Raw
from kongming.conductor import wishes
from kongming.db import engine
from kongming.objects.asked import Asked
from kongming.topology import grammar, layout
from kongming.topology.wish import (
    CPU_POLICIES,
    EMULATOR_POLICIES,
    THREAD_POLICIES,
    Wish,
    WishError,
)

#: The version that brought causes, and wishes that leave drifts as they are.
CAUSES = Version(1, 7)
#: The version that brought templates.
TEMPLATES = Version(1, 10)
#: The version that brought calendars.
CALENDARS = Version(1, 11)
#: The version that brought a field of the wish.
SINCE = {
    "pci_device": Version(1, 3),
    "override": Version(1, 4),
    "enforce": CAUSES,
    "qos": Version(1, 8),
}


def _word(emulator: str) -> Any:
    return emulator if emulator in EMULATOR_POLICIES else wtypes.Unset


def _without_host_nodes(numa_nodes: Any) -> Any:
    if not isinstance(numa_nodes, list):
        return numa_nodes
    return [{k: v for k, v in node.items() if k != "host_node"} for node in numa_nodes]


def _pages(memory: Any) -> Any:
    return {k: v for k, v in memory.items() if k == "page_size_kib"} or wtypes.Unset


class GuestNodes(Raw):
    """How many guest nodes, or a list of them."""

    def read(self, value: Any, path: str) -> Any:
        """Return the value.

        :raises BadRequest: it is null, or a node has a field that there is not
        """
        try:
            layout.check_keys(path, value)
        except WishError as error:
            raise exception.BadRequest.field(error.field, error.reason) from error
        return super().read(value, path)


class WishBody(wtypes.Base):
    """What a caller may ask for."""

    _grammar = grammar.WISH
    _since = SINCE
    _places: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(("vcpus", "iothreads", "pci_device"), wtypes.Unset),
        "emulator": _word,
        "numa_nodes": _without_host_nodes,
        "memory": _pages,
    }
    _instances = ("near", "avoid")

    cpu_policy = wtypes.Enum(str, *CPU_POLICIES)
    thread_policy = wtypes.Enum(str, *THREAD_POLICIES)
    numa_nodes = GuestNodes()
    near = wtypes.text
    avoid = Raw()
    vcpus = wtypes.DictType(wtypes.text, wtypes.text)
    emulator = wtypes.text
    iothreads = wtypes.DictType(wtypes.text, wtypes.text)
    memory = Memory
    pci_device = wtypes.text
    override = bool
    enforce = bool
    qos = Raw()

    def fields(self, prefix: str = "") -> dict[str, Any]:
        """Return the fields of the wish that were given, as JSON.

        :raises BadRequest: naming one that the version lacks, after ``prefix``
        """
        require_version(self, prefix)
        if body.has(self, "memory"):
            require_version(self.memory, f"{prefix}memory.")
        data = wsme_json.tojson(type(self), self)
        return {name: value for name, value in data.items() if name in _FIELDS}

    def wish(self, prefix: str = "") -> Wish:
        """Return the wish.

        :raises BadRequest: naming the field that is malformed, after ``prefix``
        """
        try:
            return Wish.from_dict(self.fields(prefix))
        except WishError as error:
            raise exception.BadRequest.field(prefix + error.field, error.reason) from error


_FIELDS = frozenset(attribute.name for attribute in wtypes.list_attributes(WishBody))


class FollowingBody(WishBody):
    """What a caller may ask for, or how that differs from a template: ``NAME`` or ``NAME/ROLE``."""

    _grammar = grammar.WISH | {"template": grammar.TEMPLATE}
    _since = SINCE | {"template": TEMPLATES}

    template = wtypes.text

    def own(self, prefix: str = "") -> Wish:
        """Return a wish with just the fields that were given, to judge who may ask for them.

        :raises BadRequest: naming the field that is malformed, after ``prefix``
        """
        try:
            return Asked(self.fields(prefix)).own()
        except WishError as error:
            raise exception.BadRequest.field(prefix + error.field, error.reason) from error

    def asked(self, project_id: str | None, prefix: str = "") -> tuple[Asked, Wish]:
        """Return what is asked for an instance of a project, and the wish that comes of it now.

        :raises BadRequest: naming the field that is wrong, after ``prefix``
        """
        fields = self.fields(prefix)
        if not body.has(self, "template"):
            return Asked(fields), self.wish(prefix)
        try:
            with engine.reader() as session:
                given = {**fields, "template": self.template}
                asked = wishes.asked_for(session, given, project_id)
                return asked, wishes.wish_of(session, asked)
        except WishError as error:
            raise exception.BadRequest.field(prefix + error.field, error.reason) from error


def require_version(asked: Any, prefix: str = "") -> None:
    """Insist that the version of the request has the fields that a body gives.

    :raises BadRequest: naming the first that it lacks, after ``prefix``
    """
    for name, version in asked._since.items():
        if body.has(asked, name) and pecan.request.version < version:
            raise exception.BadRequest.field(prefix + name, f"is there from version {version} on")


def with_memory(data: dict[str, Any]) -> dict[str, Any]:
    """Return fields with memory as its type."""
    return data | {"memory": Memory(**data["memory"])} if "memory" in data else data
