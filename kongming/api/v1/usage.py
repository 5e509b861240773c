# SPDX-License-Identifier: Apache-2.0
"""``usage`` of hosts and instances, as it is shown."""

import datetime
from collections.abc import Mapping
from typing import Any, ClassVar

from wsme import types as wtypes

from kongming.api import links
from kongming.api.microversion import Version

#: The first version that shows it.
FIRST = Version(1, 5)


class Thread(wtypes.Base):
    """One thread of an instance; ``number`` is null for the emulator's."""

    kind = wtypes.text
    number = int
    name = wtypes.text
    tid = int
    cpus = wtypes.text
    last_cpu = int
    run_seconds = float
    wait_seconds = float


class Vcpu(wtypes.Base):
    """How long a vCPU ran, and waited for a pCPU."""

    run_seconds = float
    wait_seconds = float
    run_percent = float
    wait_percent = float


class Instance(wtypes.Base):
    """What an instance uses; ``memory`` is in MiB by page size in KiB and NUMA node."""

    _places: ClassVar[dict[str, Any]] = {"threads": [], "memory": {}}

    at = wtypes.text
    threads = wtypes.ArrayType(Thread)
    vcpus = wtypes.DictType(wtypes.text, Vcpu)
    memory = wtypes.DictType(wtypes.text, wtypes.DictType(wtypes.text, int))
    locality_percent = float


class Load(wtypes.Base):
    """What a pCPU did in the last interval."""

    busy_percent = float
    iowait_percent = float
    steal_percent = float


class Conflict(wtypes.Base):
    """pCPUs over which instances get in each other's way."""

    _instances = ("instances",)

    kind = wtypes.text
    cpus = wtypes.text
    instances = wtypes.ArrayType(wtypes.text)


class Host(wtypes.Base):
    """What a host is used for."""

    at = wtypes.text
    cpus = wtypes.DictType(wtypes.text, Load)
    conflicts = wtypes.ArrayType(Conflict)


def of_host(used: Mapping[str, Any] | None) -> Host | None:
    """Return what is shown of a host, from `models.Host.usage`; None if nothing is known."""
    if used is None:
        return None
    return Host(
        at=_instant(used),
        cpus={cpu: Load(**load) for cpu, load in used["cpus"].items()},
        conflicts=[Conflict(**conflict) for conflict in used["conflicts"]],
    )


def of_instance(used: Mapping[str, Any] | None, uuid: str) -> Instance | None:
    """Return what is shown of an instance, from `models.Host.instance_usage`; None if nothing."""
    if used is None or uuid not in used["instances"]:
        return None
    mine = used["instances"][uuid]
    return Instance(
        at=_instant(used),
        threads=[Thread(**thread) for thread in mine["threads"]],
        vcpus={number: Vcpu(**vcpu) for number, vcpu in mine["vcpus"].items()},
        memory=mine["memory"],
        locality_percent=mine["locality_percent"],
    )


def _instant(used: Mapping[str, Any]) -> str | None:
    return links.instant(datetime.datetime.fromisoformat(used["at"]))
