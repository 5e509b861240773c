# SPDX-License-Identifier: Apache-2.0
"""Whether a pin ever had a placement."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; pins that have a placement had one."""
    op.add_column("pins", sa.Column("placed", sa.Boolean))
    op.execute("UPDATE pins SET placed = (placement IS NOT NULL)")
