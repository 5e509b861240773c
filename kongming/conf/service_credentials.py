# SPDX-License-Identifier: Apache-2.0
"""Options of ``[service_credentials]``: as whom, and where, KongMing asks Nova."""

import copy
from typing import Any

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = "service_credentials"
#: Those of keystoneauth's options for one service that are passed on to Nova's client.
_OF_ADAPTER = ("endpoint-override", "region-name", "valid-interfaces")


def _options() -> list[Any]:
    # copies: other groups have the same options with other defaults
    options = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
        *(
            option
            for option in loading.get_adapter_conf_options(include_deprecated=False)
            if option.name in _OF_ADAPTER
        ),
    ]
    options = copy.deepcopy(options)
    # nobody's request may wait without end
    cfg.set_defaults(options, timeout=10)
    return options


OPTS = _options()


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group; those of the auth plugin follow when it is loaded."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
