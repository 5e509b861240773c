# SPDX-License-Identifier: Apache-2.0
"""The version documents, in the form that keystoneauth discovers."""

from typing import Any

import pecan

from kongming.api import microversion, query
from kongming.api.routes import Document
from kongming.api.v1 import V1


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


class Root(Document):
    """``/``"""

    def __init__(self) -> None:
        self.children = {"v1": V1(document)}

    @pecan.expose("json")
    def show(self) -> dict[str, Any]:
        """List the versions of the API."""
        return {"name": "KongMing", "versions": [document()]}
