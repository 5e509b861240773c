# SPDX-License-Identifier: Apache-2.0
"""The network service of a cloud without networks: whatever one lists, there is none.

Nova asks for the ports of each server that it shows or deletes.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer ``GET /v2.0/security-groups`` with ``{"security_groups": []}``, and so on."""
    collection = environ["PATH_INFO"].rpartition("/")[2].replace("-", "_")
    status = "200 OK" if environ["REQUEST_METHOD"] == "GET" else "403 Forbidden"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps({collection: []}).encode()]
