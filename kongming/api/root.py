# SPDX-License-Identifier: Apache-2.0
"""The version documents, in the form that keystoneauth discovers."""

from typing import Any

import pecan

from kongming.api import microversion, query
from kongming.api.v1 import V1Controller


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


class RootController:
    """``/``"""

    def __init__(self) -> None:
        self.v1 = V1Controller(document)

    @pecan.expose("json")
    def index(self) -> dict[str, Any]:
        """List the versions of the API."""
        return {"name": "KongMing", "versions": [document()]}
