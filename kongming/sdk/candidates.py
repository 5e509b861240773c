# SPDX-License-Identifier: Apache-2.0
"""Where a wish would fit."""

from openstack import resource

from kongming.sdk import base


class Candidates(base.Resource):
    """A question and its answer."""

    base_path = "/candidates"
    allow_create = True

    #: The fields of a pin's wish.
    wish = resource.Body("wish", type=dict)
    #: ``vcpus``, ``memory_mib`` and, if any, ``iothreads``.
    size = resource.Body("size", type=dict)
    #: Names of the hosts to ask about; absent: all.
    hosts = resource.Body("hosts", type=list)
    #: UUID of an instance whose own places count as free.
    instance_uuid = resource.Body("instance_uuid")
    #: Whether the wish of its pin, if it has one, is asked about instead.
    prefer_pin = resource.Body("prefer_pin", type=bool)
    #: The project whose templates the wish may name, instead of the caller's.
    project_id = resource.Body("project_id")
    #: ``host`` and ``placement`` of each, the best first.
    candidates = resource.Body("candidates", type=list)
    #: ``host`` and ``reasons`` (``code`` and ``detail``) of each.
    rejected = resource.Body("rejected", type=list)
