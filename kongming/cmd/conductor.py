# SPDX-License-Identifier: Apache-2.0
"""kongming-conductor: decides on claims; the only writer to the database."""

from kongming import service
from kongming.conductor.manager import ConductorManager


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-conductor")
    return service.serve(conf, lambda: ConductorManager(conf), conf.conductor.workers)
