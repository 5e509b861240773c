# SPDX-License-Identifier: Apache-2.0
"""The first schema.

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("topology", _DOCUMENT, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("report_sequence", sa.BigInteger, nullable=False),
        sa.Column("report_interval", sa.Integer, nullable=False),
        sa.Column("reported_at", sa.DateTime, nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "instances",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("iothreads", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("holds", sa.Text, nullable=False),
        sa.Column("observed", _DOCUMENT),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Index("instances_host_idx", "host"),
        **_OPTIONS,
    )
    op.create_table(
        "pins",
        sa.Column("instance_uuid", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("host", sa.String(255)),
        sa.Column("wish", _DOCUMENT, nullable=False),
        sa.Column("placement", _DOCUMENT),
        sa.Column("holding", _DOCUMENT),
        sa.Column("in_force", _DOCUMENT),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.Index("pins_host_idx", "host"),
        sa.Index("pins_project_id_idx", "project_id"),
        **_OPTIONS,
    )
    op.create_table(
        "claims",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("pcpu", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_uuid", sa.String(36), nullable=False),
        sa.Index("claims_instance_uuid_idx", "instance_uuid"),
        **_OPTIONS,
    )
    op.create_table(
        "pin_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("instance_uuid", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255)),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("reason", sa.Text),
        sa.Column("user_id", sa.String(255)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("wish", _DOCUMENT),
        sa.Index("pin_events_instance_uuid_idx", "instance_uuid"),
        **_OPTIONS,
    )
