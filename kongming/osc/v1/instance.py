# SPDX-License-Identifier: Apache-2.0
"""``resource pin instance list|show``: the instances, and where they really are."""

import argparse
from collections.abc import Iterable
from typing import Any

from kongming.osc import base
from kongming.osc.v1.pin import Columns, add_instance, add_paging, page

_SHOWN = (
    *("uuid", "name", "host", "state", "vcpus", "memory_mib", "iothreads", "observed", "usage"),
    *("project_id", "user_id", "updated_at"),
)
_LISTED = {
    "UUID": "uuid",
    "Name": "name",
    "Host": "host",
    "State": "state",
    "vCPUs": "vcpus",
    "Memory (MiB)": "memory_mib",
}
_LONG = {"Project ID": "project_id", "User ID": "user_id", "Observed": "observed"}


class List(base.Lister):
    """List instances"""

    since = "1.1"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--host", metavar="<host>", help="Only those on this host")
        parser.add_argument("--name", metavar="<name>", help="Only those with this name")
        parser.add_argument("--state", metavar="<state>", help="Only those in this state")
        parser.add_argument("--project", metavar="<id>", help="Only those of this project")
        parser.add_argument("--user", metavar="<id>", help="Only those of this user")
        add_paging(parser)
        parser.add_argument("--long", action="store_true", help="Show more of each")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        args = parsed_args
        filters = {
            "host": args.host,
            "name": args.name,
            "state": args.state,
            "project_id": args.project,
            "user_id": args.user,
        }
        shown = _LISTED | (_LONG if args.long else {})
        instances = page(self.client.instances, args, filters)
        return tuple(shown), (
            tuple(_value(getattr(instance, name)) for name in shown.values())
            for instance in instances
        )


class Show(base.ShowOne):
    """Show an instance: where the kernel lets its threads run and its memory be"""

    since = "1.1"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        instance = self.client.get_instance(self.uuid_of(parsed_args.instance))
        shown = {name: getattr(instance, name) for name in _SHOWN}
        return _SHOWN, tuple(
            Usage(value) if name == "usage" and value else _value(value)
            for name, value in shown.items()
        )


class Usage(base.Structure):
    """What the threads did, which is much text; people see where the memory is."""

    def human_readable(self) -> str:
        """Return a line for each size of pages."""
        lines = [
            f"{base.kib(int(size))} pages (MiB by NUMA node):"
            f" {' '.join(f'{node}={mib}' for node, mib in nodes.items())}"
            for size, nodes in self._value["memory"].items()
        ]
        local = self._value["locality_percent"]
        return "\n".join(lines + ([] if local is None else [f"local: {local:g} %"]))


def _value(value: Any) -> Any:
    return base.Structure(value) if isinstance(value, dict | list) else value
