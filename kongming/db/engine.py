# SPDX-License-Identifier: Apache-2.0
"""Transactions on the database that ``[database] connection`` names."""

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import event, orm


@enginefacade.transaction_context_provider
class _Transaction:
    """Where oslo.db keeps the session of one transaction."""


def _begin_immediate(
    connection: sa.Connection, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    # SQLite takes its write lock at the first write; two transactions that both read
    # first could then only fail. Writers take it when they begin.
    if statement == "BEGIN" and connection.get_execution_options().get("write_transaction"):
        statement = "BEGIN IMMEDIATE"
    return statement, parameters


def _listen(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "before_cursor_execute", _begin_immediate, retval=True)


def _new_manager() -> Any:
    manager = enginefacade.transaction_context()
    manager.append_on_engine_create(_listen)
    return manager


_manager = _new_manager()


@contextlib.contextmanager
def reader() -> Iterator[orm.Session]:
    """Open a read-only transaction."""
    with _manager.reader.using(_Transaction()) as session:
        yield session


@contextlib.contextmanager
def writer() -> Iterator[orm.Session]:
    """Open a transaction that is committed at the end, rolled back on any exception."""
    with _manager.writer.using(_Transaction()) as session:
        session.connection(execution_options={"write_transaction": True})
        yield session


def engine() -> sa.Engine:
    """Return the engine in use."""
    found: sa.Engine = _manager.writer.get_engine()
    return found


def dispose() -> None:
    """Close all connections; the next transaction reads the configuration anew."""
    global _manager
    _manager.dispose_pool()
    _manager = _new_manager()
