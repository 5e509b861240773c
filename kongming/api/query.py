# SPDX-License-Identifier: Apache-2.0
"""The query string of a list: ``limit``, ``marker``, ``sort`` and filters by field."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib import parse

import sqlalchemy as sa
import webob
from oslo_config import cfg
from sqlalchemy import orm

from kongming import exception, policy
from kongming.db import paging
from kongming.db.paging import Page
from kongming.policies import base as rules

#: The fields of a list that tell where something is.
_PLACES = ("host",)


def page(request: webob.Request, filters: Collection[str], sort_keys: Collection[str]) -> Page:
    """Return the page that a request asks for.

    ``sort`` reads ``key:asc,other:desc``. ``[api] max_limit`` bounds ``limit``.

    :raises BadRequest: naming the parameter that is unknown, repeated or malformed
    :raises PlacesForbidden: the page would tell where something is, which the caller may not see
    """
    query: Mapping[str, Any] = request.GET.mixed()
    for name, value in query.items():
        if name not in ("limit", "marker", "sort", *filters):
            raise exception.BadRequest.field(name[:64], "unknown query parameter")
        if not isinstance(value, str):
            raise exception.BadRequest.field(name, "is given twice")
        if not value.isprintable() or len(value) > 255:
            raise exception.BadRequest.field(name, "must be at most 255 printable characters")
    page = Page(
        limit=_limit(query.get("limit")),
        marker=query.get("marker"),
        sort=_sort(query["sort"], sort_keys) if "sort" in query else (),
        filters={name: query[name] for name in filters if name in query},
    )
    _insist_on_sight(request, {*page.filters, *dict(page.sort)})
    return page


def fetch(
    session: orm.Session,
    key: orm.InstrumentedAttribute[Any],
    page: Page,
    where: sa.ColumnElement[bool] | None = None,
) -> tuple[list[Any], bool]:
    """Return the rows of a page and whether more follow; see `kongming.db.paging.fetch`.

    :raises BadRequest: the marker is not in the list
    """
    try:
        return paging.fetch(session, key, page, where)
    except paging.MarkerNotFound as error:
        raise exception.BadRequest.field("marker", "is not in the list") from error


def next_link(request: webob.Request, page: Page, last: str) -> str:
    """Return the address of the page after the one that ends with key ``last``."""
    query = {**request.GET, "marker": last, "limit": str(page.limit)}
    return f"{base_url(request)}{request.path_info}?{parse.urlencode(query)}"


def integer(request: webob.Request, name: str, otherwise: int, low: int, high: int) -> int:
    """Return the integer that a parameter of the query string gives, if it is there.

    :raises BadRequest: it is given twice, or no integer from ``low`` to ``high``
    """
    given = request.GET.getall(name)
    if not given:
        return otherwise
    text = given[0]
    if len(given) > 1:
        raise exception.BadRequest.field(name, "is given twice")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise exception.BadRequest.field(name, f"must be an integer from {low} to {high}")
    return int(text)


def base_url(request: webob.Request) -> str:
    """Return the URL of the API's root as clients see it, without a slash at the end."""
    return str(cfg.CONF.api.public_endpoint or request.application_url).rstrip("/")


def _insist_on_sight(request: webob.Request, fields: Collection[str]) -> None:
    named = [field for field in _PLACES if field in fields]
    if named and not policy.allows(request.context, rules.SEE_PLACES):
        code, text = exception.PlacesForbidden.code, f"policy does not allow {rules.SEE_PLACES}"
        raise exception.PlacesForbidden(problems=[(code, f"{field}: {text}") for field in named])


def _limit(text: str | None) -> int:
    highest: int = cfg.CONF.api.max_limit
    if text is None:
        return highest
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise exception.BadRequest.field("limit", "must be a positive integer")
    return min(int(text), highest)


def _sort(text: str, keys: Collection[str]) -> list[tuple[str, str]]:
    sort: dict[str, str] = {}
    for item in text.split(","):
        key, _, direction = item.partition(":")
        if key not in keys:
            allowed = ", ".join(sorted(keys))
            raise exception.BadRequest.field("sort", f"'{key[:32]}' is none of {allowed}")
        if direction not in ("", "asc", "desc"):
            raise exception.BadRequest.field("sort", f"'{direction[:32]}' is not asc or desc")
        if key in sort:
            raise exception.BadRequest.field("sort", f"'{key}' stands there twice")
        sort[key] = direction or "asc"
    return list(sort.items())
