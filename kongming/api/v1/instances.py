# SPDX-License-Identifier: Apache-2.0
"""``/v1/instances``: the instances and where their threads and memory really are."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects
from kongming.api import described, links, query
from kongming.api.loaded import load_instance, visible
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.api.v1 import pins, usage
from kongming.api.v1.placement import Placement
from kongming.db import engine, hosts, models
from kongming.policies import instances as rules

FILTERS = ("host", "name", "project_id", "state", "user_id")
SORT_KEYS = ("host", "name", "state", "uuid")


class Instance(wtypes.Base):
    """An instance as it is shown; ``observed`` is null without threads."""

    _places: ClassVar[dict[str, Any]] = {"host": "", "observed": None}

    uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    name = wtypes.wsattr(wtypes.text, mandatory=True)
    host = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.text
    user_id = wtypes.text
    state = wtypes.wsattr(wtypes.text, mandatory=True)
    vcpus = wtypes.wsattr(int, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)
    iothreads = wtypes.wsattr(wtypes.ArrayType(int), mandatory=True)
    observed = Placement
    usage = usage.Instance
    updated_at = wtypes.text
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Instances(wtypes.Base):
    """A page of instances."""

    instances = wtypes.wsattr(wtypes.ArrayType(Instance), mandatory=True)
    next = wtypes.text


@serves("1.1")
class InstancesController(Collection):
    """``/v1/instances``"""

    @pecan.expose("json")
    @described.operation(
        Instances, refuses=(exception.Forbidden,), filters=FILTERS, sort_keys=SORT_KEYS
    )
    def get_all(self) -> dict[str, Any]:
        """List the instances that the caller may see."""
        request = pecan.request
        page = query.page(request, FILTERS, SORT_KEYS)
        where = visible(request.context, rules.GET, rules.ALL_PROJECTS, models.Instance.project_id)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Instance.uuid, page, where)
            found = [objects.Instance.from_row(row) for row in rows]
        answer: dict[str, Any] = {"instances": _show(found)}
        if more:
            answer["next"] = query.next_link(request, page, found[-1].uuid)
        return answer

    @pecan.expose("json")
    @described.operation(Instance, refuses=(exception.InstanceNotFound,))
    def get_one(self, uuid: str) -> Any:
        """Show an instance."""
        return _show([load_instance(pecan.request.context, rules.GET, uuid)])[0]


def _show(instances: Sequence[objects.Instance]) -> list[Any]:
    """Return instances as JSON's types."""
    if pecan.request.version < usage.FIRST:
        return [_instance(instance, wtypes.Unset) for instance in instances]
    with engine.reader() as session:
        told = hosts.instance_usages(session, {instance.host for instance in instances})
    return [
        _instance(
            instance,
            # one that stopped since is known to have no threads any more
            usage.of_instance(told.get(instance.host), instance.uuid)
            if instance.has_threads
            else None,
        )
        for instance in instances
    ]


def _instance(instance: objects.Instance, used: Any) -> Any:
    return wsme_json.tojson(
        Instance,
        Instance(
            uuid=instance.uuid,
            name=instance.name,
            host=instance.host,
            project_id=instance.project_id,
            user_id=instance.user_id,
            state=instance.state,
            vcpus=instance.vcpus,
            memory_mib=instance.memory_mib,
            iothreads=instance.iothreads,
            observed=pins.placement(instance.observed),
            usage=used,
            updated_at=links.instant(instance.updated_at),
            links=links.to(pecan.request, "instances", instance.uuid),
        ),
    )
