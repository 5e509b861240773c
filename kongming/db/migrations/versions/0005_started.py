# SPDX-License-Identifier: Apache-2.0
"""When the process of an instance was started, in ms since the epoch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; hosts fill it with their next reports."""
    op.add_column("instances", sa.Column("started_ms", sa.BigInteger))
