# SPDX-License-Identifier: Apache-2.0
"""What Nova's notifications mean for a pin. Pure: no I/O.

The host in a payload is never looked at: after an evacuation it is the old one, in
``resize.end`` the coming one, in others the source or none. Who has the instance is told by
the hypervisors.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any


class What(enum.Enum):
    """The three things that matter."""

    METADATA = "metadata"  # this is the server's metadata now
    DELETED = "deleted"  # the server is gone for good
    NOT_BUILT = "not built"  # where it was scheduled to, or anywhere


@dataclasses.dataclass(frozen=True)
class News:
    """What one notification says of one server; ``metadata`` None: Nova must be asked for it.

    ``built``: the server has just been made, and runs.
    """

    what: What
    uuid: str
    project_id: str | None = None
    user_id: str | None = None
    metadata: Mapping[str, str] | None = None
    built: bool = False


@dataclasses.dataclass(frozen=True)
class Handler:
    """One format of notifications: its topic, and what an event and its payload mean.

    ``read`` returns None for what does not matter. ``asks_nova``: it leaves metadata to Nova's
    API.
    """

    topic: str
    read: Callable[[str, Mapping[str, Any]], News | None]
    asks_nova: bool


#: States of a server whose metadata is not about anything that runs, or will run again.
_NOT_THERE = ("building", "deleted", "error", "soft-delete")


def _versioned(event: str, payload: Mapping[str, Any]) -> News | None:
    data = payload["nova_object.data"]
    if event == "compute_task.build_instances.error":
        return News(What.NOT_BUILT, data["instance_uuid"])
    if not event.startswith("instance."):
        return None
    owner = (data["uuid"], data["tenant_id"], data["user_id"])
    if event == "instance.create.error":
        return News(What.NOT_BUILT, *owner)
    if event == "instance.delete.end":
        return News(What.DELETED, *owner)
    if _tells_metadata(event, data["state"]):
        built = event == "instance.create.end"
        return News(What.METADATA, *owner, metadata=data["metadata"], built=built)
    return None


def _legacy(event: str, payload: Mapping[str, Any]) -> News | None:
    if event == "compute_task.build_instances":
        return News(What.NOT_BUILT, payload["instance_id"])
    if not event.startswith("compute.instance."):
        return None
    owner = (payload["instance_id"], payload["tenant_id"], payload["user_id"])
    if event == "compute.instance.create.error":
        return News(What.NOT_BUILT, *owner)
    if event == "compute.instance.delete.end":
        return News(What.DELETED, *owner)
    if _tells_metadata(event, payload["state"]):
        return News(What.METADATA, *owner, built=event == "compute.instance.create.end")
    return None


def _tells_metadata(event: str, state: str) -> bool:
    return event.endswith((".end", "instance.update")) and state not in _NOT_THERE


VERSIONED = Handler("versioned_notifications", _versioned, asks_nova=False)
LEGACY = Handler("notifications", _legacy, asks_nova=True)
