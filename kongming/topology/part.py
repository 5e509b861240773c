# SPDX-License-Identifier: Apache-2.0
"""The things of an instance that can be placed, and those that can be given a number."""

from typing import Literal, NamedTuple, get_args

Place = Literal["vcpu", "iothread", "emulator", "memory", "start"]
Number = Literal[
    "cpu_shares",
    "global_quota",
    "global_period",
    "emulator_quota",
    "emulator_period",
    "iothread_quota",
    "iothread_period",
    "vcpu_quota",
    "vcpu_period",
    "vcpu_weight",
]
Kind = Place | Number
KINDS = frozenset((*get_args(Place), *get_args(Number)))

UNLIMITED = -1
DEFAULT_PERIOD = 100_000
DEFAULT_SHARES = 1024
DEFAULT_WEIGHT = 100

_DEFAULTS = {
    "shares": DEFAULT_SHARES,
    "weight": DEFAULT_WEIGHT,
    "quota": UNLIMITED,
    "period": DEFAULT_PERIOD,
}
_OWNERS = {"global": "instance", "emulator": "emulator"}


class Part(NamedTuple):
    """One thing of an instance that can be placed, or one number of its QoS.

    Those of vCPUs and I/O threads are numbered. Quotas and periods are in µs, shares and weights
    in the units of cgroup v1 and v2.
    """

    kind: Kind
    number: int = 0

    def __str__(self) -> str:
        names = {
            "vcpu": f"vCPU {self.number}",
            "iothread": f"I/O thread {self.number}",
            "start": "memory of the next start",
        }
        owner, _, what = self.kind.partition("_")
        if not what or owner == "cpu":
            return names.get(self.kind, self.kind)
        return f"{names.get(owner) or _OWNERS[owner]}'s {what}"

    @property
    def is_number(self) -> bool:
        """Whether it has a number of QoS, not a bitmask."""
        return "_" in self.kind

    @property
    def is_memory(self) -> bool:
        """Whether its bitmask is one of NUMA nodes, not of pCPUs."""
        return self.kind in ("memory", "start")

    @property
    def is_live_only(self) -> bool:
        """Whether no definition can hold it: there is one value for all vCPUs in libvirt's."""
        return self.kind.startswith("vcpu_")

    @property
    def owner(self) -> str:
        """What it is, or a number of QoS is of: ``cpu``, ``global``, ``emulator``, ``vcpu``..."""
        return self.kind.partition("_")[0]

    @property
    def measure(self) -> str:
        """What a number of QoS is: ``shares``, ``weight``, ``quota``, ``period``."""
        return self.kind.partition("_")[2]

    @property
    def default(self) -> int:
        """The value of a number that nobody has set; 0, no place, for the others."""
        return _DEFAULTS.get(self.measure, 0)

    def in_words(self, value: int) -> str:
        """Return a number of QoS with its unit."""
        if self.measure == "quota" and value == UNLIMITED:
            return "unlimited"
        return f"{value} µs" if self.measure in ("quota", "period") else str(value)


EMULATOR = Part("emulator")
MEMORY = Part("memory")
#: The memory that the instance takes when it starts next, for the definition alone.
MEMORY_AT_START = Part("start")
SHARES = Part("cpu_shares")
