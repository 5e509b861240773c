# SPDX-License-Identifier: Apache-2.0
"""What of a wish is not for those who may describe what an instance needs, but not say where."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kongming.topology.part import DEFAULT_PERIOD, UNLIMITED
from kongming.topology.qos import Qos, weight_of


class Bounds(NamedTuple):
    """The highest weight of CPU time, and the highest quota in per cent of a pCPU (-1: any)."""

    weight: int
    quota_percent: int


def beyond(qos: Qos | None, most: Bounds) -> Iterator[tuple[str, str]]:
    """Yield field and reason of each number of a wish that is above a bound."""
    if qos is None:
        return
    for field, weight in _weights(qos):
        if weight > most.weight:
            yield field, f"the highest weight of CPU time is {most.weight}"
    if most.quota_percent == UNLIMITED:
        return
    for field, quota, period in _quotas(qos):
        if quota == UNLIMITED or 100 * quota > most.quota_percent * period:
            yield field, f"the highest quota is {most.quota_percent} % of a pCPU"


def _weights(qos: Qos) -> Iterator[tuple[str, int]]:
    if "cpu_shares" in qos.numbers:
        yield "qos.cpu_shares", weight_of(qos.numbers["cpu_shares"])
    for number, own in _each(qos, "weight"):
        yield f"qos.vcpus.{number}.weight", own["weight"]


def _quotas(qos: Qos) -> Iterator[tuple[str, int, int]]:
    """Yield field, quota and period; that of the whole instance only makes others smaller."""
    numbers = qos.numbers
    for owner in ("emulator", "iothread", "vcpu"):
        if f"{owner}_quota" in numbers:
            period = numbers.get(f"{owner}_period", DEFAULT_PERIOD)
            yield f"qos.{owner}_quota", numbers[f"{owner}_quota"], period
    for number, own in _each(qos, "quota"):
        period = own.get("period", numbers.get("vcpu_period", DEFAULT_PERIOD))
        yield f"qos.vcpus.{number}.quota", own["quota"], period


def _each(qos: Qos, measure: str) -> list[tuple[int, Mapping[str, int]]]:
    return [(number, own) for number, own in sorted(qos.vcpus.items()) if measure in own]
