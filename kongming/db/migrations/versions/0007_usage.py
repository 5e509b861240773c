# SPDX-License-Identifier: Apache-2.0
"""What hosts and their instances are used for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns; the next full report of a host fills them."""
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    for name in ("usage", "instance_usage"):
        op.add_column("hosts", sa.Column(name, text))
