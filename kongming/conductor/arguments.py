# SPDX-License-Identifier: Apache-2.0
"""What callers over RPC say, checked: not only the API can publish to the broker."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from kongming import clock, objects
from kongming.conductor import checks, reported
from kongming.conductor.checks import HIGHEST, Check
from kongming.db.quotas import RESOURCES, UNLIMITED
from kongming.objects.asked import Asked
from kongming.objects.calendar import MAX_PINS, MAX_PRIORITY
from kongming.objects.template import MAX_BATCH
from kongming.timetable import rule
from kongming.timetable.rule import RuleError
from kongming.topology import layout, template
from kongming.topology.answer import Size
from kongming.topology.wish import Wish, WishError

#: What trips over a value that has another shape than expected.
_SHAPE = (LookupError, TypeError, ValueError, AttributeError)


def checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Give a method of an RPC endpoint only arguments that their checks let through.

    Each has the check of its name in `CHECKS`; None is let through where its type says so.

    :raises TypeError: at once, there is no check of that name
    """
    signature = inspect.signature(method)
    hints = typing.get_type_hints(method)
    names = [name for name in signature.parameters if name not in ("self", "context")]
    if missing := [name for name in names if name not in CHECKS]:
        raise TypeError(f"{method.__qualname__}: nobody checks {', '.join(missing)}")
    optional = {name for name in names if types.NoneType in typing.get_args(hints[name])}

    @functools.wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            raise checks.wrong(method.__name__, str(error)) from error
        for name, value in bound.arguments.items():
            if name in names and not (value is None and name in optional):
                bound.arguments[name] = CHECKS[name](name, value)
        return method(*bound.args, **bound.kwargs)

    return call


def _name(field: str, value: Any) -> str:
    try:
        return template.name(field, value)
    except WishError as error:
        raise checks.wrong(error.field, error.reason) from error
    except TypeError as error:
        raise checks.wrong(field, "must be a string") from error


def _flag(field: str, value: Any) -> bool:
    if type(value) is not bool:
        raise checks.wrong(field, "must be true or false")
    return value


def _whole(field: str, value: Any) -> int:
    if type(value) is not int:
        raise checks.wrong(field, "must be an integer")
    return value


def _metadata(field: str, value: Any) -> str:
    if not (isinstance(value, str) and len(value) < 256 and value.isprintable()):
        raise checks.wrong(field, "must be at most 255 printable characters")
    return value


def _size(field: str, value: Any) -> Size:
    try:
        found = Size(value["vcpus"], value["memory_mib"], tuple(value["iothreads"]))
    except (LookupError, TypeError) as error:
        raise checks.wrong(field, "must have vcpus, memory_mib, iothreads") from error
    vcpu = checks.integer(1, layout.MAX_VCPUS)
    vcpu(f"{field}.vcpus", found.vcpus)
    checks.integer(1, layout.MAX_MEMORY_MIB)(f"{field}.memory_mib", found.memory_mib)
    for number in found.iothreads:
        vcpu(f"{field}.iothreads", number)
    return found


def _wish(field: str, value: Any) -> Mapping[str, Any]:
    return _read(field, value, Wish.from_dict)


def _overrides(field: str, value: Any) -> Mapping[str, Any]:
    return _read(field, value, lambda fields: Asked(fields).own())


