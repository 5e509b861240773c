# SPDX-License-Identifier: Apache-2.0
"""kongming-conductor: decides on claims; the only writer to the database."""

from kongming import service
from kongming.compute import notifications
from kongming.conductor.manager import ConductorManager


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-conductor")
    service.need_database(conf)
    try:
        notifications.check(conf)
    except notifications.ConfigurationError as error:
        service.fail("kongming-conductor", error)
    return service.serve(conf, lambda: ConductorManager(conf), conf.conductor.workers)
