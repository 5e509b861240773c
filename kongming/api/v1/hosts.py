# SPDX-License-Identifier: Apache-2.0
"""``/v1/hosts``: the compute hosts as their agents report them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pecan
from sqlalchemy import orm
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception, objects, policy
from kongming.api import described, links, query
from kongming.api.microversion import Version, serves
from kongming.api.routes import Collection
from kongming.api.v1 import usage
from kongming.db import claims, engine, hosts, instances, models
from kongming.policies import hosts as rules
from kongming.topology import cpuset, occupancy

SORT_KEYS = ("name", "reported_at")


class Cpus(wtypes.Base):
    """The pCPUs of a host.

    ``managed`` ones are offered to instances; pins have ``claimed`` some for themselves,
    other instances have been ``given`` some by others, above all by Nova; the rest is
    ``free``. ``isolated`` ones are for one thread at a time.
    """

    online = wtypes.wsattr(wtypes.text, mandatory=True)
    offline = wtypes.text
    managed = wtypes.wsattr(wtypes.text, mandatory=True)
    isolated = wtypes.text
    claimed = wtypes.wsattr(wtypes.text, mandatory=True)
    given = wtypes.wsattr(wtypes.text, mandatory=True)
    free = wtypes.wsattr(wtypes.text, mandatory=True)


class Conflict(wtypes.Base):
    """pCPUs that several instances hold, each for itself alone."""

    _instances = ("instances",)

    cpus = wtypes.wsattr(wtypes.text, mandatory=True)
    instances = wtypes.wsattr(wtypes.ArrayType(wtypes.text), mandatory=True)


class Pages(wtypes.Base):
    """The memory pages of one size on one NUMA node."""

    size_kib = wtypes.wsattr(int, mandatory=True)
    total = wtypes.wsattr(int, mandatory=True)
    free = wtypes.wsattr(int, mandatory=True)


class Core(wtypes.Base):
    """A physical core; ``cpus`` are its sibling pCPUs."""

    socket = int
    die = int
    core = wtypes.wsattr(int, mandatory=True)
    cpus = wtypes.wsattr(wtypes.text, mandatory=True)


class NumaNode(wtypes.Base):
    """A NUMA node of a host."""

    id = wtypes.wsattr(int, mandatory=True)
    cpus = wtypes.wsattr(wtypes.text, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)
    reserved_mib = int
    pages = wtypes.wsattr(wtypes.ArrayType(Pages), mandatory=True)
    distances = wtypes.wsattr(wtypes.DictType(wtypes.text, int), mandatory=True)
    cores = wtypes.wsattr(wtypes.ArrayType(Core), mandatory=True)


class Host(wtypes.Base):
    """A host as it is shown."""

    _instances = ("instances",)

    name = wtypes.wsattr(wtypes.text, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    reported_at = wtypes.text
    generation = wtypes.wsattr(int, mandatory=True)
    cpus = wtypes.wsattr(Cpus, mandatory=True)
    numa_nodes = wtypes.wsattr(wtypes.ArrayType(NumaNode), mandatory=True)
    pci_devices = wtypes.DictType(wtypes.text, int)
    instances = wtypes.wsattr(wtypes.ArrayType(wtypes.text), mandatory=True)
    conflicts = wtypes.wsattr(wtypes.ArrayType(Conflict), mandatory=True)
    usage = usage.Host
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class Hosts(wtypes.Base):
    """A page of hosts."""

    hosts = wtypes.wsattr(wtypes.ArrayType(Host), mandatory=True)
    next = wtypes.text


@serves("1.1")
class HostsController(Collection):
    """``/v1/hosts``"""

    @pecan.expose("json")
    @described.operation(Hosts, refuses=(exception.Forbidden,), filters=(), sort_keys=SORT_KEYS)
    def get_all(self) -> dict[str, Any]:
        """List the hosts."""
        policy.authorize(pecan.request.context, rules.GET)
        page = query.page(pecan.request, (), SORT_KEYS)
        with engine.reader() as session:
            rows, more = query.fetch(session, models.Host.name, page)
            shown = _show(session, rows)
        answer: dict[str, Any] = {"hosts": shown}
        if more:
            answer["next"] = query.next_link(pecan.request, page, shown[-1]["name"])
        return answer

    @pecan.expose("json")
    @described.operation(Host, refuses=(exception.Forbidden, exception.HostNotFound))
    def get_one(self, host_name: str) -> Any:
        """Show a host."""
        policy.authorize(pecan.request.context, rules.GET)
        with engine.reader() as session:
            row = hosts.get(session, host_name) if host_name.isprintable() else None
            if row is None:
                raise exception.HostNotFound(host=host_name[:64])
            return _show(session, [row])[0]


def _show(session: orm.Session, rows: Sequence[models.Host]) -> list[Any]:
    """Return hosts with their instances as JSON's types."""
    names = [row.name for row in rows]
    residents = instances.by_hosts(session, names)
    claimed = claims.by_hosts(session, names)
    told = hosts.usages(session, names) if pecan.request.version >= usage.FIRST else {}
    return [
        wsme_json.tojson(
            Host,
            _host(row, residents[row.name], claimed.get(row.name, {}), told.get(row.name)),
        )
        for row in rows
    ]


def _host(
    row: models.Host,
    residents: Sequence[models.Instance],
    claimed: Mapping[int, str],
    used: Mapping[str, Any] | None,
) -> Host:
    host: objects.Host = objects.Host.from_row(row)
    topology = host.topology
    given = {i.uuid: cpuset.parse(i.holds) for i in residents if i.holds}
    taken: dict[str, int] = {}
    for pcpu, holder in claimed.items():
        taken[holder] = taken.get(holder, 0) | 1 << pcpu
    claimed_cpus, given_cpus = cpuset.from_members(claimed), occupancy.together(given)
    version = pecan.request.version
    managed = topology.online & ~topology.unmanaged
    shape = topology.to_dict()
    return Host(
        name=host.name,
        status=host.status,
        reported_at=links.instant(host.reported_at),
        generation=host.generation,
        cpus=Cpus(
            online=cpuset.to_text(topology.online),
            offline=cpuset.to_text(topology.offline),
            managed=cpuset.to_text(managed),
            isolated=cpuset.to_text(topology.isolated)
            if version >= Version(1, 6)
            else wtypes.Unset,
            claimed=cpuset.to_text(claimed_cpus),
            given=cpuset.to_text(given_cpus),
            free=cpuset.to_text(managed & ~claimed_cpus & ~given_cpus),
        ),
        numa_nodes=[_node(node) for node in shape["nodes"]],
        pci_devices=shape["devices"] if version >= Version(1, 3) else wtypes.Unset,
        instances=[instance.uuid for instance in residents],
        conflicts=[
            Conflict(cpus=cpuset.to_text(mask), instances=list(uuids))
            for mask, uuids in occupancy.conflicts([taken, given])
        ],
        usage=usage.of_host(used) if pecan.request.version >= usage.FIRST else wtypes.Unset,
        links=links.to(pecan.request, "hosts", host.name),
    )


def _node(node: dict[str, Any]) -> NumaNode:
    return NumaNode(
        **node
        | {
            "pages": [Pages(**pages) for pages in node["pages"]],
            "cores": [Core(**core) for core in node["cores"]],
        }
    )
