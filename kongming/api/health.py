# SPDX-License-Identifier: Apache-2.0
"""``/healthcheck``: whether a proxy shall send requests to this API.

Nobody needs a token for it, so it must cost little however often it is asked.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_log import log as logging
from oslo_middleware import healthcheck
from oslo_middleware.healthcheck import pluginbase

from kongming import exception
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import service_context
from kongming.db import engine, models

LOG = logging.getLogger(__name__)

PATH = "/healthcheck"
#: For how long a finding is repeated before it is looked again.
_KEEP_SECONDS = 5.0
#: What a conductor may take; load balancers do not wait much longer.
_PING_SECONDS = 3.0


class Health:
    """WSGI middleware: answers ``/healthcheck`` as ``[healthcheck]`` says, and nothing else."""

    def __init__(self, application: Any, conductor: ConductorAPI) -> None:
        self._application = application
        self._check = healthcheck.Healthcheck(application, {"conductor": conductor})

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer a request."""
        asked = environ.get("PATH_INFO") == PATH and environ["REQUEST_METHOD"] in ("GET", "HEAD")
        return (self._check if asked else self._application)(environ, start_response)


class _Check(pluginbase.HealthcheckBaseExtension):
    """Looks every few seconds, in one thread: whoever else asks hears what was found last."""

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._looking = threading.Lock()
        self._looked = float("-inf")
        self._trouble: str | None = "It is not yet known how this API is."

    def healthcheck(self, server_port: int) -> pluginbase.HealthcheckResult:
        """Return what is known."""
        if time.monotonic() - self._looked > _KEEP_SECONDS and self._looking.acquire(False):
            try:
                before, self._trouble = self._trouble, self.look()
                self._looked = time.monotonic()
                if self._trouble and self._trouble != before:
                    LOG.warning("Proxies are told that this API is of no use: %s", self._trouble)
            finally:
                self._looking.release()
        return pluginbase.HealthcheckResult(self._trouble is None, self._trouble or "OK")

    def look(self) -> str | None:
        """Return what is wrong, without a secret; None if all is well."""
        raise NotImplementedError


class Database(_Check):
    """Whether the database can be read."""

    def look(self) -> str | None:
        """Read something of a table of ours."""
        try:
            with engine.reader() as session:
                session.execute(sa.select(models.Host.name).limit(1))
        except (db_exception.DBError, db_exception.CantStartEngineError) as error:
            LOG.debug("The database cannot be read: %s", error)
            return "The database cannot be read."
        return None


class Conductor(_Check):
    """Whether a conductor answers."""

    def look(self) -> str | None:
        """Ask for a sign of life."""
        try:
            self.conf["conductor"].ping(service_context(), _PING_SECONDS)
        except exception.ControlPlaneUnavailable as error:
            LOG.debug("No conductor answers: %s", error)
            return "No conductor answers."
        return None
