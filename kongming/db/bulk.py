# SPDX-License-Identifier: Apache-2.0
"""Changes to many rows in a statement or two, however many rows there are."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm


def replace(
    session: orm.Session,
    key: orm.InstrumentedAttribute[Any],
    gone: Iterable[str],
    rows: list[dict[str, Any]],
) -> None:
    """Delete the rows whose ``key`` is in ``gone`` or ``rows``; insert ``rows``: 2 statements."""
    keys = {*gone, *(row[key.key] for row in rows)}
    if keys:
        session.execute(
            sa.delete(key.class_).where(key.in_(keys)), execution_options=_UNSYNCHRONISED
        )
    if rows:
        session.execute(sa.insert(key.class_).values(rows))


def save(
    session: orm.Session,
    key: orm.InstrumentedAttribute[Any],
    objects: Iterable[Any],
    removed: Iterable[str] = (),
) -> None:
    """Write what was changed on loaded objects, delete those in ``removed``: 2 statements.

    The session lets go of the objects: none of them is written or read again.
    """
    changes: dict[str, dict[str, Any]] = {}
    for row in objects:
        changed = {
            attribute.key: attribute.value
            for attribute in sa.inspect(row).attrs
            if attribute.history.has_changes()
        }
        if changed:
            changes[getattr(row, key.key)] = changed
        session.expunge(row)
    replace(session, key, removed, [])
    for uuid in removed:
        changes.pop(uuid, None)
    if not changes:
        return
    assignments = {}
    for name in sorted({name for values in changes.values() for name in values}):
        column = getattr(key.class_, name)
        assignments[name] = sa.case(
            *(
                (key == row, sa.literal(values[name], column.type))
                for row, values in changes.items()
                if name in values
            ),
            else_=column,
        )
    session.execute(
        sa.update(key.class_).where(key.in_(list(changes))).values(assignments),
        execution_options=_UNSYNCHRONISED,
    )


# objects that the session has loaded are not looked at again after these statements
_UNSYNCHRONISED = {"synchronize_session": False}
