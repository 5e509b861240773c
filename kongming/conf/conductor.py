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
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
