# SPDX-License-Identifier: Apache-2.0

from kongming.conductor import metadata
from kongming.db import calendars, engine
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A


class NoteTest(base.ConductorTestCase):
    def known(self) -> dict[str, str]:
        with engine.reader() as session:
            return calendars.known_metadata(session, A)

    def test_keys_that_hardly_differ(self) -> None:
        alike = {"tier": "1", "Tier": "2", "tier ": "3", "tier  ": "4", "tiér": "5", "size ": "6"}
        metadata.note(A, alike)
        kept = {key: value for key, value in alike.items() if key not in ("tier ", "tier  ")}
        self.assertEqual(kept, self.known())
        metadata.note(A, {"tier ": "3"})
        self.assertEqual({"tier ": "3"}, self.known())

    def test_what_no_calendar_could_name(self) -> None:
        told = {"a\n": "1", "b": "\0", "c": "x" * 256, "d": "\ud800", "e" * 256: "1", "f": ""}
        metadata.note(A, told)
        self.assertEqual({"f": ""}, self.known())
