# SPDX-License-Identifier: Apache-2.0
"""``/v1/hosts``: the compute hosts as their agents report them."""

from collections.abc import Sequence
from typing import Any

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import links, query
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.db import engine, hosts, instances, models
from kongming.policies import hosts as rules
from kongming.topology import cpuset

SORT_KEYS = ("name", "reported_at")


class Cpus(wtypes.Base):
    """The pCPUs of a host."""

    online = wtypes.text
    offline = wtypes.text


class Pages(wtypes.Base):
    """The memory pages of one size on one NUMA node."""

    size_kib = int
    total = int
    free = int


class Core(wtypes.Base):
    """A physical core; ``cpus`` are its sibling pCPUs."""

    socket = int
    die = int
    core = int
    cpus = wtypes.text


class NumaNode(wtypes.Base):
    """A NUMA node of a host."""

    id = int
    cpus = wtypes.text
    memory_mib = int
    pages = wtypes.ArrayType(Pages)
    distances = wtypes.DictType(wtypes.text, int)
    cores = wtypes.ArrayType(Core)


class Host(wtypes.Base):
    """A host as it is shown."""

    name = wtypes.text
    status = wtypes.text
    reported_at = wtypes.text
    generation = int
    cpus = Cpus
    numa_nodes = wtypes.ArrayType(NumaNode)
    instances = wtypes.ArrayType(wtypes.text)
    links = wtypes.ArrayType(links.Link)


@serves("1.1")
class HostsController(Collection):
    """``/v1/hosts``"""

    @pecan.expose("json")
    def get_all(self) -> dict[str, Any]:
        """List the hosts."""
        policy.authorize(pecan.request.context, rules.GET)
        page = query.page(pecan.request, (), SORT_KEYS)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Host.name, page)
            residents = instances.by_hosts(session, [row.name for row in rows])
            shown = [show(row, residents[row.name]) for row in rows]
        answer: dict[str, Any] = {"hosts": shown}
        if more:
            answer["next"] = query.next_link(pecan.request, page, shown[-1]["name"])
        return answer

    @pecan.expose("json")
    def get_one(self, host_name: str) -> Any:
        """Show a host."""
        policy.authorize(pecan.request.context, rules.GET)
        with engine.reader() as session:
            row = hosts.get(session, host_name) if host_name.isprintable() else None
            if row is None:
                raise exception.HostNotFound(host=host_name[:64])
            return show(row, instances.on_host(session, host_name))


def show(row: models.Host, residents: Sequence[models.Instance]) -> Any:
    """Return a host with its instances as JSON's types."""
    host: objects.Host = objects.Host.from_row(row)
    return wsme_json.tojson(
        Host,
        Host(
            name=host.name,
            status=host.status,
            reported_at=links.instant(host.reported_at),
            generation=host.generation,
            cpus=Cpus(
                online=cpuset.to_text(host.topology.online),
                offline=cpuset.to_text(host.topology.offline),
            ),
            numa_nodes=[_node(node) for node in host.topology.to_dict()["nodes"]],
            instances=[instance.uuid for instance in residents],
            links=links.to(pecan.request, "hosts", host.name),
        ),
    )


def _node(node: dict[str, Any]) -> NumaNode:
    return NumaNode(
        **node
        | {
            "pages": [Pages(**pages) for pages in node["pages"]],
            "cores": [Core(**core) for core in node["cores"]],
        }
    )
