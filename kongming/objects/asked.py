# SPDX-License-Identifier: Apache-2.0
"""What is asked for a pin, from which its wish is made.

It is no versioned object: pins and calls of a conductor have its parts.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kongming.objects.pin import Pin
from kongming.topology.wish import Wish


@dataclasses.dataclass(frozen=True)
class Asked:
    """Fields of a wish; with ``template_id`` those that differ from the template's."""

    fields: Mapping[str, Any]
    template_id: str | None = None
    role: str | None = None

    @classmethod
    def of(cls, pin: Pin) -> "Asked":
        """Return what a pin asks for; senders of a version before know its wish alone."""
        if not pin.obj_attr_is_set("asked") or pin.asked is None:
            return cls(pin.wish.to_dict())
        return cls(pin.asked, pin.template_id, pin.template_role)

    def own(self) -> Wish:
        """Return a wish with just these fields, to judge who may ask for them.

        :raises WishError: they are none of any wish
        """
        # what is there for dedicated pins alone may be so by the template
        return Wish.from_dict({**self.fields, "cpu_policy": "dedicated"})
