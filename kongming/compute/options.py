# SPDX-License-Identifier: Apache-2.0
"""Options of the scheduler filter, in nova.conf."""

from typing import Any

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = "kongming"
CREDENTIALS = "kongming_credentials"

#: Those of keystoneauth that say where the service is, and those that say how to reach it.
_WHERE = ("valid_interfaces", "region_name", "endpoint_override")
_HOW = ("cafile", "certfile", "keyfile", "insecure")

_OPTIONS = [
    cfg.StrOpt(
        "on_error",
        default="fail",
        choices=[
            ("fail", "no host is valid, so that no instance runs elsewhere than it shall"),
            ("pass", "every host is valid, and the instance starts without its placement"),
        ],
        help="What becomes of a request with the hint resource_pin while KongMing cannot be asked. "
        "Requests without the hint pass in any case.",
    ),
    cfg.ListOpt(
        "exact_roles",
        default=["admin", "resource_pin"],
        help="Roles of users whose hints may name pCPUs, NUMA nodes and PCI devices. Set it to the "
        "roles that KongMing's policy resource_pin:places:name asks for, if that was changed.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=10,
        min=0.1,
        help="Seconds that KongMing, and Keystone for it, may take for one request. A request "
        "that met no answer is sent once more.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to a configuration."""
    for group, options in _groups().items():
        conf.register_opts(options, group=group)
    loading.register_auth_conf_options(conf, CREDENTIALS)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return each group with its options, for oslo-config-generator."""
    auth = [
        *loading.get_auth_common_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
    ]
    groups = _groups()
    return [(GROUP, groups[GROUP]), (CREDENTIALS, [*auth, *groups[CREDENTIALS]])]


def _groups() -> dict[str, list[Any]]:
    where = [
        option
        for option in loading.get_adapter_conf_options(include_deprecated=False)
        if option.dest in _WHERE
    ]
    cfg.set_defaults(where, valid_interfaces=["internal", "public"])
    how = [option for option in loading.get_session_conf_options() if option.dest in _HOW]
    return {GROUP: [*_OPTIONS, *where], CREDENTIALS: how}
