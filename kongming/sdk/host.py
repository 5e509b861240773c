# SPDX-License-Identifier: Apache-2.0
"""Compute hosts as their agents report them."""

from openstack import resource

from kongming.sdk import base


class Host(base.Resource):
    """A host; CPU sets are text such as ``0-3,8``."""

    base_path = "/hosts"
    resources_key = "hosts"
    allow_fetch = True
    allow_list = True
    _query_mapping = resource.QueryParameters("sort")

    #: Name of the host, as in Nova.
    name = resource.Body("name", alternate_id=True)
    #: ``up`` or ``down``.
    status = resource.Body("status")
    reported_at = resource.Body("reported_at")
    generation = resource.Body("generation", type=int)
    #: Which pCPUs are ``online``, ``managed``, ``claimed``, ``given``, ``free`` …
    cpus = resource.Body("cpus", type=dict)
    #: NUMA nodes with their cores and memory pages.
    numa_nodes = resource.Body("numa_nodes", type=list)
    #: NUMA node by address.
    pci_devices = resource.Body("pci_devices", type=dict)
    #: UUIDs of the instances on it.
    instances = resource.Body("instances", type=list)
    #: pCPUs that several instances hold, each for itself alone.
    conflicts = resource.Body("conflicts", type=list)
    usage = resource.Body("usage", type=dict)
