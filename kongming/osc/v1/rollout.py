# SPDX-License-Identifier: Apache-2.0
"""``resource pin rollout …``: versions of templates on their way to those who follow."""

import argparse
from collections.abc import Iterable
from typing import Any

from kongming.osc import base, waiting
from kongming.osc.v1.pin import Columns, add_paging, page

_SHOWN = (
    *("id", "template_id", "template_name", "version", "former", "state", "reason", "failed_pin"),
    *("done", "total", "batch_size", "project_id", "user_id", "created_at", "updated_at"),
)
_LISTED = {
    "ID": "id",
    "Template": "template_name",
    "Version": "version",
    "Former": "former",
    "State": "state",
    "Done": "done",
    "Total": "total",
    "Created At": "created_at",
}


class _Command(base.Command):
    since = "1.10"


class _One(_Command):
    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("rollout", metavar="<rollout>", help="Id of a rollout")
        return parser


class Create(_Command, base.ShowOne):
    """Let those who follow a template have some version of it, be it an older one"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("template", metavar="<template>", help="A template, by name or id")
        parser.add_argument("version", metavar="<version>", type=int, help="Number of the version")
        parser.add_argument(
            "--batch-size",
            metavar="<count>",
            type=int,
            default=1,
            help="How many pins are changed at once (default: %(default)s)",
        )
        waiting.add_options(parser, "all who follow have it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Begin it."""
        args = parsed_args
        rollout = self.client.create_rollout(args.template, args.version, args.batch_size)
        if args.wait:
            rollout = waiting.wait_for_rollout(
                self.client, rollout.id, args.timeout, self.app.stderr
            )
        return base.columns(rollout, _SHOWN)


class List(_Command, base.Lister):
    """List rollouts"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--template", metavar="<id>", help="Only those of this template")
        parser.add_argument("--state", metavar="<state>", help="Only those in this state")
        parser.add_argument("--project", metavar="<id>", help="Only those of this project")
        add_paging(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        args = parsed_args
        filters = {"template_id": args.template, "state": args.state, "project_id": args.project}
        rollouts = page(self.client.rollouts, args, filters)
        return tuple(_LISTED), (
            tuple(getattr(rollout, name) for name in _LISTED.values()) for rollout in rollouts
        )


class Show(_One, base.ShowOne):
    """Show how far a rollout is"""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return base.columns(self.client.get_rollout(parsed_args.rollout), _SHOWN)


class Cancel(_One):
    """Let a rollout go back to what its pins had; one that is queued never begins"""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Call it off."""
        self.client.cancel_rollout(parsed_args.rollout)


class Wait(_One):
    """Wait until all who follow have the version of a rollout; fail if it goes back"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        waiting.add_timeout(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Wait."""
        args = parsed_args
        waiting.wait_for_rollout(self.client, args.rollout, args.timeout, self.app.stderr)
