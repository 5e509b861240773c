# SPDX-License-Identifier: Apache-2.0
"""What the version documents say, in the form that keystoneauth discovers."""

from typing import Any

import pecan
from wsme import types as wtypes

from kongming.api import links, microversion, query


class Endpoint(wtypes.Base):
    """Version 1 of the API and its microversions."""

    id = wtypes.wsattr(wtypes.text, mandatory=True)
    status = wtypes.wsattr(wtypes.text, mandatory=True)
    min_version = wtypes.wsattr(wtypes.text, mandatory=True)
    max_version = wtypes.wsattr(wtypes.text, mandatory=True)
    version = wtypes.wsattr(wtypes.text, mandatory=True)
    links = wtypes.wsattr(wtypes.ArrayType(links.Link), mandatory=True)


class All(wtypes.Base):
    """The answer of ``/``."""

    name = wtypes.wsattr(wtypes.text, mandatory=True)
    versions = wtypes.wsattr(wtypes.ArrayType(Endpoint), mandatory=True)


class One(wtypes.Base):
    """The answer of ``/v1``."""

    version = wtypes.wsattr(Endpoint, mandatory=True)


def document() -> dict[str, Any]:
    """Return what there is to know about version 1 of the API."""
    return {
        "id": "v1",
        "status": "CURRENT",
        "min_version": str(microversion.MIN_VERSION),
        "max_version": str(microversion.MAX_VERSION),
        "version": str(microversion.MAX_VERSION),
        "links": [{"rel": "self", "href": f"{query.base_url(pecan.request)}/v1/"}],
    }
