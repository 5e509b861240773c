# SPDX-License-Identifier: Apache-2.0
"""Calendars on the database of a `ConductorTestCase`, and conductors with a clock to be set."""

import datetime
from typing import Any

import sqlalchemy as sa

from kongming import objects
from kongming.conductor import calendars
from kongming.conductor.timekeeper import Timekeeper
from kongming.db import engine, models
from kongming.tests.unit.conductor import base

#: A window of every day in UTC, from 20:00 to 04:00.
NIGHTS: dict[str, Any] = {"cron": "0 20 * * *", "timezone": "UTC", "duration_s": 8 * 3600}
DAY, EVENING, NIGHT = "2026-06-01T12:00", "2026-06-01T20:00", "2026-06-01T22:00"
NEXT_DAY = "2026-06-02T12:00"
QOS = {"qos": {"vcpu_quota": 50000}}


def utc(text: str) -> datetime.datetime:
    """Return the instant that a text without an offset names."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def described(*pins: str, overlay: dict[str, Any] | None = None, **fields: Any) -> objects.Calendar:
    """Return a calendar, by default of `NIGHTS`, for the pins of some instances."""
    values: dict[str, Any] = {
        **dict.fromkeys(("cron", "timezone", "duration_s", "starts_at", "ends_at")),
        **dict.fromkeys(("template_id", "template_role", "template_version", "following")),
        **dict.fromkeys(("metadata_key", "metadata_value")),
        **({} if "starts_at" in fields else NIGHTS),
        **{"name": "nights", "project_id": "telco", "user_id": "mano", "all_projects": False},
        **{"only_qos": False, "priority": 0, "on_collision": "refuse", "enabled": True},
        **{"pins": list(pins), "overlay": QOS if overlay is None else overlay},
    }
    return objects.Calendar(**values | fields)


class CalendarTestCase(base.ConductorTestCase):
    """Two conductors, and a time that goes on only when it is told to."""

    def setUp(self) -> None:
        super().setUp()
        self.now = utc(DAY)
        self.told: list[str | None] = []
        self.conductors = [self.conductor(), self.conductor()]

    def conductor(self) -> Timekeeper:
        """Return one that never looks by itself."""
        return Timekeeper(lambda _, host: self.told.append(host), lambda: self.now)

    def calendar(
        self, *pins: str, overlay: dict[str, Any] | None = None, **fields: Any
    ) -> objects.Calendar:
        """Make a calendar as `described`."""
        asked = described(*pins, overlay=overlay, **fields)
        return calendars.create(self.context, asked, self.now)

    def at(self, text: str) -> None:
        """Let it be some time, and let each conductor look, twice."""
        self.now = utc(text)
        for conductor in self.conductors * 2:
            conductor.look()

    def quota(self, uuid: str = base.A) -> int | None:
        """Return the quota of the vCPUs of an instance that is in force."""
        qos = self.row(uuid).wish.qos
        return None if qos is None else qos.numbers.get("vcpu_quota")

    def by(self, uuid: str = base.A, event: str = "changed") -> list[tuple[str, bool]]:
        """Return the calendars in the lines of an event, and whether each says it ended."""
        with engine.reader() as session:
            query = sa.select(models.PinEvent).where(
                models.PinEvent.instance_uuid == uuid, models.PinEvent.event == event
            )
            told = [row.asked_by or {} for row in session.scalars(query)]
        return [(by["name"], by["ended"]) for by in told if by.get("kind") == "calendar"]
