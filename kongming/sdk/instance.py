# SPDX-License-Identifier: Apache-2.0
"""Instances, and where their threads and memory really are."""

from openstack import resource

from kongming.sdk import base


class Instance(base.Resource):
    """An instance; ``id`` is its UUID."""

    base_path = "/instances"
    resources_key = "instances"
    allow_fetch = True
    allow_list = True
    _query_mapping = resource.QueryParameters(
        "host", "name", "project_id", "state", "user_id", "sort"
    )

    uuid = resource.Body("uuid", alternate_id=True)
    name = resource.Body("name")
    host = resource.Body("host")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    state = resource.Body("state")
    #: How many vCPUs it has.
    vcpus = resource.Body("vcpus", type=int)
    memory_mib = resource.Body("memory_mib", type=int)
    #: Ids of its I/O threads.
    iothreads = resource.Body("iothreads", type=list)
    #: Where the kernel lets its parts be.
    observed = resource.Body("observed", type=dict)
    usage = resource.Body("usage", type=dict)
    updated_at = resource.Body("updated_at")
