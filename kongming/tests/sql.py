# SPDX-License-Identifier: Apache-2.0
"""What SQL a piece of code sends."""

from typing import Any, NamedTuple

import fixtures
import sqlalchemy as sa
from sqlalchemy import event

from kongming.db import engine


class Statement(NamedTuple):
    """One statement; ``many`` when the driver runs it once per set of parameters."""

    text: str
    many: bool


class Statements(fixtures.Fixture):
    """Records the statements that reach the database while it is in use."""

    def _setUp(self) -> None:
        self.all: list[Statement] = []
        watched = engine.engine()
        event.listen(watched, "before_cursor_execute", self._note)
        self.addCleanup(event.remove, watched, "before_cursor_execute", self._note)

    def _note(
        self,
        connection: sa.Connection,
        cursor: Any,
        text: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        self.all.append(Statement(text, executemany))
