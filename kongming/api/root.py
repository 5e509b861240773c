# SPDX-License-Identifier: Apache-2.0
"""``/``: where the tree of paths begins."""

from typing import Any

import pecan

from kongming.api import described, versions
from kongming.api.routes import Document
from kongming.api.v1 import V1


class Root(Document):
    """``/``"""

    def __init__(self) -> None:
        self.children = {"v1": V1(self)}

    @pecan.expose("json")
    @described.operation(versions.All)
    def show(self) -> dict[str, Any]:
        """List the versions of the API."""
        return {"name": "KongMing", "versions": [versions.document()]}
