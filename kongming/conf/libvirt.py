# SPDX-License-Identifier: Apache-2.0
"""Options of ``[libvirt]``."""

from typing import Any

from oslo_config import cfg

GROUP = "libvirt"
OPTS = [
    cfg.StrOpt(
        "uri",
        default="qemu:///system",
        help="""
Connection URI of the libvirt daemon on this host. Change it if Nova's
``[libvirt] connection_uri`` was changed. The daemon must run on the agent's own
machine: what threads and memory really do is read from /proc.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
