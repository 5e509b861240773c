# SPDX-License-Identifier: Apache-2.0
"""``resourcepin …``: the commands of 2018, with the calls and the version of then."""

import argparse
from collections.abc import Iterable
from typing import Any
from urllib import parse

from openstack import exceptions

from kongming.osc import base
from kongming.osc.v1.pin import Columns
from kongming.topology import cpuset

_VERSION = "1.0"
_MAPPINGS = "instance_cpu_mappings"
_MAPPING = {
    "Instance UUID": "instance_uuid",
    "CPU Mappings": "cpu_mappings",
    "Host": "host",
    "Status": "status",
}
_LONG = {
    "Project ID": "project_id",
    "User ID": "user_id",
    "Created At": "created_at",
    "Updated At": "updated_at",
}


class _Command(base.Command):
    def ask(self, method: str, noun: str, key: str | None = None, **options: Any) -> Any:
        """Return the answer to a request of 2018."""
        if key == "":
            raise exceptions.InvalidRequest(f"One of {noun} has no name or id.")
        path = f"/{noun}" if key is None else f"/{noun}/{parse.quote(key, safe='')}"
        answer = self.client.request(path, method, microversion=_VERSION, **options)
        exceptions.raise_from_response(answer)
        return answer.json() if answer.content else None


class CreateMapping(_Command, base.ShowOne):
    """Map every vCPU of an instance to a set of pCPUs"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("instance_uuid", metavar="<instance_uuid>", help="UUID of the instance")
        parser.add_argument("cpu_mappings", metavar="<cpu_mappings>", help="pCPUs, such as 0-3,^2")
        parser.add_argument(
            "--wait-until-active",
            metavar="<boolean>",
            choices=("True", "False", "true", "false"),
            help="Whether the instance may be yet to come",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Create the mapping."""
        body = {
            "instance_uuid": parsed_args.instance_uuid,
            "cpu_mappings": parsed_args.cpu_mappings,
        }
        if parsed_args.wait_until_active:
            body["wait_until_active"] = parsed_args.wait_until_active.capitalize()
        return _shown(self.ask("POST", _MAPPINGS, json=body))


class DeleteMapping(_Command):
    """Delete the mappings of instances"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "instance_uuid", metavar="<instance_uuid>", nargs="+", help="UUID of an instance"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them, and say at the end for which that failed."""
        base.each(parsed_args.instance_uuid, lambda uuid: self.ask("DELETE", _MAPPINGS, uuid))


class ListMappings(_Command, base.Lister):
    """List the mappings of instances"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="Show more of each")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        shown = _MAPPING | (_LONG if parsed_args.long else {})
        mappings = self.ask("GET", _MAPPINGS)["mappings"]
        return tuple(shown), [
            tuple(mapping[name] for name in shown.values()) for mapping in mappings
        ]


class ShowInstance(_Command, base.ShowOne):
    """Show where the vCPUs of an instance may run"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("instance_uuid", metavar="<instance_uuid>", help="UUID of the instance")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return _shown(self.ask("GET", "instances", parsed_args.instance_uuid))


class ShowHost(_Command, base.ShowOne):
    """Show the pCPUs of a host, and which instances may use them"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host_name", metavar="<host_name>", help="Name of the host")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return _shown(self.ask("GET", "hosts", parsed_args.host_name))


class Numbers(base.Structure):
    """pCPUs as numbers, or as a boolean for each; people see a CPU set."""

    def human_readable(self) -> str:
        """Return a line for each vCPU, NUMA node or instance."""
        if isinstance(self._value, dict):
            sets = {key: _cpus(value) for key, value in self._value.items()}
            return "\n".join(f"{key}: {text}" for key, text in base.grouped(sets).items())
        return "\n".join(
            f"{instance['uuid']} {instance['status']} {_cpus(instance['cpu_mappings'])}"
            for instance in self._value
        )


def _shown(data: dict[str, Any]) -> Columns:
    shown = {name: value for name, value in data.items() if name != "links"}
    return tuple(shown), tuple(
        Numbers(value) if isinstance(value, dict | list) else value for value in shown.values()
    )


def _cpus(value: list[Any]) -> str:
    if all(isinstance(item, bool) for item in value):
        value = [number for number, allowed in enumerate(value) if allowed]
    return cpuset.to_text(cpuset.from_members(value))
