# SPDX-License-Identifier: Apache-2.0
"""``resource pin quota …``: how much projects may hold."""

import argparse
from collections.abc import Iterable
from typing import Any

from osc_lib import exceptions

from kongming.osc import base
from kongming.osc.v1.pin import Columns, add_paging, page
from kongming.sdk.quota import Quota

_OPTIONS = {name: f"--{name.replace('_', '-').removesuffix('-mib')}" for name in Quota.RESOURCES}
_WHAT = {
    "pins": "Pins",
    "dedicated_pcpus": "pCPUs that instances have for themselves",
    "memory_mib": "MiB of memory that pins hold on NUMA nodes",
}
_LISTED = ("Project ID", "Pins", "Dedicated pCPUs", "Memory MiB", "Set")
_SHOWN = ("project_id", "limits", "own", "used")


class _One(base.Command):
    since = "1.13"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("project", metavar="<project>", help="Id of a project")
        return parser

    def change(self, project: str, limits: dict[str, int]) -> Columns:
        """Have these limits and no others set for a project; return what it has then."""
        return base.columns(self.client.set_quota(project, **limits), _SHOWN)


class List(base.Lister):
    """List the projects for which limits were set"""

    since = "1.13"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_paging(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        quotas = page(self.client.quotas, parsed_args, {})
        return _LISTED, (
            (
                quota.project_id,
                *(quota.limits[name] for name in Quota.RESOURCES),
                base.Structure(sorted(quota.own)),
            )
            for quota in quotas
        )


class Show(_One, base.ShowOne):
    """Show the limits of a project, those that were set for it, and what is in use"""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return base.columns(self.client.get_quota(parsed_args.project), _SHOWN)


class Set(_One, base.ShowOne):
    """Set limits of a project: what no option names stays; -1 is as much as there is

    Of two administrators who change a project at once the last wins.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        for name, option in _OPTIONS.items():
            metavar = "<mib>" if name == "memory_mib" else "<count>"
            parser.add_argument(option, dest=name, metavar=metavar, type=int, help=_WHAT[name])
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Set them."""
        asked = {name: getattr(parsed_args, name) for name in _OPTIONS}
        given = {name: limit for name, limit in asked.items() if limit is not None}
        if not given:
            raise exceptions.CommandError("There is nothing to set: see --help.")
        project = parsed_args.project
        return self.change(project, self.client.get_quota(project).own | given)


class Unset(_One, base.ShowOne):
    """Return to the default limits: of what the options name, or of all

    Of two administrators who change a project at once the last wins.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        for name, option in _OPTIONS.items():
            parser.add_argument(option, dest=name, action="store_true", help=_WHAT[name])
        parser.add_argument("--all", action="store_true", help="All of these")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Return to them."""
        args = parsed_args
        named = {name for name in _OPTIONS if args.all or getattr(args, name)}
        if not named:
            raise exceptions.CommandError("There is nothing to unset: see --help.")
        own = self.client.get_quota(args.project).own
        return self.change(
            args.project, {name: limit for name, limit in own.items() if name not in named}
        )
