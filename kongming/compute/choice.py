# SPDX-License-Identifier: Apache-2.0
"""Which of some hosts an instance may go to, with its pin made and its place kept there."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from kongming.compute import hint, metadata
from kongming.compute.client import Client, Refused
from kongming.topology.wish import Wish, WishError

#: Nova shows users 255 characters, of which its own words take 25.
_MAX_REASON = 225
_MAX_HOSTS = 3
_INSTANCE = re.compile(r"instance [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class NoHost(Exception):
    """None of the hosts will do; the message tells the user why."""

    def __init__(self, reason: str) -> None:
        super().__init__(_shortened(reason, _MAX_REASON))


@dataclasses.dataclass(frozen=True)
class Request:
    """An instance that is to be scheduled; ``hint`` is None if it has none."""

    instance_uuid: str
    #: ``project_id`` and, if known, ``user_id``
    owner: dict[str, str]
    request_id: str
    hint: Any
    vcpus: int
    memory_mib: int
    #: Nova itself gives the instance pCPUs, for its flavor or image asks for that
    dedicated: bool
    #: who asks may say where instances run
    exact: bool
    #: a logger that names the instance and the request
    log: Any


@dataclasses.dataclass(frozen=True)
class Choice:
    """Hosts that will do, best first; the place is ``kept`` on the only one, or on none."""

    hosts: list[str]
    kept: bool


def choose(client: Client, request: Request, hosts: list[str]) -> Choice:
    """Return which hosts will do: one, if the placement claims anything.

    Without hint and without pin all will do, and for a pin of an instance that Nova places.

    :raises NoHost: none will do, or the hint is wrong
    :raises Unavailable: KongMing cannot be asked
    """
    pin = client.pin(request.instance_uuid, request.request_id)
    if pin is None and request.hint is None:
        return Choice(hosts, kept=False)
    if request.dedicated and pin is None:
        raise NoHost(f"{hint.NAME}: flavor or image ask Nova for dedicated CPUs (cpu_policy)")
    try:
        wish = _wished(client, request) if pin is None else hint.wish_of(pin)
        # an administrator has set it; the filter, which speaks for users, must not
        overrides = pin is not None and wish.pop("override", False)
        if request.dedicated and not overrides:
            return Choice(hosts, kept=False)
        size = {"vcpus": request.vcpus, "memory_mib": request.memory_mib}
        if iothreads := hint.iothreads(wish):
            size["iothreads"] = iothreads
        return _find(client, request, hosts, wish, size, pin is not None)
    except hint.HintError as error:
        raise NoHost(str(error)) from error
    except Refused as refused:
        # who else is on a host is not the user's business
        raise NoHost(f"{hint.NAME}: {_INSTANCE.sub('another instance', str(refused))}") from refused


def _wished(client: Client, request: Request) -> dict[str, Any]:
    """Return what the hint wishes, if its user may: KongMing only sees that the scheduler asks.

    :raises HintError: it may not
    """
    wish = hint.parse(request.hint)
    if isinstance(wish, hint.PinOf):
        pin = client.pin(wish.instance_uuid, request.request_id)
        if pin is None or not _is_own(pin, request):
            raise hint.HintError(f"instance {wish.instance_uuid} has no pin")
        # what an operator allowed one instance is not for all that are made like it
        wish = hint.wish_of(pin) | {"override": False}
    elif "override" in wish:
        # the filter may, but it speaks for users
        raise hint.HintError("override: only administrators may ask for it")
    try:
        known = metadata.FIELDS.intersection(wish) - {"template"}
        fields = metadata.fields_in({name: wish[name] for name in known})
        # what is there for dedicated pins alone may be so by a template
        understood = Wish.from_dict({**fields, "cpu_policy": "dedicated"})
    except WishError:
        # KongMing refuses it, and says why
        return wish
    if not request.exact:
        for field in understood.named_places:
            raise hint.HintError(f"{field}: you may not name pCPUs, NUMA nodes or devices")
    for uuid in understood.neighbours:
        found = client.instance(uuid, request.request_id)
        if found is None or found.get("project_id") is None:
            # it may be yet to come, or of a host that does not know whose it is
            found = client.pin(uuid, request.request_id)
        if found is None or not _is_own(found, request):
            raise hint.HintError(f"instance {uuid} is not known")
    return wish


def _is_own(found: Mapping[str, Any], request: Request) -> bool:
    return found.get("project_id") == request.owner["project_id"]


def _find(
    client: Client,
    request: Request,
    hosts: list[str],
    wish: dict[str, Any],
    size: dict[str, int],
    pinned: bool,
) -> Choice:
    question = {
        "instance_uuid": request.instance_uuid,
        "prefer_pin": True,
        "wish": wish,
        "size": size,
        "hosts": hosts,
        # whose templates a wish may name
        "project_id": request.owner["project_id"],
    }
    # last, so that no field of the wish overrides them
    pin = {**wish, "instance_uuid": request.instance_uuid, **request.owner}
    # the second view is for who lost every place of the first to others
    for _ in range(2):
        fits, rejected = client.candidates(question, request.request_id)
        if not fits:
            for host, reason in rejected.items():
                request.log.info("host %s: %s", host, reason)
            raise NoHost(_reason(rejected))
        if not fits[0][1]:
            if not pinned:
                client.create_pin(pin, request.request_id)
            return Choice([host for host, _ in fits], kept=False)
        for host, _ in fits:
            try:
                if pinned or not client.create_pin(
                    {**pin, "host": host, "size": size}, request.request_id
                ):
                    client.reserve(request.instance_uuid, host, size, request.request_id)
            except Refused as refused:
                if refused.status == 403:
                    # it is the same on every host
                    raise
                request.log.info("host %s has no place any more: %s", host, refused)
                continue
            request.log.info("its place on host %s is kept", host)
            return Choice([host], kept=True)
    raise NoHost(f"{hint.NAME}: other requests took every place; try again")


def _reason(rejected: dict[str, str]) -> str:
    """Return why no host will do, in the few words that Nova shows."""
    shown = list(rejected.items())[:_MAX_HOSTS]
    more = len(rejected) - len(shown)
    rest = f"; and {more} more" if more else ""
    room = (_MAX_REASON - len(f"{hint.NAME}: {rest}")) // max(len(shown), 1) - len("; ")
    texts = [_shortened(f"{host}: {reason}", room) for host, reason in shown]
    return f"{hint.NAME}: {'; '.join(texts)}{rest}"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
