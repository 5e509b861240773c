# SPDX-License-Identifier: Apache-2.0
"""What a calendar lays over the wish of a pin while one of its windows lasts."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Self

from kongming.timetable.rule import Window


@dataclasses.dataclass(frozen=True)
class Overlay:
    """Fields of a wish that take the place of the pin's own, and whose doing that is.

    ``generation`` is that of the calendar.
    """

    calendar_id: str
    name: str
    generation: int
    window: Window
    fields: Mapping[str, Any]

    @property
    def mark(self) -> tuple[str, int, datetime.datetime]:
        """What tells it from the overlay of another window, and of another state of the calendar.

        How long the window lasts does not: that another one cuts it short is no change.
        """
        return self.calendar_id, self.generation, self.window.start

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form; `from_dict` reads it back."""
        return {
            "calendar_id": self.calendar_id,
            "name": self.name,
            "generation": self.generation,
            "start": self.window.start.isoformat(),
            "end": self.window.end.isoformat(),
            "fields": dict(self.fields),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the overlay that `to_dict` described."""
        start, end = (datetime.datetime.fromisoformat(data[name]) for name in ("start", "end"))
        return cls(
            calendar_id=data["calendar_id"],
            name=data["name"],
            generation=data["generation"],
            window=Window(start, end),
            fields=data["fields"],
        )
