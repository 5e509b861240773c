# SPDX-License-Identifier: Apache-2.0
"""One page of a filtered, sorted list."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db.sqlalchemy import utils
from sqlalchemy import orm


class MarkerNotFound(LookupError):
    """The marker is not in the list."""


@dataclasses.dataclass(frozen=True)
class Page:
    """Which part of a list is wanted; ``sort`` holds (column, ``asc`` or ``desc``)."""

    limit: int
    marker: str | None = None
    sort: Sequence[tuple[str, str]] = ()
    filters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def fetch(
    session: orm.Session,
    key: orm.InstrumentedAttribute[Any],
    page: Page,
    where: sa.ColumnElement[bool] | None = None,
) -> tuple[list[Any], bool]:
    """Return the rows of a page and whether more follow; unique ``key`` ends every sort.

    :param where: what the caller may see; also bounds the marker
    :raises MarkerNotFound: nothing visible has the marker as its key
    """
    model = key.class_
    query = sa.select(model).filter_by(**page.filters)
    if where is not None:
        query = query.where(where)
    marker = None
    if page.marker is not None:
        lookup = sa.select(model).where(key == page.marker)
        marker = session.scalar(lookup if where is None else lookup.where(where))
        if marker is None:
            raise MarkerNotFound(page.marker)
    sort = [*page.sort, (key.key, "asc")] if key.key not in dict(page.sort) else page.sort
    query = utils.paginate_query(
        query,
        model,
        page.limit + 1,
        [name for name, _ in sort],
        marker=marker,
        sort_dirs=[direction for _, direction in sort],
    )
    rows = list(session.scalars(query))
    return rows[: page.limit], len(rows) > page.limit


def everything(
    session: orm.Session,
    key: orm.InstrumentedAttribute[Any],
    where: sa.ColumnElement[bool] | None = None,
) -> Sequence[Any]:
    """Return all rows in the order of their key, for lists that were made without pages."""
    query = sa.select(key.class_).order_by(key)
    return session.scalars(query if where is None else query.where(where)).all()