def _read(field: str, value: Any, read: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Insist that fields can be read as those of a wish."""
    if not isinstance(value, Mapping):
        raise checks.wrong(field, "is none")
    try:
        read(value)
    except WishError as error:
        raise checks.wrong(error.field, error.reason) from error
    except _SHAPE as error:
        raise checks.wrong(field, "is none") from error
    return value


def _content(field: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) not in ({"wish"}, {"roles"}):
        raise checks.wrong(field, "must have either wish or roles")
    if "wish" in value:
        _wish(f"{field}.wish", value["wish"])
        return value
    roles = value["roles"]
    if not isinstance(roles, Mapping) or not 0 < len(roles) <= template.MAX_ROLES:
        raise checks.wrong(f"{field}.roles", f"must be 1 to {template.MAX_ROLES}")
    for role, wish in roles.items():
        _name(f"{field}.roles", role)
        _wish(f"{field}.roles.{role}", wish)
    return value


def _limits(field: str, value: Any) -> Mapping[str, int]:
    if not isinstance(value, Mapping) or not set(value) <= set(RESOURCES):
        raise checks.wrong(field, f"must be of {', '.join(RESOURCES)}")
    for name, limit in value.items():
        checks.integer(UNLIMITED, HIGHEST)(name, limit)
    return value


def _pin(field: str, value: Any) -> objects.Pin:
    owner = {"project_id": checks.identifier, "user_id": checks.identifier}
    pin = checks.fields(field, value, objects.Pin, {"instance_uuid": checks.uuid, **owner})
    if not pin.obj_attr_is_set("asked") or pin.asked is None:
        # the field insists on a wish
        return checks.fields(field, pin, objects.Pin, {"wish": lambda _, wish: wish})
    if pin.template_id is None:
        _wish(f"{field}.asked", pin.asked)
        return pin
    _overrides(f"{field}.asked", pin.asked)
    following = {"template_id": checks.uuid, "template_role": _name}
    return checks.fields(field, pin, objects.Pin, following)


def _template(field: str, value: Any) -> objects.Template:
    known = {
        "name": _name,
        "project_id": checks.identifier,
        "user_id": checks.identifier,
        "shared": _flag,
        "content": _content,
    }
    return checks.fields(field, value, objects.Template, known)


def _calendar(field: str, value: Any) -> objects.Calendar:
    calendar = checks.fields(field, value, objects.Calendar, _CALENDAR)
    which = (calendar.pins or None, calendar.following, calendar.metadata_key)
    if sum(given is not None for given in which) != 1:
        raise checks.wrong(field, "must have one of pins, following, metadata_key")
    if (calendar.metadata_key is None) != (calendar.metadata_value is None):
        raise checks.wrong(f"{field}.metadata_value", "belongs to metadata_key")
    if calendar.template_id is None:
        if set(calendar.overlay) != {"qos"}:
            raise checks.wrong(f"{field}.overlay", "must be of qos where no template is named")
        _wish(f"{field}.overlay", calendar.overlay)
    given = {name: getattr(calendar, name) for name in ("cron", "timezone", "duration_s")}
    given |= {
        name: when and when.isoformat()
        for name, when in (("start", calendar.starts_at), ("end", calendar.ends_at))
    }
    try:
        rule.parse({name: said for name, said in given.items() if said is not None}, clock.now())
    except RuleError as error:
        raise checks.wrong(error.field, error.reason) from error
    return calendar


def _pins(field: str, value: list[str]) -> list[str]:
    if len(value) > MAX_PINS or len(set(value)) < len(value):
        raise checks.wrong(field, f"must be at most {MAX_PINS} UUIDs, none of them twice")
    return [checks.uuid(field, uuid) for uuid in value]


_CALENDAR: Mapping[str, Check] = {
    "name": checks.identifier,
    "project_id": checks.identifier,
    "user_id": checks.identifier,
    "template_id": checks.uuid,
    "template_role": _name,
    "template_version": checks.integer(1, HIGHEST),
    "following": checks.uuid,
    "metadata_key": checks.identifier,
    "metadata_value": _metadata,
    "priority": checks.integer(-MAX_PRIORITY, MAX_PRIORITY),
    "pins": _pins,
    **dict.fromkeys(
        (
            *("all_projects", "only_qos", "enabled", "on_collision", "overlay"),
            *("cron", "timezone", "duration_s", "starts_at", "ends_at"),
        ),
        checks.anything,
    ),
}
#: What arguments of the conductor's methods must be, by their names.
CHECKS: Mapping[str, Check] = {
    "instance_uuid": checks.uuid,
    "template_id": checks.uuid,
    "rollout_id": checks.uuid,
    "calendar_id": checks.uuid,
    "project_id": checks.identifier,
    "host": checks.identifier,
    "role": _name,
    "wait": _flag,
    "shared": _flag,
    "across": _flag,
    # compared alone
    "generation": _whole,
    "base_version": _whole,
    "to_version": checks.integer(1, HIGHEST),
    "batch_size": checks.integer(1, MAX_BATCH),
    "size": _size,
    "wish": _overrides,
    "content": _content,
    "limits": _limits,
    "pin": _pin,
    "template": _template,
    "calendar": _calendar,
    "report": reported.report,
}
