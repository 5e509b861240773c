# SPDX-License-Identifier: Apache-2.0
"""A filter from outside Nova, with an option of its own."""

from typing import Any

from nova.scheduler import filters
from oslo_config import cfg

cfg.CONF.register_opts([cfg.ListOpt("hosts", default=[])], group="refusing")


class RefusingFilter(filters.BaseHostFilter):
    """Refuses the hosts of ``[refusing] hosts``."""

    RUN_ON_REBUILD = False

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Whether the host is none of them."""
        return host_state.host not in cfg.CONF.refusing.hosts
