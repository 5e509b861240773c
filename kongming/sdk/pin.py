# SPDX-License-Identifier: Apache-2.0
"""Pins, their history, and the moves of memory that they begin."""

from typing import Any, ClassVar

from keystoneauth1 import adapter
from openstack import exceptions, resource, utils

from kongming.sdk import base


class Pin(base.Resource):
    """The wish how one instance shall be placed, and what came of it; ``id`` is that of the
    instance.
    """

    base_path = "/pins"
    resources_key = "pins"
    allow_create = True
    allow_fetch = True
    allow_delete = True
    allow_list = True
    _query_mapping = resource.QueryParameters("host", "project_id", "status", "user_id", "sort")

    #: The fields of a wish: what `Proxy.update_pin` takes.
    WISH: ClassVar[tuple[str, ...]] = (
        *("cpu_policy", "thread_policy", "vcpus", "emulator", "iothreads", "numa_nodes", "memory"),
        *("near", "avoid", "pci_device", "qos", "override", "enforce"),
    )

    #: UUID of the instance.
    instance_uuid = resource.Body("instance_uuid", alternate_id=True)
    #: ``dedicated`` or ``shared``.
    cpu_policy = resource.Body("cpu_policy")
    #: ``prefer``, ``isolate`` or ``require``.
    thread_policy = resource.Body("thread_policy")
    #: pCPUs by vCPU, such as ``{"0": "4", "1-3": "5-7"}``.
    vcpus = resource.Body("vcpus", type=dict)
    #: pCPUs, ``share`` or ``isolate``.
    emulator = resource.Body("emulator")
    #: pCPUs by I/O thread.
    iothreads = resource.Body("iothreads", type=dict)
    #: How many guest nodes, or a list of them.
    numa_nodes = resource.Body("numa_nodes")
    #: ``nodes``, ``migrate`` and ``page_size_kib``.
    memory = resource.Body("memory", type=dict)
    #: UUID of an instance on whose NUMA nodes this one shall be.
    near = resource.Body("near")
    #: UUIDs of instances with which this one shall share no core.
    avoid = resource.Body("avoid", type=list)
    #: Address of a device on whose NUMA node the instance shall be.
    pci_device = resource.Body("pci_device")
    #: Quotas and periods in µs, shares and weights.
    qos = resource.Body("qos", type=dict)
    #: Whether to take an instance over that others gave pCPUs.
    override = resource.Body("override", type=bool)
    #: Whether drifts are repaired.
    enforce = resource.Body("enforce", type=bool)

    #: The template that is followed: ``NAME`` or ``NAME/ROLE`` in a request; ``id``, ``name``,
    #: ``role`` and ``version`` in an answer.
    template = resource.Body("template")
    #: The fields that take the place of those of the template.
    overrides = resource.Body("overrides", type=dict)
    #: The calendar that has its way at present: ``id``, ``name`` and ``window``.
    calendar = resource.Body("calendar", type=dict)

    #: For an instance that is yet to come, in a request alone.
    size = resource.Body("size", type=dict)
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    host = resource.Body("host")
    #: Raised by each change of the wish.
    generation = resource.Body("generation", type=int)
    #: ``waiting``, ``pending``, ``applied``, ``drifted`` or ``failed``.
    status = resource.Body("status")
    reason = resource.Body("reason")
    #: Where the parts belong.
    placement = resource.Body("placement", type=dict)
    #: How far the memory has moved: ``moved_mib``, ``total_mib``, ``seconds``, ``mib_per_s``.
    move = resource.Body("move", type=dict)
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")

    def replace(self, session: adapter.Adapter, body: dict[str, Any]) -> "Pin":
        """Have another wish; ``generation`` in it must be the present one."""
        url = utils.urljoin(self.base_path, self.id)
        answer = session.put(url, json=body, microversion=base.version(session))
        exceptions.raise_from_response(answer)
        self._translate_response(answer)
        return self


class Event(base.Resource):
    """What happened to a pin, or what somebody asked of it."""

    base_path = "/pins/%(instance_uuid)s/history"
    resources_key = "history"
    allow_list = True

    instance_uuid = resource.URI("instance_uuid")
    at = resource.Body("at")
    event = resource.Body("event")
    generation = resource.Body("generation", type=int)
    host = resource.Body("host")
    reason = resource.Body("reason")
    user_id = resource.Body("user_id")
    request_id = resource.Body("request_id")
    wish = resource.Body("wish", type=dict)
    cause = resource.Body("cause")
    #: Who or what asked: ``kind``, and what belongs to that.
    by = resource.Body("by", type=dict)
    #: What came of a move of memory.
    receipt = resource.Body("receipt", type=dict)


class Move(base.Resource):
    """The memory of an instance on its way to other NUMA nodes."""

    base_path = "/pins/%(instance_uuid)s/move"
    allow_fetch = True
    allow_delete = True
    requires_id = False

    instance_uuid = resource.URI("instance_uuid")
    moved_mib = resource.Body("moved_mib", type=int)
    total_mib = resource.Body("total_mib", type=int)
    seconds = resource.Body("seconds", type=float)
    mib_per_s = resource.Body("mib_per_s", type=float)
