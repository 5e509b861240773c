# SPDX-License-Identifier: Apache-2.0
"""Options of ``[simulated]``."""

from typing import Any

from oslo_config import cfg

GROUP = "simulated"
OPTS = [
    cfg.StrOpt(
        "fleet",
        help="""
YAML file that describes the simulated hosts. Set it to try your own topology; without
it there are three hosts of 2 NUMA nodes, 8 cores each, 2 threads per core.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
