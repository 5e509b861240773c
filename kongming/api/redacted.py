# SPDX-License-Identifier: Apache-2.0
"""What of an answer its caller may read: all answers and all refusals pass through here.

A type of an answer says which of its fields tell more than is one's own:

- ``_places``: fields that tell on which host, NUMA nodes or pCPUs something is, each with what is
  told instead, or a function that makes it from the value (`Unset`: the field is left out);
- ``_words``: fields with a sentence that may name such, each with the field whose word says what
  the sentence is about;
- ``_read_as``: fields with JSON of types that are not theirs in the description of the API;
- ``_instances``: fields with the uuids of instances, or with what has one, which may be those of
  others.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from wsme import types as wtypes

from kongming import policy
from kongming.conductor.claims import OTHER_PROJECT
from kongming.context import RequestContext
from kongming.db import engine, instances
from kongming.objects.report import CALLED_OFF
from kongming.policies import base as rules

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CODE = "resource_pin."

#: What is said instead to those who do not see places, by status, event or code.
_INSTEAD = {
    **dict.fromkeys(
        ("failed", "refused"),
        "the instance cannot be placed as it is wished; the operator of the cloud sees why",
    ),
    **dict.fromkeys(
        ("drifted", "applied", "pending"), "parts of the instance were not where they shall be"
    ),
    **dict.fromkeys(
        ("waiting", "reserved", "expired"), "the instance does not run on any host known"
    ),
    **dict.fromkeys(
        ("cpu_already_claimed", "does_not_fit", "cpus_short", "siblings_short", "pcpu_elsewhere"),
        "too few pCPUs are free where the instance is",
    ),
    **dict.fromkeys(
        ("memory_short", "nodes_short", "nodes_excluded", "numa_node_unknown"),
        "too little memory is free where the instance is",
    ),
    **dict.fromkeys(
        ("core_avoided", "instance_elsewhere"),
        "where the instance is, its wish for neighbours cannot be granted",
    ),
    **dict.fromkeys(
        ("device_node_full", "pci_device_unknown"),
        "where the instance is, it cannot be near the device",
    ),
    **dict.fromkeys(
        (
            *("pcpu_offline", "pcpu_unknown", "pcpu_unmanaged", "pcpu_isolated", "core_isolated"),
            *("host_down", "host_unknown"),
        ),
        "this cannot be had where the instance is",
    ),
    "calendar_collides": "in some of its windows it cannot be had where the instance is",
    "page_size_unknown": "there are no such pages where the instance is",
    "placed_by_others": "Nova has placed the instance; an administrator may override that",
}
#: Codes whose sentences speak of nothing but the request, the caller's own, and the service.
HARMLESS = frozenset(
    {
        *("invalid_field", "bad_request", "forbidden", "places_forbidden", "quota_exceeded"),
        "cpu_time_forbidden",
        *("not_found", "host_not_found", "instance_not_found", "move_not_found", "pin_not_found"),
        *("reservation_not_found", "conflict", "pin_exists", "stale_generation", "internal_error"),
        *("unavailable", "conductor_unavailable", "nova_unavailable", "version_not_supported"),
        *("vcpu_unknown", "iothread_unknown", "vcpu_unassigned", "uneven_nodes"),
        *("memory_mismatch", "page_size_misfit"),
        *("template_not_found", "template_version_not_found", "template_exists", "stale_template"),
        *("template_in_use", "rollout_not_found", "rollout_is_over"),
        *("calendar_not_found", "stale_calendar", "metadata_not_followed"),
    }
)
#: Reasons of pins that anybody may read who sees the pin.
_OPEN = re.compile(
    "|".join(
        (
            r"the instance is [a-z]+",
            r"quota: .*",
            rf"[\w.-]+: [\w.*]+: policy does not allow {rules.NAME_PLACES} .*",
            re.escape(OTHER_PROJECT),
            re.escape(CALLED_OFF),
        )
    )
)


@functools.cache
def concerns(datatype: Any) -> bool:
    """Whether there is anything in a type that not everybody may read."""
    if wtypes.isarray(datatype):
        return concerns(datatype.item_type)
    if wtypes.isdict(datatype):
        return concerns(datatype.value_type)
    if not wtypes.iscomplex(datatype):
        return False
    return any(hasattr(datatype, name) for name in ("_places", "_words", "_instances")) or any(
        concerns(kind) for kind in _attributes(datatype).values()
    )


def _attributes(datatype: Any) -> dict[str, Any]:
    """Return the type of each field, as what it is to be read."""
    found = {each.name: each.datatype for each in wtypes.list_attributes(datatype)}
    return found | getattr(datatype, "_read_as", {})


class Sight:
    """What one caller may read; made for one request."""

    def __init__(self, context: RequestContext) -> None:
        self.places = policy.allows(context, rules.SEE_PLACES)
        self.others = policy.allows(context, rules.SEE_OTHERS)
        self._project_id = context.project_id
        self._known: dict[str, bool] = {}

    @property
    def whole(self) -> bool:
        """Whether nothing has to be kept back."""
        return self.places and self.others

    def of(self, datatype: Any, told: Any) -> Any:
        """Return what is told of JSON of a WSME type."""
        if self.whole or told is None:
            return told
        if wtypes.isarray(datatype):
            return [self.of(datatype.item_type, item) for item in told]
        if wtypes.isdict(datatype):
            return {key: self.of(datatype.value_type, item) for key, item in told.items()}
        if not wtypes.iscomplex(datatype):
            return told
        shown = {
            name: self.of(kind, told[name])
            for name, kind in _attributes(datatype).items()
            if name in told
        }
        for name, word in getattr(datatype, "_words", {}).items():
            if shown.get(name):
                shown[name] = self.words(shown[name], str(told[word]))
        for name in getattr(datatype, "_instances", ()):
            if shown.get(name):
                shown[name] = self._neighbours(shown[name])
        if not self.places:
            _hide(shown, getattr(datatype, "_places", {}))
        return shown

    def words(self, text: str, about: str) -> str:
        """Return a sentence, or another instead of one that tells too much.

        :param about: a status, an event, or a code with or without what all codes begin with
        """
        about = about.removeprefix(_CODE)
        if self.whole or about in HARMLESS or _OPEN.fullmatch(text):
            return text
        if not self.places:
            # without a word that is known, nothing is told
            instead = _INSTEAD.get(about, _INSTEAD["failed"])
            field, colon, _ = text.partition(": ")
            named = colon and re.fullmatch(r"[a-z_]+(\.[a-z_0-9*]+)*", field)
            return f"{field}: {instead}" if named else instead
        mentioned = _UUID.findall(text)
        own = self._own(mentioned)
        for uuid in set(mentioned).difference(own):
            text = text.replace(f"instance {uuid}", "another instance").replace(uuid, "another")
        return text

    def _neighbours(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if self._own([value]) else None
        uuids = [item if isinstance(item, str) else item["uuid"] for item in value]
        own = set(self._own(uuids))
        return [item for item, uuid in zip(value, uuids, strict=True) if uuid in own]

    def _own(self, uuids: Iterable[str]) -> list[str]:
        """Return those of some instances that may be named to the caller."""
        listed = list(uuids)
        if self.others:
            return listed
        if unknown := set(listed).difference(self._known):
            with engine.reader() as session:
                found = instances.owned(session, unknown, self._project_id)
            self._known |= {uuid: uuid in found for uuid in unknown}
        return [uuid for uuid in listed if self._known[uuid]]


def _hide(shown: dict[str, Any], places: Mapping[str, Any]) -> None:
    for name, instead in places.items():
        if shown.get(name) is None:
            continue
        told = instead(shown[name]) if callable(instead) else instead
        if told is wtypes.Unset:
            del shown[name]
        else:
            shown[name] = told
