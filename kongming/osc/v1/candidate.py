# SPDX-License-Identifier: Apache-2.0
"""``resource pin candidate list``: where a wish would fit."""

import argparse
from collections.abc import Iterable
from typing import Any

from osc_lib import exceptions

from kongming.osc import base, wish


class List(base.Lister):
    """Tell on which hosts a wish would fit, the best first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        wish.add_options(parser)
        wish.add_template(parser)
        parser.add_argument(
            "--project", metavar="<id>", help="Project whose templates are meant (admins)"
        )
        parser.add_argument(
            "--size",
            metavar="vcpus=<count>,memory=<size>[,iothreads=<count>]",
            type=wish.size,
            required=True,
            help="Size of the instance, such as vcpus=4,memory=8GiB",
        )
        parser.add_argument(
            "--host",
            metavar="<host>",
            action="append",
            dest="hosts",
            help="Ask about this host alone (repeat for others)",
        )
        parser.add_argument(
            "--instance",
            metavar="<instance>",
            help="An instance whose own places count as free; without options for a wish, that"
            " of its pin is asked about",
        )
        parser.add_argument(
            "--rejected", action="store_true", help="Show those where it does not fit, too, and why"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """Ask."""
        args = parsed_args
        wished = wish.from_options(args)
        if args.template:
            wished["template"] = args.template
        if not wished and not args.instance:
            raise exceptions.CommandError("Say what is wished, or name an --instance with a pin.")
        asked = {
            "size": args.size,
            "wish": wished or None,
            "hosts": args.hosts,
            "project_id": args.project,
            "instance_uuid": self.uuid_of(args.instance) if args.instance else None,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        answer = self.client.candidates(**given)
        rows: list[tuple[Any, ...]] = [
            (found["host"], "yes", base.Structure(found["placement"]), None)
            for found in answer.candidates
        ]
        if args.rejected:
            rows += [
                (found["host"], "no", None, Reasons(found["reasons"])) for found in answer.rejected
            ]
        return ("Host", "Fits", "Placement", "Reasons"), rows


class Reasons(base.Structure):
    """Why a host does not fit."""

    def human_readable(self) -> str:
        """Return a line for each."""
        return "\n".join(f"{reason['detail']} ({reason['code']})" for reason in self._value)
