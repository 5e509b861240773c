# SPDX-License-Identifier: Apache-2.0
"""All of KongMing's options, for oslo-config-generator."""

from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_middleware.healthcheck import opts as healthcheck

from kongming.conf import MODULES


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return each group with its options."""
    return [entry for module in MODULES for entry in module.list_opts()]


def set_defaults() -> None:
    """Let options of libraries have the defaults that are right here."""
    logging.set_defaults(
        default_log_levels=[*logging.get_default_log_levels(), "cotyledon=WARN", "alembic=WARN"]
    )
    # both: an API without a database can show nothing, one without a conductor change nothing
    backends = ["kongming_database", "kongming_conductor"]
    cfg.set_defaults(healthcheck.HEALTHCHECK_OPTS, backends=backends)
