# SPDX-License-Identifier: Apache-2.0
"""The migrations on SQLite."""

from kongming.tests import migrations


class SqliteTest(migrations.MigrationTests):
    def database_url(self) -> str:
        return f"sqlite:///{self.directory}/kongming.db"
