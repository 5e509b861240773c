# SPDX-License-Identifier: Apache-2.0
"""How Alembic reaches the database."""

from alembic import context

from kongming.db import engine, models

with engine.engine().connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=models.Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
