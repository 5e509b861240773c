# SPDX-License-Identifier: Apache-2.0
"""Schema migrations (Alembic)."""

import pathlib

from alembic import command, config, util
from alembic.runtime import migration
from alembic.script import ScriptDirectory

from kongming.db import engine

MigrationError = util.CommandError


def _config() -> config.Config:
    # no ini file: the location is the only setting
    settings = config.Config()
    settings.set_main_option("script_location", str(pathlib.Path(__file__).parent))
    return settings


def upgrade(revision: str = "head") -> None:
    """Bring the schema up to a revision; a no-op when it is there already."""
    command.upgrade(_config(), revision)


def stamp(revision: str) -> None:
    """Declare the schema to be at a revision without changing it."""
    command.stamp(_config(), revision)


def revision(message: str, autogenerate: bool) -> None:
    """Write a new migration, from the difference to the models if ``autogenerate``."""
    command.revision(_config(), message, autogenerate=autogenerate)


def version() -> str | None:
    """Return the revision of the database's schema; None if it has none."""
    with engine.engine().connect() as connection:
        return migration.MigrationContext.configure(connection).get_current_revision()


def revisions() -> list[str]:
    """Return all revisions that these programs know, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
