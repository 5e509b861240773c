# SPDX-License-Identifier: Apache-2.0
"""Calendars, the metadata of servers, and what of the wish of a pin is a calendar's doing."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"

_DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_METADATA = sa.String(255).with_variant(
    mysql.VARCHAR(255, collation="utf8mb4_bin"), "mysql", "mariadb"
)
_OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Create tables and columns."""
    op.create_table(
        "calendars",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("all_projects", sa.Boolean, nullable=False),
        sa.Column("cron", sa.String(255)),
        sa.Column("timezone", sa.String(64)),
        sa.Column("duration_s", sa.Integer),
        sa.Column("starts_at", sa.DateTime),
        sa.Column("ends_at", sa.DateTime),
        sa.Column("overlay", _DOCUMENT, nullable=False),
        sa.Column("template_id", sa.String(36)),
        sa.Column("template_role", _NAME),
        sa.Column("template_version", sa.Integer),
        sa.Column("only_qos", sa.Boolean, nullable=False),
        sa.Column("pins", _DOCUMENT, nullable=False),
        sa.Column("following", sa.String(36)),
        sa.Column("metadata_key", _METADATA),
        sa.Column("metadata_value", _METADATA),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("on_collision", sa.String(16), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id"),
        sa.Index("calendars_project_id_idx", "project_id"),
        **_OPTIONS,
    )
    op.create_table(
        "server_metadata",
        sa.Column("instance_uuid", sa.String(36), nullable=False),
        sa.Column("key", _METADATA, nullable=False),
        sa.Column("value", _METADATA, nullable=False),
        sa.PrimaryKeyConstraint("instance_uuid", "key"),
        sa.Index("server_metadata_entry_idx", "key", "value"),
        **_OPTIONS,
    )
    op.add_column("pins", sa.Column("overlay", _DOCUMENT))
    op.add_column("pins", sa.Column("turned_at", sa.DateTime))
    op.add_column("pins", sa.Column("had", _DOCUMENT))
