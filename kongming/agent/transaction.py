# SPDX-License-Identifier: Apache-2.0
"""Bring one running instance to a placement, wholly or not at all."""

import functools
from collections.abc import Callable, Mapping

from oslo_log import log as logging

from kongming.agent.store import Snapshot
from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone, Move, NotNow, Scope
from kongming.topology import bandwidth, residency
from kongming.topology.placement import MEMORY, Part, Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress, Residency

LOG = logging.getLogger(__name__)


class NotApplied(Exception):
    """The placement was refused; every part is back where it was."""


class NotRestored(NotApplied):
    """The placement was refused and some part could not be brought back."""


class Interrupted(HypervisorError):
    """Nobody wants the placement any more; raised by a ``watch``."""


def snapshot(driver: Driver, uuid: str, live: Placement) -> Snapshot:
    """Return where all parts of a running instance are, for `carry_out` to come back to.

    :param live: where they are in `Scope.LIVE`
    :raises InstanceGone: it is not running here
    """
    found = {Scope.LIVE: live}
    if Scope.PERSISTENT in driver.scopes(uuid):
        found[Scope.PERSISTENT] = driver.read(uuid, Scope.PERSISTENT)
    return found


def is_at(memory: Residency, target: Placement) -> bool:
    """Whether memory is where ``target`` wants it, but for what does not matter."""
    return residency.share(memory, target[MEMORY]) >= residency.LEAST_SHARE


