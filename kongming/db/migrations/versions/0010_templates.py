# SPDX-License-Identifier: Apache-2.0
"""Templates with their versions, rollouts, pins that follow, and on whose behalf they changed."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"

_DOCUMENT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_NAME = sa.String(64).with_variant(mysql.VARCHAR(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_OPTIONS: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Create tables and columns; what was asked of the pins that there are is their wish."""
    op.create_table(
        "templates",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "name", name="templates_project_id_name_key"),
        **_OPTIONS,
    )
    op.create_table(
        "template_versions",
        sa.Column("template_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("content", _DOCUMENT, nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("template_id", "version"),
        **_OPTIONS,
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("template_id", sa.String(36), nullable=False),
        sa.Column("template_name", _NAME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("former", sa.Integer),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("failed_pin", sa.String(36)),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("touched", _DOCUMENT, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("template_id", "number", name="rollouts_template_id_number_key"),
        **_OPTIONS,
    )
    op.create_index("rollouts_state_idx", "rollouts", ["state"])
    op.add_column("pins", sa.Column("asked", _DOCUMENT))
    op.execute("UPDATE pins SET asked = wish")
    with op.batch_alter_table("pins") as pins:
        pins.alter_column("asked", existing_type=_DOCUMENT, nullable=False)
        pins.add_column(sa.Column("template_id", sa.String(36)))
        pins.add_column(sa.Column("template_role", _NAME))
        pins.add_column(sa.Column("template_version", sa.Integer))
        pins.create_index("pins_template_id_idx", ["template_id"])
    op.add_column("pin_events", sa.Column("asked_by", _DOCUMENT))
