# SPDX-License-Identifier: Apache-2.0
"""``resource pin template …``: named wishes that pins follow."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from osc_lib import exceptions

from kongming.osc import base, waiting, wish
from kongming.osc.v1.pin import Columns, add_paging, page
from kongming.sdk.template import Template

_SHOWN = (
    *("id", "name", "shared", "version", "current", "wish", "roles", "rollout_id"),
    *("project_id", "user_id", "created_at", "updated_at"),
)
_LISTED = {
    "ID": "id",
    "Name": "name",
    "Shared": "shared",
    "Version": "version",
    "Current": "current",
    "Project ID": "project_id",
}
_VERSION = ("version", "wish", "roles", "user_id", "created_at")


class _Command(base.Command):
    since = "1.10"

    def found(self, template: str) -> Template:
        """Return the template with an id or name."""
        client = self.client
        return self.one("template", template, client.get_template, client.templates)

    def changed(
        self, args: argparse.Namespace, template: Template, content: Mapping[str, Any]
    ) -> Columns:
        """Give a template another content; wait for those who follow, if that is asked for."""
        given = {"shared": args.shared, "batch_size": args.batch_size}
        more = {name: value for name, value in given.items() if value is not None}
        changed = self.client.update_template(template, template.version, **content, **more)
        if args.wait and changed.rollout_id:
            waiting.wait_for_rollout(self.client, changed.rollout_id, args.timeout, self.app.stderr)
            changed = self.client.get_template(changed.id)
        return base.columns(changed, _SHOWN)


class Create(_Command, base.ShowOne):
    """Make a template: with the options of one wish, or with a file that has one for each role"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<name>", help="Its name, one of its kind in a project")
        wish.add_options(parser)
        _add_roles(parser)
        parser.add_argument("--shared", action="store_true", help="Let all follow it (admins)")
        parser.add_argument("--project", metavar="<id>", help="Project that has it (admins)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Make it."""
        args = parsed_args
        given = {"shared": args.shared or None, "project_id": args.project}
        more = {name: value for name, value in given.items() if value is not None}
        made = self.client.create_template(name=args.name, **_content(args), **more)
        return base.columns(made, _SHOWN)


class List(_Command, base.Lister):
    """List templates"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--name", metavar="<name>", help="Only those with this name")
        parser.add_argument("--project", metavar="<id>", help="Only those of this project")
        add_paging(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        filters = {"name": parsed_args.name, "project_id": parsed_args.project}
        templates = page(self.client.templates, parsed_args, filters)
        return tuple(_LISTED), (
            tuple(getattr(template, name) for name in _LISTED.values()) for template in templates
        )


class Show(_Command, base.ShowOne):
    """Show a template"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return base.columns(self.found(parsed_args.template), _SHOWN)


class Set(_Command, base.ShowOne):
    """Change a template: it gets a new version, which those who follow it get by a rollout"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser)
        wish.add_options(parser)
        _add_roles(parser)
        _add_change(parser)
        parser.add_argument(
            "--replace", action="store_true", help="Have nothing but what the options name"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Change it."""
        args = parsed_args
        changes = wish.from_options(args)
        if not changes and not args.roles and args.shared is None:
            raise exceptions.CommandError("There is nothing to set; name what shall change.")
        template = self.found(args.template)
        if args.roles:
            content = _content(args)
        else:
            before = {} if args.replace else _wish(template, args.role)
            content = _with(template, args.role, wish.merged(before, changes))
        return self.changed(args, template, content)


class Unset(_Command, base.ShowOne):
    """Take something from a template, as with set"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser)
        wish.add_fields(parser)
        _add_change(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Take it."""
        args = parsed_args
        if not args.fields:
            raise exceptions.CommandError("There is nothing to unset; name what shall go.")
        template = self.found(args.template)
        left = wish.without(_wish(template, args.role), args.fields)
        return self.changed(args, template, _with(template, args.role, left))


class Delete(_Command):
    """Delete templates that no pin follows"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser, nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them, and say at the end for which that failed."""
        base.each(
            parsed_args.template,
            lambda one: self.client.delete_template(self.found(one), ignore_missing=False),
        )


class ListVersions(_Command, base.Lister):
    """List what a template has said, the oldest version first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """List them."""
        versions = self.client.template_versions(self.found(parsed_args.template))
        titles = ("Version", "Wish", "Roles", "User ID", "Created At")
        return titles, (base.columns(version, _VERSION)[1] for version in versions)


class ShowVersion(_Command, base.ShowOne):
    """Show what a template said at a version"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_template(parser)
        parser.add_argument("version", metavar="<version>", type=int, help="Number of the version")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        template = self.found(parsed_args.template)
        return base.columns(
            self.client.get_template_version(template, parsed_args.version), _VERSION
        )


def _add_template(parser: argparse.ArgumentParser, **options: Any) -> None:
    parser.add_argument(
        "template", metavar="<template>", help="Id of a template, or its name", **options
    )


def _add_roles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--roles",
        metavar="<file>",
        help="JSON or YAML file with a wish by name of role, '-' for standard input",
    )


def _add_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", metavar="<role>", help="Change the wish of this role")
    parser.add_argument(
        "--shared",
        action=argparse.BooleanOptionalAction,
        help="Whether all may follow it (admins)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="<count>",
        type=int,
        help="How many pins are changed at once (default: 1)",
    )
    waiting.add_options(parser, "all who follow have it")


def _content(args: argparse.Namespace) -> dict[str, Any]:
    """Return a content that options describe as a whole."""
    wished = wish.from_options(args)
    if not args.roles:
        return {"wish": wished}
    if wished:
        raise exceptions.CommandError("--roles has whole wishes; leave the other options out.")
    return {"roles": wish.read("--roles", args.roles)}


def _wish(template: Template, role: str | None) -> dict[str, Any]:
    """Return the wish of a template, or of one of its roles; empty for one that is new.

    :raises CommandError: there are roles, and none is named; or the other way round
    """
    if (template.roles is None) != (role is None):
        wrong = "has no roles" if template.roles is None else "has roles; name one with --role"
        raise exceptions.CommandError(f"Template {template.name} {wrong}.")
    found: dict[str, Any] = template.wish if role is None else template.roles.get(role, {})
    return found


def _with(template: Template, role: str | None, wished: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a template with another wish."""
    if role is None:
        return {"wish": wished}
    return {"roles": {**(template.roles or {}), role: wished}}
