# SPDX-License-Identifier: Apache-2.0
"""How much CPU time the parts of an instance may use: what a wish says, and its parts."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast, get_args

from kongming.topology import bandwidth, cpuset, form
from kongming.topology.form import WishError
from kongming.topology.part import (
    DEFAULT_PERIOD,
    DEFAULT_SHARES,
    DEFAULT_WEIGHT,
    SHARES,
    UNLIMITED,
    Number,
    Part,
)

QUOTA = (1000, 17592186044415)
PERIOD = (1000, 1000000)
WEIGHT = (1, 10000)
#: What is a weight that libvirt takes on cgroup v2: from 2 to 10000.
CPU_SHARES = (20, 102400)

_NUMBERS: tuple[Number, ...] = get_args(Number)
#: What a wish may say of all vCPUs, or of each.
NAMES = tuple(name for name in _NUMBERS if name != "vcpu_weight")
LIMITS = {"period": PERIOD, "weight": WEIGHT, "shares": CPU_SHARES}
_PARENT, _CHILDREN = "global", ("emulator", "iothread", "vcpu")


@dataclasses.dataclass(frozen=True)
class Qos:
    """The numbers that a wish names; what is absent is left alone.

    ``numbers`` are those of the whole instance, of the emulator, of each I/O thread and of each
    vCPU, by name; ``vcpus`` has for a vCPU's number the ``quota``, ``period`` and ``weight`` of its
    own. Quotas (-1: unlimited) and periods are in µs, ``cpu_shares`` are those of cgroup v1,
    weights those of v2.
    """

    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    vcpus: Mapping[int, Mapping[str, int]] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form; `parse` reads it back."""
        vcpus = {str(number): dict(own) for number, own in sorted(self.vcpus.items())}
        return dict(self.numbers) | ({"vcpus": vcpus} if vcpus else {})

    def parts(self, vcpus: int, iothreads: Collection[int]) -> dict[Part, int]:
        """Return the numbers of an instance with so many vCPUs and I/O threads of these ids.

        Shares become those that are a whole weight, which both versions of cgroups can say.
        """
        numbers = self.numbers
        parts: dict[Part, int] = {}
        for owner in (_PARENT, "emulator"):
            parts |= _parts(owner, 0, _of(owner, numbers))
        for number in iothreads:
            parts |= _parts("iothread", number, _of("iothread", numbers))
        for number in range(vcpus):
            parts |= _parts("vcpu", number, {**_of("vcpu", numbers), **self.vcpus.get(number, {})})
        if "cpu_shares" in numbers:
            parts[SHARES] = shares_of(weight_of(numbers["cpu_shares"]))
        return parts


def parse(field: str, data: Any) -> Qos:
    """Return the QoS that an object of JSON describes.

    :raises WishError: naming what is malformed, unknown, out of bounds, or more than the quota of
        the whole instance allows
    """
    if not isinstance(data, Mapping):
        raise WishError(field, "must be an object")
    numbers: dict[str, int] = {}
    vcpus: dict[int, dict[str, int]] = {}
    for name, value in data.items():
        where = f"{field}.{name[:32]}"
        if name == "vcpus":
            vcpus = _own(where, value)
        elif name in NAMES:
            numbers[name] = _number(where, name.partition("_")[2], value)
        else:
            raise WishError(where, "unknown field")
    if not (numbers or vcpus):
        raise WishError(field, "must name some quota, period, weight or cpu_shares")
    found = Qos(numbers, vcpus)
    for name in _beyond(found):
        raise WishError(f"{field}.{name}", "allows more CPU time than global_quota")
    return found


def weight_of(shares: int) -> int:
    """Return the weight of cgroup v2 next to some shares of cgroup v1."""
    return (shares * DEFAULT_WEIGHT + DEFAULT_SHARES // 2) // DEFAULT_SHARES


def shares_of(weight: int) -> int:
    """Return the shares of cgroup v1 next to a weight of cgroup v2; `weight_of` reverts it."""
    return (weight * DEFAULT_SHARES + DEFAULT_WEIGHT // 2) // DEFAULT_WEIGHT


def to_dict(placement: Mapping[Part, int]) -> dict[str, Any]:
    """Return JSON's form of the numbers in a placement: a wish's, but with each I/O thread."""
    data: dict[str, Any] = {}
    for part, value in sorted(placement.items()):
        if part.is_number:
            if part.owner in ("iothread", "vcpu"):
                owners = data.setdefault(f"{part.owner}s", {})
                owners.setdefault(str(part.number), {})[part.measure] = value
            else:
                data[part.kind] = value
    return data


def from_dict(data: Mapping[str, Any]) -> dict[Part, int]:
    """Return the numbers that `to_dict` described."""
    parts: dict[Part, int] = {}
    for name, value in data.items():
        if name in ("iothreads", "vcpus"):
            for number, own in value.items():
                parts |= {
                    _part(name.removesuffix("s"), measure, int(number)): count
                    for measure, count in own.items()
                }
        else:
            parts[Part(cast(Number, name))] = value
    return parts


def _own(field: str, data: Any) -> dict[int, dict[str, int]]:
    if not isinstance(data, Mapping):
        raise WishError(field, "must be an object")
    vcpus: dict[int, dict[str, int]] = {}
    for key, value in data.items():
        where = f"{field}.{key[:32]}"
        members = cpuset.members(form.mask(where, key))
        if not isinstance(value, Mapping) or not value:
            raise WishError(where, "must be an object with quota, period or weight")
        own = {}
        for name, item in value.items():
            if name not in ("quota", "period", "weight"):
                raise WishError(f"{where}.{name[:32]}", "unknown field")
            own[name] = _number(f"{where}.{name}", name, item)
        for number in members:
            if number in vcpus:
                raise WishError(where, f"{number} is named twice")
            vcpus[number] = own
    return vcpus


def _number(field: str, measure: str, value: Any) -> int:
    if measure != "quota":
        return form.integer(field, value, *LIMITS[measure])
    if isinstance(value, int) and value == UNLIMITED:
        return UNLIMITED
    try:
        return form.integer(field, value, *QUOTA)
    except WishError as error:
        raise WishError(field, f"{error.reason}, or {UNLIMITED} for no limit") from error


def _of(owner: str, numbers: Mapping[str, int]) -> dict[str, int]:
    """Return the quota and the period of one owner by these two words."""
    return {
        measure: numbers[f"{owner}_{measure}"]
        for measure in ("quota", "period")
        if f"{owner}_{measure}" in numbers
    }


def _parts(owner: str, number: int, own: Mapping[str, int]) -> dict[Part, int]:
    if "quota" in own:
        own = {"period": DEFAULT_PERIOD, **own}
    return {_part(owner, measure, number): value for measure, value in own.items()}


def _part(owner: str, measure: str, number: int) -> Part:
    return Part(cast(Number, f"{owner}_{measure}"), number)


def _beyond(qos: Qos) -> Iterator[str]:
    """Yield the fields with a quota above that of the whole, which cgroup v1 refuses."""
    whole = _limit(_of(_PARENT, qos.numbers))
    owners = [(f"{owner}_quota", _of(owner, qos.numbers)) for owner in _CHILDREN]
    every_vcpu = _of("vcpu", qos.numbers)
    owners += [(f"vcpus.{n}.quota", {**every_vcpu, **own}) for n, own in sorted(qos.vcpus.items())]
    for name, own in owners:
        if bandwidth.exceeds(_limit(own), whole):
            yield name


def _limit(own: Mapping[str, int]) -> bandwidth.Limit:
    return bandwidth.Limit(own.get("quota", UNLIMITED), own.get("period", DEFAULT_PERIOD))
