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
Notifications of Nova that are listened to: ``versioned``, ``legacy`` (entry points of
``kongming.notification_handlers``), for the conductors on one machine or all, or for a stand-alone
agent, which takes ``versioned`` if nothing is set. Set it if the metadata of servers shall pin
them, or pins shall go with their servers; ``legacy`` only where Nova's ``[notifications]
notification_format`` must stay ``unversioned``, and with ``[service_credentials]``.
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
