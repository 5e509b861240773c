# SPDX-License-Identifier: Apache-2.0
"""Addresses and instants, as every resource shows them."""

import datetime

import webob
from wsme import types as wtypes

from kongming.api import query


class Link(wtypes.Base):
    """Where something is."""

    href = wtypes.text
    rel = wtypes.text


def to(request: webob.Request, collection: str, key: str) -> list[Link]:
    """Return the links of one resource: with and without the version."""
    base = query.base_url(request)
    return [
        Link(href=f"{base}/v1/{collection}/{key}", rel="self"),
        Link(href=f"{base}/{collection}/{key}", rel="bookmark"),
    ]


def instant(when: datetime.datetime | None) -> str | None:
    """Return a UTC instant as ISO 8601 to the second, ``2026-01-31T12:00:00Z``."""
    return None if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")
