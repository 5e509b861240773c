# SPDX-License-Identifier: Apache-2.0
"""Who is where on a host: the documents of the API as bitmasks. Nothing here draws."""

import dataclasses
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kongming.topology import cpuset

Document = Mapping[str, Any]

EMULATOR, MEMORY = "emulator", "memory"
_LETTERS = string.ascii_uppercase + string.ascii_lowercase


@dataclasses.dataclass(frozen=True)
class Resident:
    """An instance on a host, or one that a pin expects there.

    ``observed`` and ``wanted`` map a part, such as ``vCPU 0``, to its pCPUs, ``memory`` to NUMA
    nodes; ``used`` maps page sizes in KiB and NUMA nodes to MiB.
    """

    number: int
    label: str
    uuid: str
    name: str
    state: str
    status: str
    reason: str
    observed: Mapping[str, int]
    wanted: Mapping[str, int]
    used: Mapping[int, Mapping[int, int]]
    locality: float | None

    def drifts(self) -> Iterator[tuple[str, int, int]]:
        """Yield each part that is elsewhere than its pin wants it: where it is, where it belongs.

        Where nothing is observed, because the instance does not run, nothing has drifted.
        """
        for part, wanted in self.wanted.items():
            if part in self.observed and self.observed[part] != wanted:
                yield part, self.observed[part], wanted


def residents(instances: Sequence[Document], pins: Sequence[Document], host: str) -> list[Resident]:
    """Return who is on a host, sorted by name; then those that only pins expect there."""
    by_uuid = {pin["instance_uuid"]: pin for pin in pins if pin.get("host") == host}
    known = sorted(instances, key=lambda instance: (instance["name"], instance["uuid"]))
    there = {instance["uuid"] for instance in known}
    expected: list[Document] = [
        {"uuid": uuid, "name": "", "state": "expected"}
        for uuid in sorted(by_uuid)
        if uuid not in there
    ]
    everybody = [*known, *expected]
    labels = _labels(len(everybody))
    return [
        resident(instance, by_uuid.get(instance["uuid"]), number, labels[number])
        for number, instance in enumerate(everybody)
    ]


def resident(
    instance: Document, pin: Document | None, number: int = 0, label: str = "A"
) -> Resident:
    """Return one instance with its pin, if it has one."""
    pin = pin or {}
    usage = instance.get("usage") or {}
    return Resident(
        number=number,
        label=label,
        uuid=instance["uuid"],
        name=instance["name"],
        state=instance["state"],
        status=pin.get("status") or "",
        reason=pin.get("reason") or "",
        observed=parts(instance.get("observed")),
        wanted=parts(pin.get("placement")),
        used={
            int(size): {int(node): mib for node, mib in nodes.items()}
            for size, nodes in (usage.get("memory") or {}).items()
        },
        locality=usage.get("locality_percent"),
    )


def parts(placement: Document | None) -> dict[str, int]:
    """Return the parts of a placement as bitmasks; nothing for None."""
    if placement is None:
        return {}
    found = {
        f"vCPU {number}": mask(cpus) for number, cpus in sorted(_numbered(placement.get("vcpus")))
    }
    if placement.get("emulator"):
        found[EMULATOR] = mask(placement["emulator"])
    for number, cpus in sorted(_numbered(placement.get("iothreads"))):
        found[f"I/O thread {number}"] = mask(cpus)
    memory = placement.get("memory") or {}
    if memory.get("nodes"):
        found[MEMORY] = mask(memory["nodes"])
    return found


def threads(placed: Mapping[str, int]) -> dict[str, int]:
    """Return the parts of a placement that run on pCPUs."""
    return {part: cpus for part, cpus in placed.items() if part != MEMORY}


def mask(cpus: str | None) -> int:
    """Return a CPU set, which may be empty, as a bitmask."""
    return cpuset.parse(cpus) if cpus else 0


def _numbered(places: Mapping[str, str] | None) -> list[tuple[int, str]]:
    return [(int(number), cpus) for number, cpus in (places or {}).items()]


def _labels(count: int) -> list[str]:
    """Return a label for each, all of the same length."""
    if count <= len(_LETTERS):
        return list(_LETTERS[:count])
    return [first + second for first in _LETTERS for second in _LETTERS][:count]
