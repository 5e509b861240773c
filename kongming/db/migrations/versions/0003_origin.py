# SPDX-License-Identifier: Apache-2.0
"""Where a pin came from."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("pins", sa.Column("origin", sa.String(16)))
