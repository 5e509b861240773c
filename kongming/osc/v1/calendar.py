# SPDX-License-Identifier: Apache-2.0
"""``resource pin calendar …`` and ``resource pin schedule show``: what is in force when."""

import argparse
import re
from collections.abc import Iterable
from typing import Any

from kongming.osc import base, wish
from kongming.osc.v1.pin import Columns, add_instance, add_paging, page
from kongming.sdk.calendar import Calendar

_SHOWN = ("id", *Calendar.FIELDS, *("window", "collisions", "checked_until"))
_SHOWN += ("project_id", "user_id", "generation", "created_at", "updated_at")
_LISTED = {
    "ID": "id",
    "Name": "name",
    "Priority": "priority",
    "Enabled": "enabled",
    "Window": "window",
    "Project ID": "project_id",
}
#: What stands for the same: one of a group takes the place of the others.
_GROUPS = (
    (("cron", "timezone", "duration_s"), ("start", "end")),
    (("template", "template_version", "only_qos"), ("qos",)),
    (("pins",), ("following",), ("metadata",)),
)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class _Command(base.Command):
    since = "1.11"

    def found(self, calendar: str) -> Calendar:
        """Return the calendar with an id or name."""
        client = self.client
        return self.one("calendar", calendar, client.get_calendar, client.calendars)

    def asked(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the fields that options name."""
        fields = {
            "cron": args.cron,
            "timezone": args.timezone,
            "duration_s": args.duration,
            "start": args.start,
            "end": args.end,
            "template": args.template,
            "template_version": args.template_version,
            "only_qos": args.only_qos,
            "qos": wish.qos(args.qos),
            "pins": [self.uuid_of(pin) for pin in args.pins] if args.pins else None,
            "following": args.following,
            "metadata": None if args.metadata is None else dict([args.metadata]),
            "priority": args.priority,
            "on_collision": args.on_collision,
            "enabled": args.enabled,
            "all_projects": args.all_projects,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Create(_Command, base.ShowOne):
    """Make a calendar: from time to time, or once, something else is in force for some pins"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<name>", help="What to call it")
        _add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Make it."""
        args = parsed_args
        made = self.client.create_calendar(name=args.name, **self.asked(args))
        return base.columns(made, _SHOWN)


class List(_Command, base.Lister):
    """List calendars"""

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
        calendars = page(self.client.calendars, parsed_args, filters)
        return tuple(_LISTED), (base.columns(one, _LISTED.values())[1] for one in calendars)


class Show(_Command, base.ShowOne):
    """Show a calendar, and the window that it has now"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_calendar(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        return base.columns(self.found(parsed_args.calendar), _SHOWN)


class Set(_Command, base.ShowOne):
    """Change a calendar: what no option names stays"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_calendar(parser)
        parser.add_argument("--name", metavar="<name>", help="What to call it")
        _add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Change it."""
        args = parsed_args
        changes = self.asked(args) | ({"name": args.name} if args.name else {})
        calendar = self.found(args.calendar)
        fields = merged(present(calendar), changes)
        changed = self.client.update_calendar(calendar, calendar.generation, **fields)
        return base.columns(changed, _SHOWN)


class Delete(_Command):
    """Delete calendars: their pins return to what they ask for themselves"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_calendar(parser, nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them, and say at the end for which that failed."""
        base.each(
            parsed_args.calendar,
            lambda one: self.client.delete_calendar(self.found(one), ignore_missing=False),
        )


class Preview(_Command, base.Lister):
    """Tell when a calendar will have its way, and for the pins of which instances"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        _add_calendar(parser)
        _add_days(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """Tell."""
        calendar = self.found(parsed_args.calendar)
        told = list(self.client.preview_calendar(calendar, parsed_args.days))
        names = ("start", "end", "window", "instances")
        return ("Start", "End", "Window", "Instances"), (base.columns(t, names)[1] for t in told)


class ShowSchedule(_Command, base.Lister):
    """Tell what calendars will have in force for a pin, and when"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        _add_days(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """Tell."""
        told = list(self.client.pin_schedule(self.uuid_of(parsed_args.instance), parsed_args.days))
        names = ("start", "end", "calendar", "priority", "template", "qos")
        titles = ("Start", "End", "Calendar", "Priority", "Template", "QoS")
        return titles, (base.columns(one, names)[1] for one in told)


def present(calendar: Calendar) -> dict[str, Any]:
    """Return what a calendar was asked to be; a template stays at the version that it has."""
    found = {name: getattr(calendar, name) for name in Calendar.FIELDS}
    fields = {name: value for name, value in found.items() if value is not None}
    if template := fields.get("template"):
        role = template.get("role")
        fields["template"] = template["id"] + (f"/{role}" if role else "")
        fields["template_version"] = template["version"]
    else:
        fields.pop("only_qos", None)
    if following := fields.get("following"):
        fields["following"] = following["id"]
    return fields


def merged(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a calendar with changes; one way to say when, what or for which pins
    takes the place of the others.
    """
    left = dict(fields)
    if "template" in changes:
        left.pop("template_version", None)
    for group in _GROUPS:
        chosen = [names for names in group if changes.keys() & set(names)]
        for names in group if chosen else ():
            if names not in chosen:
                left = wish.without(left, names)
    return left | changes


def _add_calendar(parser: argparse.ArgumentParser, **options: Any) -> None:
    parser.add_argument(
        "calendar", metavar="<calendar>", help="Id of a calendar, or its name", **options
    )


def _add_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days",
        metavar="<count>",
        type=int,
        default=30,
        help="How many days from now on (default: %(default)s)",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    when = parser.add_argument_group("when").add_argument
    when("--cron", metavar="<expression>", help="When its windows begin, such as '0 22 * * 1-5'")
    when("--timezone", metavar="<zone>", help="In which zone that is, such as Europe/Berlin")
    when(
        "--duration",
        metavar="<time>",
        type=_duration,
        help="How long they are: 8h, 90m, 1d or seconds",
    )
    when("--start", metavar="<instant>", help="When its only window begins, 2026-01-31T12:00:00Z")
    when("--end", metavar="<instant>", help="When that ends")
    what = parser.add_argument_group("what").add_argument
    what("--template", metavar="<template>[/<role>]", help="What is in force then")
    what("--template-version", metavar="<version>", type=int, help="Which version of it")
    what(
        "--only-qos",
        action=argparse.BooleanOptionalAction,
        help="Whether just the QoS of the template is",
    )
    wish.add_qos(what)
    which = parser.add_argument_group("for which pins").add_argument
    which(
        "--pin",
        metavar="<instance>",
        action="append",
        dest="pins",
        help="The pin of this instance (repeat for others)",
    )
    which("--following", metavar="<template>", help="Those that follow this template")
    which(
        "--metadata",
        metavar="<key>=<value>",
        type=_entry,
        help="Those of servers with this entry in their metadata",
    )
    more = parser.add_argument
    more("--priority", metavar="<number>", type=int, help="The highest counts where two overlap")
    more(
        "--on-collision",
        choices=("refuse", "skip"),
        help="What to do if a pin cannot have what is asked for: refuse the calendar, or leave"
        " the pin alone in these windows",
    )
    more(
        "--enabled",
        action=argparse.BooleanOptionalAction,
        help="Whether anything shall happen at all",
    )
    more(
        "--all-projects",
        action=argparse.BooleanOptionalAction,
        help="Whether the pins may be of any project (admins)",
    )


def _duration(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time such as 8h, 90m, 1d or 3600")
    return int(match[1]) * _SECONDS[match[2]]


def _entry(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form <key>=<value>")
    return key, value
