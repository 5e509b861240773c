# SPDX-License-Identifier: Apache-2.0
"""What holds of the migrations on every kind of database; for tests to inherit."""

import pathlib
from typing import Any

import sqlalchemy as sa
from alembic import autogenerate
from alembic.runtime import migration
from oslo_config import cfg

from kongming.db import engine, migrations, models
from kongming.tests import base

#: The newest migration; their files are numbered.
HEAD = max(
    file.name.partition("_")[0]
    for file in pathlib.Path(migrations.__file__).parent.glob("versions/[0-9]*.py")
)


def differences(connection: sa.Connection) -> list[Any]:
    """Return what Alembic would write into a migration that leads to the models."""
    options = {"compare_type": True, "compare_server_default": True}
    context = migration.MigrationContext.configure(connection, opts=options)
    return list(autogenerate.compare_metadata(context, models.Base.metadata))


def described(connection: sa.Connection) -> dict[str, Any]:
    """Return all that the database tells of its tables; Alembic compares less.

    It overlooks primary keys, constraints, options such as the character set, and more.
    """
    inspector = sa.inspect(connection)
    sqlite = connection.dialect.name == "sqlite"
    return {
        table: {
            "columns": [
                {key: str(value) for key, value in column.items()}
                for column in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted(
                (index["name"], index["column_names"], index["unique"])
                for index in inspector.get_indexes(table)
            ),
            "unique": inspector.get_unique_constraints(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "checks": inspector.get_check_constraints(table),
            # SQLAlchemy 2.0 cannot tell them for SQLite, which has none
            "options": {} if sqlite else inspector.get_table_options(table),
        }
        for table in sorted(inspector.get_table_names())
        if table != "alembic_version"
    }


class MigrationTests(base.TestCase):
    """Inherit together with a `database_url` that leads to an empty database."""

    def database_url(self) -> str:
        """Return the URL of a database without any table."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        cfg.CONF.set_override("connection", self.database_url(), "database")
        self.addCleanup(cfg.CONF.clear_override, "connection", "database")
        engine.dispose()
        self.addCleanup(engine.dispose)

    def test_upgrade_leads_from_nothing_to_the_models(self) -> None:
        with engine.engine().connect() as connection:
            self.assertEqual({}, described(connection))
        migrations.upgrade()
        with engine.engine().connect() as connection:
            self.assertEqual([], differences(connection))
            migrated = described(connection)
        with engine.engine().begin() as connection:
            models.Base.metadata.drop_all(connection)
            models.Base.metadata.create_all(connection)
        with engine.engine().connect() as connection:
            self.assertEqual(described(connection), migrated)
        self.assertEqual(set(models.Base.metadata.tables), set(migrated))

    def test_comparison_sees_what_is_amiss(self) -> None:
        migrations.upgrade()
        for change in (
            "DROP TABLE claims",
            "ALTER TABLE pins ADD COLUMN surplus INTEGER",
            "CREATE INDEX surplus_idx ON pins (status)",
        ):
            with engine.engine().connect() as connection:
                compared, told = differences(connection), described(connection)
            with engine.engine().begin() as connection:
                connection.execute(sa.text(change))
            with engine.engine().connect() as connection:
                self.assertGreater(len(differences(connection)), len(compared), change)
                self.assertNotEqual(told, described(connection), change)

    def test_second_upgrade_changes_nothing(self) -> None:
        migrations.upgrade()
        with engine.writer() as session:
            claim = models.Claim(host="one", pcpu=1, instance_uuid="x")
            session.add(claim)
        with engine.engine().connect() as connection:
            before = described(connection)
        migrations.upgrade()
        with engine.engine().connect() as connection:
            self.assertEqual(before, described(connection))
        with engine.reader() as session:
            self.assertEqual(1, session.scalar(sa.select(models.Claim.pcpu)))

    def test_what_was_asked_for_is_the_wish(self) -> None:
        migrations.upgrade("0009")
        wish = '{"cpu_policy": "shared", "vcpus": {"*": "4"}}'
        values = {"uuid": "x", "wish": wish, "now": "2026-11-21 04:57:30", "no": False}
        with engine.engine().begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO pins"
                    " (instance_uuid, wish, generation, status, deleted, created_at)"
                    " VALUES (:uuid, :wish, 1, 'waiting', :no, :now)"
                ),
                values,
            )
        migrations.upgrade()
        with engine.reader() as session:
            pin = session.scalars(sa.select(models.Pin)).one()
            self.assertEqual({"cpu_policy": "shared", "vcpus": {"*": "4"}}, pin.asked)
            self.assertEqual((pin.wish.to_dict(), None), (pin.asked, pin.template_id))

    def test_version(self) -> None:
        self.assertIsNone(migrations.version())
        migrations.upgrade()
        self.assertEqual(HEAD, migrations.version())

    def test_stamp_writes_the_version_alone(self) -> None:
        migrations.stamp("head")
        self.assertEqual(HEAD, migrations.version())
        with engine.engine().connect() as connection:
            self.assertEqual({}, described(connection))

    def test_unknown_revision(self) -> None:
        self.assertRaises(migrations.MigrationError, migrations.upgrade, "9999")
        self.assertIsNone(migrations.version())
