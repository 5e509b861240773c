# SPDX-License-Identifier: Apache-2.0
"""Why parts of an instance were likely elsewhere than they were put."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; of what happened before nobody knows."""
    op.add_column("pin_events", sa.Column("cause", sa.String(32)))
