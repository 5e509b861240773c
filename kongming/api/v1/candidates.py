# SPDX-License-Identifier: Apache-2.0
"""``/v1/candidates``: on which hosts a pin would fit, and where there. Writes nothing."""

from collections.abc import Iterable
from typing import Any

import pecan
from wsme import types as wtypes

from kongming import exception, policy
from kongming.api import body
from kongming.api.inventories import Inventories
from kongming.api.routes import Collection
from kongming.api.v1 import pins
from kongming.policies import candidates as rules
from kongming.topology import cpuset, fit, layout
from kongming.topology.answer import Reason
from kongming.topology.inventory import Inventory
from kongming.topology.wish import Wish

# kongming.api.sizelimit lets that many through, of up to 100 characters
_MAX_HOSTS = 10_000
_MAX_NAME = 255


class Size(wtypes.Base):
    """How large the instance is."""

    vcpus = wtypes.wsattr(int, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)
    iothreads = int


class Hosts(wtypes.UserType):
    """A list of host names."""

    basetype = list
    name = "list of host names"

    def read(self, value: Any, path: str) -> list[str]:
        """Return the names.

        :raises BadRequest: it is no list of names
        """
        if not isinstance(value, list) or len(value) > _MAX_HOSTS:
            raise exception.BadRequest.field(path, f"must be a list of at most {_MAX_HOSTS} names")
        for number, name in enumerate(value):
            if not (isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable()):
                raise exception.BadRequest.field(f"{path}.{number}", "is no name of a host")
        return value


class Question(wtypes.Base):
    """Body of a POST; without ``hosts`` all are asked about."""

    wish = wtypes.wsattr(pins.WishBody, mandatory=True)
    size = wtypes.wsattr(Size, mandatory=True)
    hosts = Hosts()


class CandidatesController(Collection):
    """``/v1/candidates``"""

    def __init__(self) -> None:
        self._inventories = Inventories()

    @pecan.expose("json")
    def post(self) -> Any:
        """Tell where a wish would fit, best first, and why not elsewhere."""
        policy.authorize(pecan.request.context, rules.ASK)
        asked = body.read(pecan.request, Question)
        names = None if asked.hosts is wtypes.Unset else set(asked.hosts)
        question = _question(asked)
        exact = _names_pcpus(question.wish)
        up, down = self._inventories.of(names, question.wish.neighbours)
        fits, rejected = [], []
        for host, inventory in up.items():
            try:
                found = question.place(inventory)
                if exact:
                    _insist(found, inventory)
            except fit.DoesNotFit as error:
                rejected.append(_rejected(host, error.reasons))
            else:
                # the rest of the answer is let go of: there may be thousands
                fits.append((found.score, host, found.placement.to_dict()))
        rejected += [
            _rejected(host, [Reason("host", "host_down", "the host is down")]) for host in down
        ]
        rejected += [
            _rejected(host, [Reason("host", "host_unknown", "no such host is known")])
            for host in (names or set()) - set(up) - down
        ]
        fits.sort(key=lambda candidate: candidate[:2])
        rejected.sort(key=lambda answer: str(answer["host"]))
        return {
            "candidates": [{"host": host, "placement": placement} for _, host, placement in fits],
            "rejected": rejected,
        }


def _question(asked: Question) -> fit.Question:
    size = asked.size
    iothreads = 0 if size.iothreads is wtypes.Unset else size.iothreads
    bounds = {
        "vcpus": (size.vcpus, 1, layout.MAX_VCPUS),
        "memory_mib": (size.memory_mib, 1, layout.MAX_MEMORY_MIB),
        "iothreads": (iothreads, 0, layout.MAX_VCPUS),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise exception.BadRequest.field(f"size.{name}", f"must be from {low} to {high}")
    try:
        return fit.Question(
            asked.wish.wish("wish."),
            fit.Size(size.vcpus, size.memory_mib, tuple(range(1, iothreads + 1))),
        )
    except fit.DoesNotFit as error:
        raise exception.refusal(error.reasons) from error


def _names_pcpus(wish: Wish) -> bool:
    return bool(wish.vcpus or wish.every_vcpu or wish.emulator is not None or wish.iothreads)


def _insist(found: fit.Fit, inventory: Inventory) -> None:
    """Refuse exact places that are somebody else's, as the conductor would.

    :raises DoesNotFit: naming them
    """
    taken = found.exclusive & ~inventory.free_dedicated
    taken |= (found.placement.cpus | found.exclusive) & ~inventory.free_shared
    if taken:
        detail = f"pCPU {cpuset.to_text(taken)} is in use by another instance"
        raise fit.DoesNotFit([Reason("host", "cpu_already_claimed", detail)])


def _rejected(host: str, reasons: Iterable[Reason]) -> dict[str, Any]:
    return {
        "host": host,
        "reasons": [
            {"code": f"resource_pin.{reason.code}", "detail": f"{reason.field}: {reason.detail}"}
            for reason in reasons
        ],
    }
