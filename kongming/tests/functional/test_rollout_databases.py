# SPDX-License-Identifier: Apache-2.0
"""Templates, those who follow them, and rollouts on the databases of production."""

from kongming.tests.functional.test_databases import _OnMariaDB, _OnPostgreSQL
from kongming.tests.unit.conductor import test_rollouts, test_templates


class MariaDBNameTest(_OnMariaDB, test_templates.NameTest):
    pass


class PostgreSQLNameTest(_OnPostgreSQL, test_templates.NameTest):
    pass


class MariaDBChangeTest(_OnMariaDB, test_templates.ChangeTest):
    pass


class PostgreSQLChangeTest(_OnPostgreSQL, test_templates.ChangeTest):
    pass


class MariaDBFollowTest(_OnMariaDB, test_templates.FollowTest):
    pass


class PostgreSQLFollowTest(_OnPostgreSQL, test_templates.FollowTest):
    pass


class MariaDBQueueTest(_OnMariaDB, test_rollouts.QueueTest):
    pass


class PostgreSQLQueueTest(_OnPostgreSQL, test_rollouts.QueueTest):
    pass
