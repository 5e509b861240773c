# SPDX-License-Identifier: Apache-2.0
"""How often a host came to have the instance of a pin."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("pins", sa.Column("arrival", sa.Integer, nullable=False, server_default="0"))
