# SPDX-License-Identifier: Apache-2.0
"""Options of ``[conductor]``."""

from typing import Any

from oslo_config import cfg

GROUP = "conductor"
OPTS = [
    cfg.IntOpt(
        "workers",
        default=1,
        min=1,
        max=256,
        help="""
Worker processes of kongming-conductor. Raise it when requests wait for the conductor
(the API answers 503) while the database has capacity left.
""",
    ),
    cfg.IntOpt(
        "waiting_pin_ttl",
        default=900,
        min=10,
        max=86400,
        help="""
Seconds for which pCPUs and memory are kept on the host that a scheduler chose, until the
instance is seen on some host. Raise it above the time that your slowest server takes from
scheduling to running (image download, volume creation): when it is over, another instance may
take the place. Lower it if servers that fail to build hold capacity for too long.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
