# SPDX-License-Identifier: Apache-2.0
"""Migrations, races and reports on the databases of production."""

import itertools
from typing import Any

from kongming.tests import base, migrations
from kongming.tests.functional.fixtures import mariadb, postgresql
from kongming.tests.unit.conductor import (
    test_forecast,
    test_lifecycle,
    test_metadata,
    test_pins,
    test_quotas,
    test_reports,
    test_windows,
)

_numbers = itertools.count()


class _OnMariaDB(base.TestCase):
    """One server for a class, an empty database for each test."""

    server_type: Any = mariadb.MariaDB
    server: Any

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = cls.server_type()
        cls.server.setUp()
        cls.addClassCleanup(cls.server.cleanUp)

    def database_url(self) -> str:
        """Return the URL of an empty database."""
        url: str = self.server.create(f"kongming{next(_numbers)}")
        return url


class _OnPostgreSQL(_OnMariaDB):
    server_type = postgresql.PostgreSQL


class MariaDBMigrationsTest(_OnMariaDB, migrations.MigrationTests):
    pass


class PostgreSQLMigrationsTest(_OnPostgreSQL, migrations.MigrationTests):
    pass


class MariaDBRaceTest(_OnMariaDB, test_pins.RaceTest):
    pass


class PostgreSQLRaceTest(_OnPostgreSQL, test_pins.RaceTest):
    pass


class MariaDBQuotaRaceTest(_OnMariaDB, test_quotas.RaceTest):
    pass


class PostgreSQLQuotaRaceTest(_OnPostgreSQL, test_quotas.RaceTest):
    pass


class MariaDBClaimsTest(_OnMariaDB, test_pins.ClaimsTest):
    pass


class PostgreSQLClaimsTest(_OnPostgreSQL, test_pins.ClaimsTest):
    pass


class MariaDBCostTest(_OnMariaDB, test_reports.CostTest):
    pass


class PostgreSQLCostTest(_OnPostgreSQL, test_reports.CostTest):
    pass


class MariaDBWindowsTest(_OnMariaDB, test_windows.WindowTest):
    pass


class PostgreSQLWindowsTest(_OnPostgreSQL, test_windows.WindowTest):
    pass


class MariaDBForecastTest(_OnMariaDB, test_forecast.ForecastTest):
    pass


class PostgreSQLForecastTest(_OnPostgreSQL, test_forecast.ForecastTest):
    pass


class MariaDBLongReasonTest(_OnMariaDB, test_lifecycle.LongReasonTest):
    pass


class PostgreSQLLongReasonTest(_OnPostgreSQL, test_lifecycle.LongReasonTest):
    pass


class MariaDBMetadataTest(_OnMariaDB, test_metadata.NoteTest):
    pass


class PostgreSQLMetadataTest(_OnPostgreSQL, test_metadata.NoteTest):
    pass
