# SPDX-License-Identifier: Apache-2.0
"""Options of ``[notifications]``: how KongMing listens to Nova."""

from typing import Any

from oslo_config import cfg

GROUP = "notifications"
OPTS = [
    cfg.ListOpt(
        "handlers",
        default=[],
        help="""
Notifications of Nova that conductors, or a stand-alone agent, listen to: ``versioned``, ``legacy``
(entry points of ``kongming.notification_handlers``). Set it for conductors if the metadata of
servers shall pin them, or pins shall go with their servers. A stand-alone agent takes ``versioned``
if it is empty. ``legacy`` is for a Nova whose ``[notifications] notification_format`` must stay
``unversioned``, and needs ``[service_credentials]``.
""",
    ),
    cfg.ListOpt(
        "exact_projects",
        default=[],
        help="""
Ids of the projects whose members may name pCPUs, NUMA nodes and PCI devices in the metadata and the
hints of their servers, and ask for any weight and quota there; ``*`` for all. Nova does not tell
their roles. Set it for projects all of whose members may decide where instances run. It is for
conductors: a stand-alone agent has no other rule than ``[agent] managed_cpus``.
""",
    ),
    cfg.StrOpt(
        "transport_url",
        secret=True,
        help="""
Message broker to which Nova sends notifications; ``[DEFAULT] transport_url`` if unset. Set it to
the value of ``[oslo_messaging_notifications] transport_url`` in nova.conf, if that has one.
""",
    ),
    cfg.StrOpt(
        "exchange",
        default="nova",
        help="Change it if ``[DEFAULT] control_exchange`` was changed in nova.conf, to the same.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
