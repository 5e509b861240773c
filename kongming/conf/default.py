# SPDX-License-Identifier: Apache-2.0
"""Options of ``[DEFAULT]``."""

import socket
from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.HostAddressOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the machine's host name>",
        help="""
Name of this host. On a compute host it must equal Nova's ``[DEFAULT] host``: change
it whenever Nova's was changed, otherwise pins never find their instances.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [("DEFAULT", OPTS)]
