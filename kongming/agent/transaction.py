# SPDX-License-Identifier: Apache-2.0
"""Bring one running instance to a placement, wholly or not at all."""

from collections.abc import Mapping

from oslo_log import log as logging

from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone, NotNow, Scope
from kongming.topology import bandwidth
from kongming.topology.placement import Part, Placement

LOG = logging.getLogger(__name__)


class NotApplied(Exception):
    """The placement was refused; every part is back where it was."""


class NotRestored(NotApplied):
    """The placement was refused and some part could not be brought back."""


def carry_out(driver: Driver, uuid: str, target: Placement, live: Placement) -> None:
    """Place every part in ``target``, live and in the definition, and ask the kernel.

    :param live: where the parts are
    :raises NotApplied: with the hypervisor's reason, after everything was undone
    :raises NotRestored: undoing failed too; the message names the parts
    :raises InstanceGone: the instance stopped meanwhile
    :raises NotNow: some part is not there yet, none was undone: that would not be granted either
    """
    before = {Scope.LIVE: live}
    begun: list[tuple[Scope, Part]] = []
    try:
        # the threads first: what is asked for meanwhile is time in which they run elsewhere
        for scope in Scope:
            if scope is Scope.PERSISTENT:
                if scope not in driver.scopes(uuid):
                    continue
                before[scope] = driver.read(uuid, scope)
            changes = _changes(scope, target, before[scope])
            if changes:
                begun += [(scope, part) for part in changes]
                driver.write(uuid, scope, changes)
        differences = target.differences(driver.read(uuid, Scope.LIVE))
        if differences:
            raise HypervisorError("the kernel disagrees: " + ", ".join(differences))
    except (InstanceGone, NotNow):
        raise
    except HypervisorError as error:
        LOG.warning("Instance %s: %s; undoing what was done", uuid, error)
        try:
            stuck = _undo(driver, uuid, begun, before)
        except InstanceGone:
            raise
        except HypervisorError as failure:
            stuck = [str(failure)]
        if stuck:
            raise NotRestored(f"{error}; could not be undone: {', '.join(stuck)}") from error
        raise NotApplied(str(error)) from error


def _changes(scope: Scope, target: Placement, before: Placement) -> Placement:
    """Return what is to be written, in an order that the kernel accepts."""
    if scope is Scope.LIVE:
        changes = {part: mask for part, mask in target.items() if before.value(part) != mask}
    else:
        changes = {
            part: mask
            for part, mask in target.items()
            if before.get(part) != mask and not part.is_live_only
        }
    return Placement(bandwidth.ordered(changes, before))


def _undo(
    driver: Driver, uuid: str, begun: list[tuple[Scope, Part]], before: dict[Scope, Placement]
) -> list[str]:
    """Bring parts back, last first; return what could not be, in words."""
    unpinned = driver.unpinned(uuid)
    was = {scope: _whole(scope, placement, unpinned) for scope, placement in before.items()}
    refusals: dict[tuple[Scope, Part], str] = {}
    left, now = _displaced(driver, uuid, begun, unpinned, was)
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
    return [
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
