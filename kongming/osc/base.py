# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common."""

import argparse
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cliff.columns import FormattableColumn
from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions
from osc_lib.command import command

from kongming.sdk import base
from kongming.sdk.calendar import Calendar
from kongming.sdk.proxy import Proxy
from kongming.sdk.template import Template
from kongming.topology import cpuset

_Named = TypeVar("_Named", Calendar, Template)


class Command(command.Command):
    """A command that says in one line, with the stable code, what the API refuses."""

    #: The version of the API that brought what the command needs.
    since = "1.0"

    @property
    def client(self) -> Proxy:
        """The API.

        :raises CommandError: it is too old for the command, or an older version is asked for
        """
        client: Proxy = self.app.client_manager.resource_pin  # type: ignore[attr-defined]
        version = base.version(client) or "1.0"
        if _numbers(version) < _numbers(self.since):
            raise exceptions.CommandError(
                f"This needs version {self.since} of the API, not {version}"
                " (resource_pin.version_not_supported)"
            )
        return client

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command.

        :raises CommandError: the API refuses it
        """
        try:
            return super().run(parsed_args)
        except sdk_exceptions.HttpException as error:
            raise exceptions.CommandError(sentence(error)) from error

    def uuid_of(self, instance: str) -> str:
        """Return the UUID of an instance that a user names by it, or by its name.

        :raises CommandError: no instance has that name, or several have
        """
        try:
            return str(uuid.UUID(instance))
        except ValueError:
            found = [one.uuid for one in self.client.instances(name=instance)]
        if len(found) == 1:
            return str(found[0])
        if not found:
            raise exceptions.CommandError(f"No instance has the name or UUID '{instance}'.")
        raise exceptions.CommandError(
            f"Several instances are named '{instance}': {', '.join(found)}."
        )

    def one(
        self,
        noun: str,
        text: str,
        get: Callable[[str], _Named],
        listing: Callable[..., Iterable[_Named]],
    ) -> _Named:
        """Return what has an id, or a name that only one has.

        :raises CommandError: nothing has that name, or several have
        """
        try:
            return get(str(uuid.UUID(text)))
        except ValueError:
            named = list(listing(name=text))
        if len(named) == 1:
            return named[0]
        if not named:
            raise exceptions.CommandError(f"No {noun} has the name or id '{text}'.")
        listed = ", ".join(f"{one.id} of project {one.project_id}" for one in named)
        raise exceptions.CommandError(f"Several {noun}s are named '{text}': {listed}.")


class Lister(Command, command.Lister):
    """A command that shows a list."""


class ShowOne(Command, command.ShowOne):
    """A command that shows one thing."""


def columns(resource: Any, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return a resource as `ShowOne` wants it."""
    shown = {name: getattr(resource, name) for name in names}
    return tuple(shown), tuple(
        Structure(value) if isinstance(value, dict | list) else value for value in shown.values()
    )


class Structure(FormattableColumn[Any]):
    """What has fields of its own: one line for each where people read it."""

    def human_readable(self) -> str:
        """Return it as text."""
        if not isinstance(self._value, dict):
            return _text(self._value)
        return "\n".join(
            f"{key}: {_text(value)}"
            for key, value in grouped(self._value).items()
            if value is not None
        )

    def machine_readable(self) -> Any:
        """Return it as it is."""
        return self._value


def each(names: Iterable[str], act: Callable[[str], Any]) -> None:
    """Do something with each of several things, also where it failed with others.

    :raises CommandError: it failed with some; each reason is told
    """
    failures = []
    for name in names:
        try:
            act(name)
        except sdk_exceptions.HttpException as error:
            failures.append(sentence(error))
        except exceptions.CommandError as error:
            failures.append(str(error).rstrip("."))
    if failures:
        raise exceptions.CommandError("; ".join(failures))


def sentence(error: sdk_exceptions.HttpException) -> str:
    """Return what is wrong in one line: ``code: sentence; … (HTTP 404, request …)``."""
    found = base.errors(error)
    if not found:
        return str(error).replace("\n", " ")
    said = "; ".join(f"{code}: {detail}" for code, detail in found)
    return f"{said} (HTTP {error.status_code}, {error.request_id})".replace("\n", " ")


def count(cpus: str) -> int:
    """Return how many numbers a CPU set, which may be empty, has."""
    return cpuset.parse(cpus).bit_count() if cpus else 0


def kib(size: int) -> str:
    """Return a size in KiB as people say it: ``4 KiB``, ``2 MiB``, ``1 GiB``."""
    for unit in ("KiB", "MiB"):
        if size < 1024 or size % 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def grouped(values: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping by number with the numbers that have the same value together."""
    if not all(key.isdigit() for key in values):
        return values
    masks: dict[str, int] = {}
    kept: dict[str, Any] = {}
    for key, value in values.items():
        text = str(value)
        masks[text] = masks.get(text, 0) | 1 << int(key)
        kept[text] = value
    return {cpuset.to_text(mask): kept[text] for text, mask in masks.items()}


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return " ".join(f"{key}={_inner(item)}" for key, item in grouped(value).items())
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    return str(value)


def _inner(value: Any) -> str:
    return f"({_text(value)})" if isinstance(value, dict | list) else str(value)
