# SPDX-License-Identifier: Apache-2.0
"""Limits of projects, and a row to lock for each project that has one."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Make the tables."""
    op.create_table("projects", sa.Column("project_id", sa.String(255), primary_key=True), **_TABLE)
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(255), primary_key=True),
        sa.Column("resource", sa.String(32), primary_key=True),
        sa.Column("limit", sa.Integer, nullable=False),
        **_TABLE,
    )
