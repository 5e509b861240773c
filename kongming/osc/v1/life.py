# SPDX-License-Identifier: Apache-2.0
"""``resource pin history|wait`` and ``resource pin move …``: how it goes with a pin."""

import argparse
from collections.abc import Iterable
from typing import Any

from kongming.osc import base, waiting
from kongming.osc.v1.pin import Columns, add_instance

_EVENT = {
    "At": "at",
    "Event": "event",
    "Generation": "generation",
    "Host": "host",
    "Reason": "reason",
    "By": "by",
    "Cause": "cause",
}
_LONG = {"User ID": "user_id", "Request ID": "request_id", "Wish": "wish", "Receipt": "receipt"}
_MOVE = ("moved_mib", "total_mib", "seconds", "mib_per_s")


class History(base.Lister):
    """Show the life of a pin, the oldest event first; it outlives the pin"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        parser.add_argument("--long", action="store_true", help="Show more of each event")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Iterable[Any]]:
        """Show it."""
        shown = _EVENT | (_LONG if parsed_args.long else {})
        events = list(self.client.pin_history(self.uuid_of(parsed_args.instance)))
        return tuple(shown), (
            tuple(_value(name, getattr(event, name)) for name in shown.values()) for event in events
        )


class Wait(base.Command):
    """Wait until pins are applied; fail as soon as one has failed"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser, nargs="+")
        waiting.add_timeout(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Wait for one after the other."""
        for instance in parsed_args.instance:
            uuid = self.uuid_of(instance)
            waiting.wait(self.client, uuid, parsed_args.timeout, self.app.stderr)


class ShowMove(base.ShowOne):
    """Show how far the memory of an instance has moved"""

    since = "1.9"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Show it."""
        move = self.client.get_pin_move(self.uuid_of(parsed_args.instance))
        return _MOVE, tuple(getattr(move, name) for name in _MOVE)


class CancelMove(base.Command):
    """Call a move of memory off: all returns to where it was, and the pin fails"""

    since = "1.9"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Call it off."""
        self.client.cancel_pin_move(self.uuid_of(parsed_args.instance))


class By(base.Structure):
    """Who or what asked."""

    def human_readable(self) -> str:
        """Return it in a few words, such as ``rollout of gold/media 3``."""
        by = self._value
        text = by["kind"]
        if by.get("template"):
            role = f"/{by['role']}" if by.get("role") else ""
            text += f" of {by['template']}{role} {by['version']}"
        return f"{text} {by.get('id') or by.get('user_id') or ''}".rstrip()


class Moment(base.Structure):
    """When it happened."""

    def human_readable(self) -> str:
        """Return it with a place where a narrow table may break it."""
        return str(self._value).replace("T", " ")


def _value(name: str, value: Any) -> Any:
    if name == "at":
        return Moment(value)
    if not isinstance(value, dict):
        return value
    return By(value) if name == "by" else base.Structure(value)
