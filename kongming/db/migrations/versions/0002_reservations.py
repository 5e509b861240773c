# SPDX-License-Identifier: Apache-2.0
"""What schedulers have reserved."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "reservations",
        sa.Column("instance_uuid", sa.String(36), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("placement", _DOCUMENT, nullable=False),
        sa.Column("holding", _DOCUMENT, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Index("reservations_host_idx", "host"),
        sa.Index("reservations_expires_at_idx", "expires_at"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
