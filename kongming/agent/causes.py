# SPDX-License-Identifier: Apache-2.0
"""Why the parts of a running instance are elsewhere than they were put, as far as one can tell."""

from kongming.hypervisor.driver import Circumstances
from kongming.objects.report import Cause
from kongming.topology.placement import MEMORY, Part, Placement


def of_new_process(arrived: bool) -> Cause:
    """Return why an instance runs in another process than before.

    :param arrived: whether a migration was heard of since
    """
    return Cause.MIGRATION if arrived else Cause.HARD_REBOOT


def of_same_process(
    target: Placement, live: Placement, before: frozenset[Part], circumstances: Circumstances
) -> Cause:
    """Return why some part is not where ``target`` wants it, most telling sign first.

    :param live: where the parts are
    :param before: the parts that there were when all was in place; empty if nobody remembers
    """
    moved = [part for part, mask in target.places.items() if live.get(part) != mask]
    if any(part not in live for part in moved) or (before and before != frozenset(live.places)):
        return Cause.CPU_HOTPLUG
    if not moved:
        # numbers of CPU time alone, or pages
        return Cause.OUTSIDE_LIBVIRT
    threads = [part for part in moved if part != MEMORY]
    if any(target[part] & ~circumstances.online for part in threads):
        return Cause.CPU_OFFLINE
    if all(circumstances.told.get(part) == live[part] for part in moved):
        return Cause.LIBVIRT_CLIENT
    # who writes single masks does not write the widest; a daemon that forgets them all does
    if len(threads) > 1 and all(not circumstances.online & ~live[part] for part in threads):
        return Cause.SYSTEMD_RELOAD
    return Cause.OUTSIDE_LIBVIRT
