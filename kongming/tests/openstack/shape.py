# SPDX-License-Identifier: Apache-2.0
"""Hosts without guests, as both Nova and KongMing are told that they are."""

NODES = 2
CPUS = 10
"""CPUs of each node. For Nova the first half is for shared vCPUs, the other for dedicated ones."""
MEMORY_MIB = 32768
"""Memory of each node."""
