# SPDX-License-Identifier: Apache-2.0
"""How far the memory of an instance has moved, whether that was stopped, what came of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"

_DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("pins", sa.Column("progress", _DOCUMENT))
    op.add_column("pins", sa.Column("cancelled", sa.Boolean))
    op.add_column("pin_events", sa.Column("receipt", _DOCUMENT))
