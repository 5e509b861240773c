# SPDX-License-Identifier: Apache-2.0
"""Configuration: one module per group; importing this package registers all options."""

from oslo_config import cfg

from kongming.conf import agent, api, conductor, default, libvirt, simulated

CONF = cfg.CONF

for _module in (default, api, conductor, agent, libvirt, simulated):
    _module.register_opts(CONF)
