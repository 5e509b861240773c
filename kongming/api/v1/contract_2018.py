# SPDX-License-Identifier: Apache-2.0
"""The calls of 2018, unchanged for the clients in the field: a thin view over pins.

``/v1/instance_cpu_mappings`` at every version; hosts and instances in their old shape at
version 1.0. A mapping is one CPU set for every vCPU of an instance.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pecan
from wsme import types as wtypes

from kongming import exception, objects, policy
from kongming.api import body, described, granted, links
from kongming.api.loaded import (
    canonical,
    create_pin,
    future_owner,
    load_instance,
    load_pin,
    visible,
)
from kongming.api.microversion import serves
from kongming.api.routes import Collection
from kongming.db import engine, hosts, instances, models, paging, pins
from kongming.objects.asked import Asked
from kongming.objects.instance import STATES
from kongming.objects.pin import APPLIED, FAILED
from kongming.policies import hosts as host_rules
from kongming.policies import instances as instance_rules
from kongming.policies import pins as rules
from kongming.topology import cpuset, grammar
from kongming.topology.host import Host
from kongming.topology.placement import Placement
from kongming.topology.wish import EVERY, Wish

#: How 2018 wrote the states of `objects.instance.STATES`.
_STATUS = dict(
    zip(
        STATES,
        (
            "No State",
            "Running",
            "Blocked",
            "Paused",
            "Shutdown",
            "Shutoff",
            "Crashed",
            "Suspended",
        ),
        strict=True,
    )
)


class ChangedMapping(wtypes.Base):
    """Body of a PUT or PATCH."""

    _grammar: ClassVar[dict[str, Any]] = {"cpu_mappings": grammar.CPU_SET}

    cpu_mappings = wtypes.wsattr(wtypes.text, mandatory=True)

    def cpus(self) -> int:
        """Return the CPU set as a bitmask.

        :raises BadRequest: it is none
        """
        try:
            return cpuset.parse(self.cpu_mappings)
        except cpuset.CpuSetError as error:
            raise exception.BadRequest.field("cpu_mappings", str(error)) from error


class TextOrBoolean(wtypes.UserType):
    """true, false, and the strings that the old client sends for them."""

    basetype = str
    name = "boolean"
    schema: ClassVar[dict[str, Any]] = {"enum": [True, False, "True", "False"]}
    _VALUES = {True: True, False: False, "True": True, "False": False}

    def read(self, value: Any, path: str) -> bool:
        """Return the boolean.

        :raises BadRequest: it is neither
        """
        if not isinstance(value, bool | str) or value not in self._VALUES:
            raise exception.BadRequest.field(path, "must be true or false")
        return self._VALUES[value]


class NewMapping(ChangedMapping):
    """Body of a POST."""

    _grammar = {"cpu_mappings": grammar.CPU_SET, "instance_uuid": grammar.UUID}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    wait_until_active = TextOrBoolean()
    project_id = body.Identifier()
    user_id = body.Identifier()


class Mapping(wtypes.Base):
    """A mapping as it is shown."""

    _places: ClassVar[dict[str, Any]] = {"cpu_mappings": "", "host": None}

    instance_uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    project_id = wtypes.text
    user_id = wtypes.text
    cpu_mappings = wtypes.wsattr(wtypes.text, mandatory=True)
    host = wtypes.text
    status = wtypes.wsattr(wtypes.Enum(str, "failed", "pending", "succeed"), mandatory=True)
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)
    created_at = wtypes.wsattr(wtypes.text, mandatory=True)
    updated_at = wtypes.text


class Mappings(wtypes.Base):
    """All mappings."""

    mappings = wtypes.wsattr(wtypes.ArrayType(Mapping), mandatory=True)


class Resident(wtypes.Base):
    """An instance on a host; ``cpu_mappings`` tells for each pCPU whether it may run there."""

    uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    cpu_mappings = wtypes.wsattr(wtypes.ArrayType(bool), mandatory=True)


class OldHost(wtypes.Base):
    """A host in its old shape; ``cpu_topology`` has the pCPUs of each NUMA node."""

    _instances = ("instances",)

    host_name = wtypes.wsattr(wtypes.text, mandatory=True)
    cpu_topology = wtypes.wsattr(
        wtypes.DictType(wtypes.text, wtypes.ArrayType(int)), mandatory=True
    )
    instances = wtypes.wsattr(wtypes.ArrayType(Resident), mandatory=True)
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class OldHosts(wtypes.Base):
    """All hosts."""

    hosts = wtypes.wsattr(wtypes.ArrayType(OldHost), mandatory=True)


class OldInstance(wtypes.Base):
    """An instance in its old shape; ``cpu_mappings`` tells where each vCPU may run."""

    _places: ClassVar[dict[str, Any]] = {"host": "", "cpu_mappings": {}}

    uuid = wtypes.wsattr(wtypes.text, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    host = wtypes.wsattr(wtypes.text, mandatory=True)
    cpu_mappings = wtypes.wsattr(
        wtypes.DictType(wtypes.text, wtypes.ArrayType(bool)), mandatory=True
    )
    mapped_by_kongming = wtypes.wsattr(bool, mandatory=True)
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class OldInstances(wtypes.Base):
    """All instances."""

    instances = wtypes.wsattr(wtypes.ArrayType(OldInstance), mandatory=True)


class MappingsController(Collection):
    """``/v1/instance_cpu_mappings``"""

    @pecan.expose("json")
    @described.operation(Mappings, refuses=(exception.Forbidden,))
    def get_all(self) -> dict[str, Any]:
        """List the mappings that the caller may see, all at once as in 2018."""
        where = visible(pecan.request.context, rules.GET, rules.ALL_PROJECTS, models.Pin.project_id)
        where &= models.Pin.deleted.is_(False)
        with engine.reader() as session:
            rows = paging.everything(session, models.Pin.instance_uuid, where)
            return {"mappings": [_mapping(objects.Pin.from_row(row)) for row in rows]}

    @pecan.expose("json")
    @described.operation(Mapping, refuses=(exception.PinNotFound,))
    def get_one(self, instance_uuid: str) -> Any:
        """Show a mapping."""
        return _mapping(load_pin(pecan.request.context, rules.GET, instance_uuid))

    @pecan.expose("json")
    @described.operation(
        Mapping,
        takes={"1.0": NewMapping},
        status=201,
        refuses=(
            *(exception.InstanceNotFound, exception.PinExists, exception.NovaUnavailable),
            *(*exception.NOT_GRANTED, exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def post(self) -> Any:
        """Map every vCPU of an instance, that may be yet to come, to a CPU set."""
        request = pecan.request
        asked = body.read(request, NewMapping)
        granted.insist_on_places(request.context, ["cpu_mappings"])
        not_one = exception.BadRequest.field("instance_uuid", "must be a UUID")
        uuid = canonical(asked.instance_uuid, otherwise=not_one)
        wish = Wish(every_vcpu=asked.cpus())
        wait = asked.wait_until_active is True
        owner = future_owner(request.context, asked, uuid, wait, request.nova)
        pin = objects.Pin(instance_uuid=uuid, wish=wish, **owner)
        stored = create_pin(request, pin, wait)
        pecan.response.status = 201
        location = links.to(request, "instance_cpu_mappings", uuid)[0].href
        pecan.response.location = location
        return _mapping(stored)

    @pecan.expose("json")
    @described.operation(
        Mapping,
        takes={"1.0": ChangedMapping},
        refuses=(
            *(exception.PinNotFound, exception.Forbidden, exception.ControlPlaneUnavailable),
            *exception.NOT_GRANTED,
        ),
    )
    def put(self, instance_uuid: str) -> Any:
        """Replace the CPU set; what else the pin wishes stays."""
        request = pecan.request
        pin = load_pin(request.context, rules.UPDATE, instance_uuid)
        cpus = body.read(request, ChangedMapping).cpus()
        granted.insist_on_places(request.context, ["cpu_mappings"])
        fields = pin.asked | {"vcpus": {EVERY: cpuset.to_text(cpus)}}
        asked = Asked(fields, pin.template_id, pin.template_role)
        return _mapping(
            request.conductor.update_pin(
                request.context, pin.instance_uuid, pin.project_id, asked, None
            )
        )

    patch = put

    @pecan.expose("json")
    @described.operation(
        status=204,
        refuses=(exception.PinNotFound, exception.Forbidden, exception.ControlPlaneUnavailable),
    )
    def delete(self, instance_uuid: str) -> None:
        """Delete a mapping."""
        request = pecan.request
        pin = load_pin(request.context, rules.DELETE, instance_uuid)
        request.conductor.delete_pin(request.context, pin.instance_uuid, pin.project_id)
        pecan.response.status = 204


@serves("1.0", "1.0")
class HostsController(Collection):
    """``/v1/hosts`` in its old shape."""

    @pecan.expose("json")
    @described.operation(OldHosts, refuses=(exception.Forbidden,))
    def get_all(self) -> dict[str, Any]:
        """List the hosts, all at once as in 2018."""
        policy.authorize(pecan.request.context, host_rules.GET)
        with engine.reader() as session:
            rows = paging.everything(session, models.Host.name)
            residents = instances.by_hosts(session, [row.name for row in rows])
            return {"hosts": [_host(row, residents[row.name]) for row in rows]}

    @pecan.expose("json")
    @described.operation(OldHost, refuses=(exception.Forbidden, exception.HostNotFound))
    def get_one(self, host_name: str) -> Any:
        """Show a host."""
        policy.authorize(pecan.request.context, host_rules.GET)
        with engine.reader() as session:
            row = hosts.get(session, host_name) if host_name.isprintable() else None
            if row is None:
                raise exception.HostNotFound(host=host_name[:64])
            return _host(row, instances.on_host(session, host_name))


@serves("1.0", "1.0")
class InstancesController(Collection):
    """``/v1/instances`` in its old shape."""

    @pecan.expose("json")
    @described.operation(OldInstances, refuses=(exception.Forbidden,))
    def get_all(self) -> dict[str, Any]:
        """List the instances that the caller may see, all at once as in 2018."""
        where = visible(
            pecan.request.context,
            instance_rules.GET,
            instance_rules.ALL_PROJECTS,
            models.Instance.project_id,
        )
        with engine.reader() as session:
            rows = paging.everything(session, models.Instance.uuid, where)
            topologies = hosts.topologies(session, {row.host for row in rows})
            pinned = pins.placed(session, [row.uuid for row in rows])
            return {
                "instances": [
                    _instance(row, topologies[row.host], row.uuid in pinned) for row in rows
                ]
            }

    @pecan.expose("json")
    @described.operation(OldInstance, refuses=(exception.InstanceNotFound,))
    def get_one(self, uuid: str) -> Any:
        """Show an instance."""
        instance = load_instance(pecan.request.context, instance_rules.GET, uuid)
        with engine.reader() as session:
            topology = hosts.topologies(session, {instance.host})[instance.host]
            pinned = pins.placed(session, [instance.uuid])
            return _instance(instance, topology, instance.uuid in pinned)


def _mapping(pin: objects.Pin) -> dict[str, Any]:
    status = {APPLIED: "succeed", FAILED: "failed"}.get(pin.status, "pending")
    cpus = pin.wish.every_vcpu or 0
    for mask in pin.wish.vcpus.values():
        cpus |= mask
    return {
        "instance_uuid": pin.instance_uuid,
        "project_id": pin.project_id,
        "user_id": pin.user_id,
        "cpu_mappings": cpuset.to_text(cpus),
        "host": pin.host,
        "status": status,
        "links": _links("instance_cpu_mappings", pin.instance_uuid),
        "created_at": links.instant(pin.created_at),
        "updated_at": links.instant(pin.updated_at),
    }


def _host(row: models.Host, residents: Sequence[models.Instance]) -> dict[str, Any]:
    return {
        "host_name": row.name,
        "cpu_topology": {
            f"NUMA_{node.id}": list(cpuset.members(node.cpus)) for node in row.topology.nodes
        },
        "instances": [
            {
                "uuid": instance.uuid,
                "status": _STATUS[instance.state],
                "cpu_mappings": _booleans(
                    (instance.observed or Placement()).vcpu_cpus, row.topology
                ),
            }
            for instance in residents
        ],
        "links": _links("hosts", row.name),
    }


def _instance(instance: Any, topology: Host, pinned: bool) -> dict[str, Any]:
    observed = instance.observed or Placement()
    return {
        "uuid": instance.uuid,
        "status": _STATUS[instance.state],
        "host": instance.host,
        "cpu_mappings": {
            str(number): _booleans(mask, topology)
            for number, mask in sorted(observed.vcpus.items())
        },
        "mapped_by_kongming": pinned,
        "links": _links("instances", instance.uuid),
    }


def _booleans(mask: int, topology: Host) -> list[bool]:
    count = (topology.online | topology.offline).bit_length()
    return [bool(mask >> pcpu & 1) for pcpu in range(count)]


def _links(collection: str, key: str) -> list[dict[str, str]]:
    return [
        {"href": link.href, "rel": link.rel} for link in links.to(pecan.request, collection, key)
    ]
