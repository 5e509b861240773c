# SPDX-License-Identifier: Apache-2.0
"""``resource pin create|list|show|set|unset|delete``: the wishes."""

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from osc_lib import exceptions

from kongming.osc import base, waiting, wish
from kongming.sdk.pin import Pin

Columns = tuple[tuple[str, ...], tuple[Any, ...]]

_SHOWN = (
    *("instance_uuid", "host", "status", "reason", "generation", "template", "overrides"),
    "calendar",
    *Pin.WISH,
    *("placement", "move", "project_id", "user_id", "created_at", "updated_at"),
)
_LISTED = {
    "Instance UUID": "instance_uuid",
    "Host": "host",
    "CPU Policy": "cpu_policy",
    "Status": "status",
    "Generation": "generation",
}
_LONG = {
    "Reason": "reason",
    "Project ID": "project_id",
    "User ID": "user_id",
    "Created At": "created_at",
    "Updated At": "updated_at",
}


def add_instance(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add the argument that names an instance."""
    parser.add_argument(
        "instance", metavar="<instance>", help="UUID of an instance, or its name", **options
    )


def columns(pin: Pin) -> Columns:
    """Return a pin as `ShowOne` wants it: what it wishes, and what came of that."""
    found = {name: getattr(pin, name) for name in _SHOWN}
    shown = {n: v for n, v in found.items() if v is not None or n not in Pin.WISH}
    return tuple(shown), tuple(
        base.Structure(value) if isinstance(value, dict | list) else value
        for value in shown.values()
    )


class Create(base.ShowOne):
    """Pin an instance"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        wish.add_options(parser)
        wish.add_template(parser)
        parser.add_argument(
            "--host", metavar="<host>", help="Keep the place on this host, with --size (admins)"
        )
        parser.add_argument(
            "--size",
            metavar="vcpus=<count>,memory=<size>[,iothreads=<count>]",
            type=wish.size,
            help="Size of an instance that is yet to come",
        )
        parser.add_argument("--project", metavar="<id>", help="Project of such a one (admins)")
        parser.add_argument("--user", metavar="<id>", help="User of such a one (admins)")
        waiting.add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Create the pin."""
        args = parsed_args
        asked = {
            "instance_uuid": self.uuid_of(args.instance),
            "template": args.template,
            "host": args.host,
            "size": args.size,
            "project_id": args.project,
            "user_id": args.user,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        pin = self.client.create_pin(**wish.from_options(args), **given)
        if args.wait:
            pin = waiting.wait(self.client, pin.id, args.timeout, self.app.stderr)
        return columns(pin)


class List(base.Lister):
    """List pins"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        for name, what in (("host", "on this host"), ("status", "in this status")):
            parser.add_argument(f"--{name}", metavar=f"<{name}>", help=f"Only those {what}")
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
            "status": args.status,
            "project_id": args.project,
            "user_id": args.user,
        }
        shown = _LISTED | (_LONG if args.long else {})
        pins = page(self.client.pins, args, filters)
        return tuple(shown), (tuple(getattr(pin, name) for name in shown.values()) for pin in pins)


class Show(base.ShowOne):
    """Show a pin: what is wished, and the placement that came of it"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return columns(self.client.get_pin(self.uuid_of(parsed_args.instance)))


class Set(base.ShowOne):
    """Change what a pin wishes: what no option names stays"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        wish.add_options(parser)
        wish.add_template(parser)
        parser.add_argument(
            "--replace", action="store_true", help="Have nothing but what the options name"
        )
        waiting.add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Change it."""
        args = parsed_args
        changes = wish.from_options(args)
        if args.template:
            changes["template"] = args.template
        if not changes:
            raise exceptions.CommandError("There is nothing to set; name what shall change.")
        pin = self.client.get_pin(self.uuid_of(args.instance))
        wished = changes if args.replace else wish.merged(present(pin), changes)
        return columns(_changed(self, args, pin, wished))


class Unset(base.ShowOne):
    """Take something from what a pin wishes"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        following = {"template": "the template: the wish stays as it is in force"}
        wish.add_fields(parser, wish.FIELDS | following)
        waiting.add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Take it."""
        args = parsed_args
        if not args.fields:
            raise exceptions.CommandError("There is nothing to unset; name what shall go.")
        pin = self.client.get_pin(self.uuid_of(args.instance))
        before = in_force(pin) if "template" in args.fields else present(pin)
        return columns(_changed(self, args, pin, wish.without(before, args.fields)))


class Delete(base.Command):
    """Delete pins: the instances get back the CPUs that they may use without"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser, nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them, and say at the end for which that failed."""
        base.each(
            parsed_args.instance,
            lambda one: self.client.delete_pin(self.uuid_of(one), ignore_missing=False),
        )


def present(pin: Pin) -> dict[str, Any]:
    """Return what the pin was asked for: its wish, or how that differs from a template.

    :raises CommandError: it is not told, because a calendar has its way
    """
    followed = pin.template
    if followed:
        role = followed.get("role")
        return {**pin.overrides, "template": followed["id"] + (f"/{role}" if role else "")}
    return in_force(pin)


def in_force(pin: Pin) -> dict[str, Any]:
    """Return the wish of a pin, be it its own or that of a template.

    :raises CommandError: a calendar has its way, whose wish is not that of the pin
    """
    if pin.calendar:
        raise exceptions.CommandError(
            f"Calendar {pin.calendar['name']} is in force until {pin.calendar['window']['end']},"
            " so that the wish of the pin is not told; say the whole wish with set --replace."
        )
    found = {name: getattr(pin, name) for name in Pin.WISH}
    return {name: value for name, value in found.items() if value is not None}


def add_paging(parser: argparse.ArgumentParser) -> None:
    """Add the options of a list."""
    parser.add_argument(
        "--limit", metavar="<count>", type=_count, help="Show at most so many (default: all)"
    )
    parser.add_argument("--marker", metavar="<id>", help="Begin after the one with this id")
    parser.add_argument(
        "--sort",
        metavar="<key>[:<direction>]",
        help="Order by a field, such as created_at:desc; several are separated by commas",
    )


def page(
    listing: Callable[..., Iterator[Any]], args: argparse.Namespace, filters: dict[str, Any]
) -> Iterator[Any]:
    """Yield what a list has, as its options say.

    :param filters: those that are None are left out
    """
    asked = filters | {"limit": args.limit, "marker": args.marker, "sort": args.sort}
    given = {name: value for name, value in asked.items() if value is not None}
    # openstacksdk takes the limit for that of a page, and goes on with the next one
    return itertools.islice(listing(**given), args.limit)


def _changed(
    command: base.Command, args: argparse.Namespace, pin: Pin, wished: dict[str, Any]
) -> Pin:
    changed = command.client.update_pin(pin, generation=pin.generation, **wished)
    if args.wait:
        return waiting.wait(command.client, changed.id, args.timeout, command.app.stderr)
    return changed


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return int(text)
