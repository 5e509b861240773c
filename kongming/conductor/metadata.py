# SPDX-License-Identifier: Apache-2.0
"""What Nova tells of the metadata of servers, for calendars that choose by it."""

from collections.abc import Mapping

from kongming.conductor.retry import retried
from kongming.db import calendars, engine

_MAX_LENGTH = 255


@retried
def note(instance_uuid: str, told: Mapping[str, str]) -> None:
    """Keep the metadata of a server, in place of what was told before; empty once it is gone.

    Entries that no calendar could name are left out, and of keys that differ in blanks at their end
    alone, which are the same to MariaDB and MySQL, all but the shortest.
    """
    entries = {
        key: value
        for key, value in told.items()
        if isinstance(value, str)
        and max(len(key), len(value)) <= _MAX_LENGTH
        and (key + value).isprintable()
        and not any(key[:end] in told for end in range(len(key.rstrip(" ")), len(key)))
    }
    with engine.reader() as session:
        if calendars.known_metadata(session, instance_uuid) == entries:
            return
    with engine.writer() as session:
        calendars.store_metadata(session, instance_uuid, entries)
