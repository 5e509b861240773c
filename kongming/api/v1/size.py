# SPDX-License-Identifier: Apache-2.0
"""How large an instance is that no host reports."""

from typing import Any

from wsme import types as wtypes

from kongming import exception
from kongming.topology import fit, layout


class Size(wtypes.Base):
    """The size, as a flavor tells it."""

    vcpus = wtypes.wsattr(int, mandatory=True)
    memory_mib = wtypes.wsattr(int, mandatory=True)
    iothreads = int

    def checked(self) -> fit.Size:
        """Return the size; its I/O threads are numbered from 1, as libvirt does.

        :raises BadRequest: naming the number that is out of bounds
        """
        iothreads: Any = 0 if self.iothreads is wtypes.Unset else self.iothreads
        bounds = {
            "vcpus": (self.vcpus, 1, layout.MAX_VCPUS),
            "memory_mib": (self.memory_mib, 1, layout.MAX_MEMORY_MIB),
            "iothreads": (iothreads, 0, layout.MAX_VCPUS),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise exception.BadRequest.field(f"size.{name}", f"must be from {low} to {high}")
        return fit.Size(self.vcpus, self.memory_mib, tuple(range(1, iothreads + 1)))
