# SPDX-License-Identifier: Apache-2.0
"""``/v1/pins/{instance_uuid}/move``: the memory of an instance on its way to other NUMA nodes."""

from typing import Any

import pecan
from wsme import types as wtypes
from wsme.rest import json as wsme_json

from kongming import exception
from kongming.api import described
from kongming.api.loaded import load_pin
from kongming.api.microversion import Version, serves
from kongming.api.routes import Document
from kongming.policies import pins as rules
from kongming.topology.residency import Progress

#: The version that brought moves of memory.
MOVES = Version(1, 9)


class Move(wtypes.Base):
    """How far memory has moved; ``total_mib`` is what was to move when it began."""

    moved_mib = wtypes.wsattr(int, mandatory=True)
    total_mib = wtypes.wsattr(int, mandatory=True)
    seconds = wtypes.wsattr(float, mandatory=True)
    mib_per_s = wtypes.wsattr(float, mandatory=True)


_MIB = wtypes.DictType(wtypes.text, wtypes.DictType(wtypes.text, int))


class Receipt(wtypes.Base):
    """What came of a move; where memory was and is in MiB by page size in KiB and NUMA node."""

    before = wtypes.wsattr(_MIB, mandatory=True)
    after = wtypes.wsattr(_MIB, mandatory=True)
    moved_mib = wtypes.wsattr(int, mandatory=True)
    seconds = wtypes.wsattr(float, mandatory=True)
    warnings = wtypes.wsattr(wtypes.ArrayType(wtypes.text), mandatory=True)


@serves("1.9")
class MoveController(Document):
    """``/v1/pins/{instance_uuid}/move``"""

    @pecan.expose("json")
    @described.operation(Move, refuses=(exception.PinNotFound, exception.MoveNotFound))
    def show(self, instance_uuid: str) -> Any:
        """Show how far the move is."""
        pin = load_pin(pecan.request.context, rules.GET, instance_uuid)
        found = shown(pin.progress)
        if found is None:
            raise exception.MoveNotFound(instance_uuid=pin.instance_uuid)
        return wsme_json.tojson(Move, found)

    @pecan.expose("json")
    @described.operation(
        status=202,
        refuses=(
            *(exception.PinNotFound, exception.MoveNotFound),
            *(exception.Forbidden, exception.ControlPlaneUnavailable),
        ),
    )
    def delete(self, instance_uuid: str) -> None:
        """Call the move off: everything returns to where it was, and the pin fails."""
        request = pecan.request
        pin = load_pin(request.context, rules.UPDATE, instance_uuid)
        request.conductor.cancel_move(request.context, pin.instance_uuid, pin.project_id)
        pecan.response.status = 202
        # no body: nothing but 204 lets Pecan write none by itself
        pecan.override_template("")


def shown(progress: Progress | None) -> Move | None:
    """Return the progress of a move as it is shown."""
    if progress is None:
        return None
    return Move(
        moved_mib=progress.moved_mib,
        total_mib=progress.total_mib,
        seconds=round(progress.seconds, 3),
        mib_per_s=progress.mib_per_s,
    )
