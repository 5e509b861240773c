# SPDX-License-Identifier: Apache-2.0
"""Bring one running instance to a placement, wholly or not at all."""

from collections.abc import Mapping

from oslo_log import log as logging

from kongming.hypervisor.driver import Driver, HypervisorError, InstanceGone, NotNow, Scope
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
            changes = Placement(
                (part, mask) for part, mask in target.items() if before[scope].get(part) != mask
            )
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


def _undo(
    driver: Driver, uuid: str, begun: list[tuple[Scope, Part]], before: dict[Scope, Placement]
) -> list[str]:
    """Bring parts back, last first; return what could not be, in words."""
    unpinned = driver.unpinned(uuid)
    was = {scope: unpinned | placement for scope, placement in before.items()}
    left = _displaced(driver, uuid, begun, unpinned, was)
    refusals: dict[tuple[Scope, Part], str] = {}
    for scope, part in reversed(left):
        try:
            driver.write(uuid, scope, Placement({part: was[scope].get(part, 0)}))
        except InstanceGone:
            raise
        except HypervisorError as error:
            refusals[scope, part] = str(error)
    return [
        refusals.get((scope, part), f"{part}: the kernel disagrees") + f" ({scope.value})"
        for scope, part in _displaced(driver, uuid, begun, unpinned, was)
    ]


def _displaced(
    driver: Driver,
    uuid: str,
    begun: list[tuple[Scope, Part]],
    unpinned: Placement,
    was: Mapping[Scope, Mapping[Part, int]],
) -> list[tuple[Scope, Part]]:
    now = {scope: unpinned | driver.read(uuid, scope) for scope in was}
    return [(scope, part) for scope, part in begun if now[scope].get(part) != was[scope].get(part)]
