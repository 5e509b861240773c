# SPDX-License-Identifier: Apache-2.0
"""Pure model of hosts, wishes and placements: no I/O, no oslo, no libvirt."""
