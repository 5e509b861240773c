# SPDX-License-Identifier: Apache-2.0
"""``resource pin host list|show``: the compute hosts."""

import argparse
from collections.abc import Iterable
from typing import Any

from kongming.osc import base
from kongming.osc.v1.pin import Columns, add_paging, page

_SHOWN = (
    *("name", "status", "reported_at", "cpus", "numa_nodes", "pci_devices", "instances"),
    *("conflicts", "usage", "generation"),
)
_LISTED = ("Name", "Status", "NUMA Nodes", "pCPUs", "Free", "Claimed", "Given", "Instances")


class List(base.Lister):
    """List hosts with how many of their pCPUs are free"""

    since = "1.1"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_paging(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        hosts = page(self.client.hosts, parsed_args, {})
        return _LISTED, (_row(host) for host in hosts)


class Show(base.ShowOne):
    """Show a host: NUMA nodes, cores, memory pages, and who has what"""

    since = "1.1"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="Name of a host")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        host = self.client.get_host(parsed_args.host)
        shown = {name: getattr(host, name) for name in _SHOWN}
        people = {"numa_nodes": Nodes, "usage": Usage}
        return _SHOWN, tuple(
            people.get(name, base.Structure)(value) if isinstance(value, dict | list) else value
            for name, value in shown.items()
        )


class Nodes(base.Structure):
    """NUMA nodes; people read the cores in the map."""

    def human_readable(self) -> str:
        """Return a line for each."""
        return "\n".join(
            f"{node['id']}: pCPUs {node['cpus']}, {len(node['cores'])} cores,"
            f" {node['memory_mib']} MiB"
            for node in self._value
        )


class Usage(base.Structure):
    """What pCPUs do, which is much text; people see what is wrong."""

    def human_readable(self) -> str:
        """Return a line for each conflict."""
        found = self._value["conflicts"]
        return "\n".join(
            f"{conflict['kind']} {conflict['cpus']}: {' '.join(conflict['instances'])}"
            for conflict in found
        )


def _row(host: Any) -> tuple[Any, ...]:
    cpus = host.cpus
    counts = [base.count(cpus[name]) for name in ("online", "free", "claimed", "given")]
    return (host.name, host.status, len(host.numa_nodes), *counts, len(host.instances))
