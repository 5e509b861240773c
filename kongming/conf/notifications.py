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
