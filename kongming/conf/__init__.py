# SPDX-License-Identifier: Apache-2.0
"""Configuration: one module per group; importing this package registers all options."""

from oslo_config import cfg

from kongming.conf import (
    agent,
    api,
    conductor,
    default,
    libvirt,
    notifications,
    quota,
    service_credentials,
    simulated,
)

CONF = cfg.CONF

MODULES = (
    *(default, api, conductor, agent, libvirt, simulated),
    *(service_credentials, notifications, quota),
)

for _module in MODULES:
    _module.register_opts(CONF)
