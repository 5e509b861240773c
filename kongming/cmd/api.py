# SPDX-License-Identifier: Apache-2.0
"""kongming-api: the REST API on its own HTTP server."""

from kongming import service
from kongming.api import server


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-api")
    try:
        listening = server.listen(conf)
    except (server.ConfigurationError, OSError) as error:
        service.fail("kongming-api", error)
    service.need_database(conf)
    return service.serve(conf, lambda: server.Server(conf, listening), conf.api.api_workers)
