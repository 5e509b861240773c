# SPDX-License-Identifier: Apache-2.0
"""What KongMing asks Nova's API, as the user of ``[service_credentials]``."""

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from novaclient import api_versions, client
from novaclient import exceptions as nova_errors
from oslo_config import cfg
from oslo_log import log as logging

from kongming import exception
from kongming.conf import service_credentials

LOG = logging.getLogger(__name__)

_OLDEST = api_versions.APIVersion("2.1")
#: From here on Nova shows scheduler hints.
_NEWEST = api_versions.APIVersion("2.100")


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova's API shows it; ``host`` is None while it is on none."""

    uuid: str
    project_id: str
    user_id: str
    host: str | None
    status: str
    metadata: Mapping[str, str]
    scheduler_hints: Mapping[str, Any]


class Nova:
    """Nova's API; any thread may use it. Nothing is connected before the first question."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._client: Any = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> "Nova | None":
        """Return the way to Nova, None if ``[service_credentials]`` is not configured."""
        section = conf[service_credentials.GROUP]
        return cls(conf) if section.auth_type or section.auth_section else None

    def server(self, uuid: str) -> Server:
        """Return a server.

        :raises InstanceNotFound: Nova has none of this uuid
        :raises NovaUnavailable: Nova does not answer, or not to this user
        """
        try:
            found = self._connected().servers.get(uuid).to_dict()
        except nova_errors.NotFound as error:
            raise exception.InstanceNotFound(instance_uuid=uuid) from error
        except (
            nova_errors.Unauthorized,
            nova_errors.Forbidden,
            keystone_errors.Unauthorized,
            keystone_errors.AuthPluginException,
            keystone_errors.MissingRequiredOptions,
        ) as error:
            LOG.error("Nova was asked for server %s, and refuses: %s", uuid, error)
            raise exception.NovaRefuses() from error
        except (nova_errors.ClientException, keystone_errors.ClientException) as error:
            LOG.error("Nova was asked for server %s, and fails: %s", uuid, error)
            raise exception.NovaUnavailable() from error
        return Server(
            uuid=found["id"],
            project_id=found["tenant_id"],
            user_id=found["user_id"],
            host=found.get("OS-EXT-SRV-ATTR:host"),
            status=found["status"],
            metadata=found["metadata"],
            scheduler_hints=found.get("scheduler_hints") or {},
        )

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        group = service_credentials.GROUP
        auth = loading.load_auth_from_conf_options(self._conf, group)
        section = self._conf[group]
        nova = client.Client(
            _OLDEST.get_string(),
            session=loading.load_session_from_conf_options(self._conf, group, auth=auth),
            region_name=section.region_name,
            endpoint_type=section.valid_interfaces,
            endpoint_override=section.endpoint_override,
        )
        document = nova.versions.get_current()
        # a version without microversions says ""
        newest = getattr(document, "version", "") or _OLDEST.get_string()
        nova.api_version = min(_NEWEST, api_versions.APIVersion(newest))
        return nova
