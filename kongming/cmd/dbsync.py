# SPDX-License-Identifier: Apache-2.0
"""kongming-dbsync: create and upgrade the database schema."""

from typing import Any

from oslo_config import cfg
from oslo_db import exception as db_exception

from kongming import service
from kongming.db import migrations


def _add_commands(subparsers: Any) -> None:
    upgrade = subparsers.add_parser("upgrade", help="bring the schema up to date")
    upgrade.add_argument("--revision", default="head", help="stop at this revision")
    subparsers.add_parser("version", help="print the revision of the schema")
    revision = subparsers.add_parser("revision", help="write a new migration (developers)")
    revision.add_argument("-m", "--message", required=True)
    revision.add_argument("--autogenerate", action="store_true")
    stamp = subparsers.add_parser("stamp", help="declare the schema to be at a revision")
    stamp.add_argument("revision", nargs="?", default="head")


def main() -> int:
    """Carry out one command."""
    cfg.CONF.register_cli_opt(cfg.SubCommandOpt("command", title="commands", handler=_add_commands))
    conf = service.prepare("kongming-dbsync", prints=True)
    service.need_database(conf)
    command = conf.command
    try:
        if command.name == "upgrade":
            migrations.upgrade(command.revision)
            print(f"The schema is at revision {migrations.version()}.")
        elif command.name == "version":
            print(migrations.version() or "none: run kongming-dbsync upgrade")
        elif command.name == "revision":
            migrations.revision(command.message, command.autogenerate)
        else:
            migrations.stamp(command.revision)
    except (
        db_exception.DBError,
        db_exception.CantStartEngineError,
        migrations.MigrationError,
    ) as error:
        service.fail("kongming-dbsync", error)
    return 0
