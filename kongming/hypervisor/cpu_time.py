# SPDX-License-Identifier: Apache-2.0
"""The numbers of QoS in the files of control groups, version 1 or 2."""

import errno

from kongming.hypervisor.cgroups import GroupError, Groups
from kongming.hypervisor.driver import HypervisorError
from kongming.topology import qos
from kongming.topology.part import SHARES, UNLIMITED, Part
from kongming.topology.placement import Placement

_GLOBAL = (Part("global_quota"), Part("global_period"))
_EMULATOR = (Part("emulator_quota"), Part("emulator_period"))


def read(groups: Groups) -> Placement:
    """Return the numbers that are not at their default: what is not controlled is."""
    parts = [SHARES, *_GLOBAL, *_EMULATOR]
    for kind, number in groups.parts("cpu"):
        if kind == "iothread":
            parts += [Part("iothread_quota", number), Part("iothread_period", number)]
        elif kind == "vcpu":
            parts += [Part("vcpu_quota", number), Part("vcpu_period", number)]
            parts.append(Part("vcpu_weight", number))
    found = Placement()
    for part in parts:
        value = _read_v1(groups, part) if groups.version("cpu") == 1 else _read_v2(groups, part)
        if value is not None and value != part.default:
            found[part] = value
    return found


def write(groups: Groups, part: Part, value: int) -> None:
    """Write one number.

    :raises HypervisorError: the kernel refuses, or the host does not control CPU time
    """
    if groups.version("cpu") == 2:
        _write_v2(groups, part, value)
    elif part.measure in ("quota", "period"):
        _write(groups, part, f"cpu.cfs_{part.measure}_us", str(value))
    else:
        shares = qos.shares_of(value) if part.measure == "weight" else value
        _write(groups, part, "cpu.shares", str(shares))


def _read_v1(groups: Groups, part: Part) -> int | None:
    limited = part.measure in ("quota", "period")
    text = _read(groups, part, f"cpu.cfs_{part.measure}_us" if limited else "cpu.shares")
    if text is None:
        return None
    return qos.weight_of(int(text)) if part.measure == "weight" else int(text)


def _read_v2(groups: Groups, part: Part) -> int | None:
    if part.measure in ("quota", "period"):
        text = _read(groups, part, "cpu.max")
        if text is None:
            return None
        quota, period = text.split()
        if part.measure == "period":
            return int(period)
        return UNLIMITED if quota == "max" else int(quota)
    text = _read(groups, part, "cpu.weight")
    if text is None:
        return None
    return qos.shares_of(int(text)) if part == SHARES else int(text)


def _write_v2(groups: Groups, part: Part, value: int) -> None:
    if part.measure == "quota":
        # without a period the kernel keeps that which there is
        _write(groups, part, "cpu.max", "max" if value == UNLIMITED else str(value))
    elif part.measure == "period":
        quota, _, _ = (_read(groups, part, "cpu.max") or "max").partition(" ")
        _write(groups, part, "cpu.max", f"{quota} {value}")
    else:
        weight = qos.weight_of(value) if part == SHARES else value
        _write(groups, part, "cpu.weight", str(weight))


def _read(groups: Groups, part: Part, file: str) -> str | None:
    """Return what a file says; None if there is no such control."""
    try:
        return groups.read(part, file)
    except GroupError:
        return None
    except OSError as error:
        if error.errno == errno.ENODEV:  # the group vanishes just now
            return None
        raise


def _write(groups: Groups, part: Part, file: str, text: str) -> None:
    try:
        groups.write(part, file, text)
    except GroupError as error:
        raise HypervisorError(str(error)) from error
    except OSError as error:
        reason = f"Unable to write '{text}' to '{file}': {error.strerror}"
        raise HypervisorError(reason) from error