def carry_out(
    driver: Driver,
    uuid: str,
    target: Placement,
    live: Placement,
    memory: Residency | None,
    before: Snapshot | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Receipt | None:
    """Place every part in ``target``, live and in the definition, and ask the kernel.

    Memory that is elsewhere goes first, because it may find no room.

    :param live: where the parts are
    :param memory: where the memory is, if it is a part of ``target``
    :param before: where to return to on failure, if not there
    :param watch: is told of each step of the memory, also before the first, and ends the move by
        raising `Interrupted`
    :returns: what moved, None if no memory had to
    :raises NotApplied: with the hypervisor's reason, after everything was undone
    :raises NotRestored: undoing failed too; the message names the parts
    :raises InstanceGone: the instance stopped meanwhile
    :raises NotNow: some part is not there yet, none was undone: that would not be granted either
    """
    now: Snapshot = {Scope.LIVE: live}
    begun: list[tuple[Scope, Part]] = []
    move: Move | None = None

    def write(scope: Scope, changes: Placement) -> None:
        begun.extend((scope, part) for part in changes)
        if changes:
            driver.write(uuid, scope, changes)

    try:
        threads = _changes(Scope.LIVE, target.live, live)
        nodes = Placement({MEMORY: threads.pop(MEMORY)} if MEMORY in threads else {})
        receipt = None
        if memory is None or is_at(memory, target):
            # the threads first: what is asked for meanwhile is time in which they run elsewhere
            write(Scope.LIVE, threads)
        else:
            move = _begin(driver, uuid, target[MEMORY])
            watch(Progress(0, residency.outside(memory, target[MEMORY]), 0.0))
            end = _follow(move, functools.partial(write, Scope.LIVE, threads), watch)
            receipt = Receipt(
                before=memory,
                after=driver.memory(uuid),
                moved_mib=end.moved_mib,
                seconds=round(end.seconds, 3),
                warnings=tuple(move.warnings),
            )
        write(Scope.LIVE, nodes)
        now = snapshot(driver, uuid, live)
        if Scope.PERSISTENT in now:
            defined = _changes(Scope.PERSISTENT, target.defined, now[Scope.PERSISTENT])
            write(Scope.PERSISTENT, defined)
        differences = target.live.differences(driver.read(uuid, Scope.LIVE))
        if differences:
            raise HypervisorError("the kernel disagrees: " + ", ".join(differences))
        return receipt
    except (InstanceGone, NotNow):
        raise
    except HypervisorError as error:
        LOG.warning("Instance %s: %s; undoing what was done", uuid, error)
        if before is not None:
            begun = _all(target, before)
        try:
            stuck = _undo(driver, uuid, begun, before or now, move)
        except InstanceGone:
            raise
        except HypervisorError as failure:
            stuck = [str(failure)]
        if stuck:
            raise NotRestored(f"{error}; could not be undone: {', '.join(stuck)}") from error
        raise NotApplied(str(error)) from error


def take_back(driver: Driver, uuid: str, target: Placement, before: Snapshot) -> None:
    """Bring every part of ``target`` back to where it was before somebody else began with it.

    :raises NotRestored: not all could be; the message names the parts
    :raises InstanceGone: the instance stopped meanwhile
    """
    if stuck := _undo(driver, uuid, _all(target, before), before, None):
        raise NotRestored(f"could not be undone: {', '.join(stuck)}")


def _all(target: Placement, before: Snapshot) -> list[tuple[Scope, Part]]:
    wanted = {Scope.LIVE: target.live, Scope.PERSISTENT: target.defined}
    return [(scope, part) for scope in before for part in wanted[scope]]


def _begin(driver: Driver, uuid: str, nodes: int) -> Move:
    try:
        return driver.move(uuid, nodes)
    except (InstanceGone, NotNow):
        raise
    except HypervisorError as error:
        raise HypervisorError(f"{MEMORY}: {error}") from error


def _follow(move: Move, cross: Callable[[], None], watch: Callable[[Progress], None]) -> Progress:
    """Move all memory; the threads cross when half of it has.

    So at each moment about half of what they use is near them, or more, unless one step is all.
    """
    progress, crossed = Progress(0, 0, 0.0), False
    for progress in move:
        watch(progress)
        if not crossed and 2 * progress.moved_mib >= progress.total_mib:
            cross()
            crossed = True
    if not crossed:
        cross()
    return progress


def _changes(scope: Scope, wanted: Placement, before: Placement) -> Placement:
    """Return what is to be written, in an order that the kernel accepts."""
    found = before.value if scope is Scope.LIVE else before.get
    changes = {part: mask for part, mask in wanted.items() if found(part) != mask}
    return Placement(bandwidth.ordered(changes, before))


def _undo(
    driver: Driver,
    uuid: str,
    begun: list[tuple[Scope, Part]],
    before: Snapshot,
    move: Move | None,
) -> list[str]:
    """Bring memory and parts back, last first; return what could not be, in words."""
    unpinned = driver.unpinned(uuid)
    was = {scope: _whole(scope, placement, unpinned) for scope, placement in before.items()}
    stuck = []
    if move is not None:
        try:
            move.undo()
        except InstanceGone:
            raise
        except HypervisorError as error:
            stuck.append(str(error))
    refusals: dict[tuple[Scope, Part], str] = {}
    left, now = _displaced(driver, uuid, begun, unpinned, was)
    if (Scope.LIVE, MEMORY) in begun and (Scope.LIVE, MEMORY) not in left:
        # the kernel is right already, but libvirt may not know it
        left.append((Scope.LIVE, MEMORY))
    for scope in reversed(was):
        back = {part: was[scope].value(part) for there, part in reversed(left) if there == scope}
        for part, value in bandwidth.ordered(back, now[scope]).items():
            try:
                driver.write(uuid, scope, Placement({part: value}))
            except InstanceGone:
                raise
            except HypervisorError as error:
                refusals[scope, part] = str(error)
    left, _ = _displaced(driver, uuid, begun, unpinned, was)
    return stuck + [
        refusals.get((scope, part), f"{part}: the kernel disagrees") + f" ({scope.value})"
        for scope, part in left
    ]


def _displaced(
    driver: Driver,
    uuid: str,
    begun: list[tuple[Scope, Part]],
    unpinned: Placement,
    was: Mapping[Scope, Placement],
) -> tuple[list[tuple[Scope, Part]], dict[Scope, Placement]]:
    """Return which of the parts are not as they were, and how everything is."""
    now = {scope: _whole(scope, driver.read(uuid, scope), unpinned) for scope in was}
    left = [
        (scope, part) for scope, part in begun if now[scope].value(part) != was[scope].value(part)
    ]
    return left, now


def _whole(scope: Scope, placement: Placement, unpinned: Placement) -> Placement:
    """Return what was read, with what a definition leaves out."""
    return placement if scope is Scope.LIVE else Placement(unpinned | placement)
