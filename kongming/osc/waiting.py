# SPDX-License-Identifier: Apache-2.0
"""``--wait``: until something is done, with a progress bar."""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, TypeVar

from osc_lib import exceptions
from rich import console, progress

from kongming.sdk.pin import Pin
from kongming.sdk.proxy import Proxy
from kongming.sdk.template import Rollout

#: Seconds between two lines about the same work, where there is no bar.
_LINE_SECONDS = 5.0

_State = TypeVar("_State", Pin, Rollout)


class Step(NamedTuple):
    """How it goes: ``done`` of ``total`` (None: who knows), which ``words`` tell people."""

    title: str
    done: int
    total: int | None
    words: str


def add_options(parser: argparse.ArgumentParser, what: str = "the pin is applied") -> None:
    """Add the options of a command that may wait."""
    parser.add_argument("--wait", action="store_true", help=f"Wait until {what}, or has failed")
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the option for how long to wait."""
    parser.add_argument(
        "--timeout",
        metavar="<seconds>",
        type=float,
        default=300,
        help="How long to wait (default: %(default)s)",
    )


def wait(client: Proxy, uuid: str, seconds: float, file: IO[str]) -> Pin:
    """Return the pin of an instance once it is applied, telling meanwhile how it goes.

    :raises CommandError: it has failed
    :raises ResourceTimeout: it takes more than so many seconds
    """
    again = f"openstack resource pin wait {uuid}"
    last = _tell(client.follow_pin(uuid, seconds), pin_step, file, again)
    if last.status == "failed":
        raise exceptions.CommandError(f"The pin of instance {uuid} has failed: {last.reason}")
    return last


def wait_for_rollout(client: Proxy, rollout: str, seconds: float, file: IO[str]) -> Rollout:
    """Return a rollout once all who follow have the version, telling meanwhile how it goes.

    :raises CommandError: it went back
    :raises ResourceTimeout: it takes more than so many seconds
    """
    again = f"openstack resource pin rollout wait {rollout}"
    last = _tell(client.follow_rollout(rollout, seconds), rollout_step, file, again)
    if last.state != "completed":
        raise exceptions.CommandError(f"Rollout {last.id} has {last.state}: {last.reason}")
    return last


def pin_step(pin: Pin) -> Step:
    """Tell how it goes with a pin."""
    title, move = f"{pin.instance_uuid} {pin.status}", pin.move
    if not move:
        return Step(title, 0, None, "")
    moved, total = move["moved_mib"], move["total_mib"]
    return Step(title, moved, total, f"{moved} of {total} MiB, {move['mib_per_s']:.0f} MiB/s")


def rollout_step(rollout: Rollout) -> Step:
    """Tell how it goes with a rollout."""
    done, total = rollout.done, rollout.total
    return Step(f"{rollout.id} {rollout.state}", done, total, f"{done} of {total} pins")


def _tell(
    states: Iterator[_State], step: Callable[[_State], Step], file: IO[str], again: str
) -> _State:
    """Return the last of some states, having told of each.

    :param again: the command that waits for the same
    :raises KeyboardInterrupt: somebody has enough of waiting, and is told that it goes on
    """
    last: list[_State] = []

    def steps() -> Iterator[Step]:
        for state in states:
            last[:] = [state]
            yield step(state)

    screen = console.Console(file=file)
    try:
        (bar if screen.is_terminal else lines)(steps(), screen)
    except KeyboardInterrupt:
        screen.out(f"Nothing was stopped but the wait, which '{again}' takes up.", highlight=False)
        raise
    return last[0]


def bar(steps: Iterator[Step], screen: console.Console) -> None:
    """Show a bar, which vanishes at the end."""
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[words]}"),
        console=screen,
        transient=True,
    ) as drawn:
        task = drawn.add_task("", total=None, words="")
        for step in steps:
            drawn.update(
                task,
                description=step.title,
                total=step.total,
                completed=step.done,
                words=step.words,
            )


def lines(
    steps: Iterator[Step],
    screen: console.Console,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Print a line for each change, of the same work now and then."""
    said, at = Step("", 0, None, ""), 0.0
    for step in steps:
        working = step.title == said.title and step.words and said.words
        if step != said and not (working and clock() - at < _LINE_SECONDS):
            screen.out(f"{step.title} {step.words}".rstrip(), highlight=False)
            said, at = step, clock()
