# SPDX-License-Identifier: Apache-2.0
"""A hypervisor of Nova's without guests, on a host with NUMA nodes."""

from typing import Any

from nova import objects
from nova.virt import fake

from kongming.tests.openstack.shape import CPUS, MEMORY_MIB, NODES


def _node(number: int) -> objects.NUMACell:
    cpus = range(number * CPUS, (number + 1) * CPUS)
    return objects.NUMACell(
        id=number,
        socket=number,
        cpuset=set(cpus[: CPUS // 2]),
        pcpuset=set(cpus[CPUS // 2 :]),
        pinned_cpus=set(),
        siblings=[{cpu} for cpu in cpus],
        cpu_usage=0,
        memory=MEMORY_MIB,
        memory_usage=0,
        mempages=[objects.NUMAPagesTopology(size_kb=4, total=MEMORY_MIB * 256, used=0)],
        network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
    )


class Driver(fake.FakeDriverWithoutFakeNodes):
    """Nova's own fake driver, as far as it goes."""

    vcpus = NODES * CPUS
    memory_mb = NODES * MEMORY_MIB
    local_gb = 500
    capabilities = {**fake.FakeDriver.capabilities, "supports_pcpus": True}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Tell the nodes as well."""
        resources: dict[str, Any] = super().get_available_resource(nodename)
        topology = objects.NUMATopology(cells=[_node(number) for number in range(NODES)])
        return {**resources, "numa_topology": topology._to_json()}

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Tell placement which CPUs are for dedicated vCPUs."""
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = provider_tree.data(nodename).inventory
        half = {"total": NODES * CPUS // 2, "max_unit": NODES * CPUS // 2}
        inventory["VCPU"] |= half
        inventory["PCPU"] = {**inventory["VCPU"], **half, "allocation_ratio": 1.0}
        provider_tree.update_inventory(nodename, inventory)
