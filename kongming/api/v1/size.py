# SPDX-License-Identifier: Apache-2.0
"""How large an instance is that no host reports."""

from typing import Any

from wsme import types as wtypes

from kongming import exception
from kongming.topology import fit, layout


class Size(wtypes.Base):
    """The size, as a flavor tells it."""

    _bounds = {
        "vcpus": (1, layout.MAX_VCPUS),
        "memory_mib": (1, layout.MAX_MEMORY_MIB),
        "iothreads": (0, layout.MAX_VCPUS),
    }
    _grammar = {
        name: {"type": "integer", "minimum": low, "maximum": high}
        for name, (low, high) in _bounds.items()
    }

    vcpus = wtypes.wsattr(int, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)
    iothreads = int

    def checked(self) -> fit.Size:
        """Return the size; its I/O threads are numbered from 1, as libvirt does.

        :raises BadRequest: naming the number that is out of bounds
        """
        iothreads: Any = 0 if self.iothreads is wtypes.Unset else self.iothreads
        given = {"vcpus": self.vcpus, "memory_mib": self.memory_mib, "iothreads": iothreads}
        for name, value in given.items():
            low, high = self._bounds[name]
            if not low <= value <= high:
                raise exception.BadRequest.field(f"size.{name}", f"must be from {low} to {high}")
        return fit.Size(self.vcpus, self.memory_mib, tuple(range(1, iothreads + 1)))
