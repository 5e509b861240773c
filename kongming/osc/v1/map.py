# SPDX-License-Identifier: Apache-2.0
"""``resource pin host map`` and ``resource pin instance map``."""

import argparse
import contextlib
import json
from typing import Any

from openstack import exceptions as sdk_exceptions
from rich import console

from kongming.osc import base
from kongming.osc.map.host import host_map
from kongming.osc.map.instance import instance_map
from kongming.osc.v1.pin import add_instance
from kongming.sdk.base import Resource

#: Below, a core of two siblings may have no room; above, nobody has a terminal.
_NARROWEST, _WIDEST = 20, 1000


class _Map(base.Command):
    since = "1.5"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "-f",
            "--format",
            choices=("map", "json"),
            default="map",
            help="Draw the map, or print what it is drawn from (default: map)",
        )
        parser.add_argument(
            "--width",
            metavar="<columns>",
            type=_columns,
            help="Draw it that wide (default: as the terminal is)",
        )
        return parser

    def put(
        self, args: argparse.Namespace, drawn: console.RenderableType, documents: dict[str, Any]
    ) -> None:
        """Print the map, or what it is drawn from."""
        if args.format == "json":
            self.app.stdout.write(json.dumps(documents, indent=2) + "\n")
            return
        screen = console.Console(file=self.app.stdout, width=args.width, highlight=False)
        screen.print(drawn)


class Host(_Map):
    """Draw NUMA nodes, cores and memory of a host, and which instance is where

    Each pCPU is a number with the letter of the instance that is bound to it; NO_COLOR=1 leaves
    the colours out.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="Name of a host")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Draw it."""
        name = parsed_args.host
        host = self.client.get_host(name).document()
        instances = _documents(self.client.instances(host=name))
        pins = _documents(self.client.pins(host=name))
        documents = {"host": host, "instances": instances, "pins": pins}
        self.put(parsed_args, host_map(host, instances, pins), documents)


class Instance(_Map):
    """Draw where the parts of an instance are on its host, and where its pin wants them"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Draw it."""
        instance = self.client.get_instance(self.uuid_of(parsed_args.instance)).document()
        pin, host = None, None
        with contextlib.suppress(sdk_exceptions.NotFoundException):
            pin = self.client.get_pin(instance["uuid"]).document()
        # only operators may see hosts: the table is for everybody
        with contextlib.suppress(sdk_exceptions.ForbiddenException):
            host = self.client.get_host(instance["host"]).document()
        documents = {"instance": instance, "pin": pin, "host": host}
        self.put(parsed_args, instance_map(instance, pin, host), documents)


def _columns(text: str) -> int:
    if not (text.isascii() and text.isdigit() and _NARROWEST <= int(text) <= _WIDEST):
        raise argparse.ArgumentTypeError(f"'{text}' is not within {_NARROWEST} to {_WIDEST}")
    return int(text)


def _documents(resources: Any) -> list[dict[str, Any]]:
    found: list[Resource] = list(resources)
    return [one.document() for one in found]
