# SPDX-License-Identifier: Apache-2.0
"""KongMing for users of openstacksdk: ``conn.resource_pin``.

::

    conn = openstack.connect(cloud="edge")
    kongming.sdk.add_to(conn)
    for pin in conn.resource_pin.pins(host="compute-1"):
        print(pin.instance_uuid, pin.status, pin.placement)

``vendor_hook: kongming.sdk:add_to`` beside a cloud in clouds.yaml makes openstacksdk do the second
line by itself.
"""

from typing import Any

from openstack import connection, service_description

from kongming.sdk.proxy import Proxy

SERVICE_TYPE = "resource-pin"
#: What catalogues have called it since 2018.
OLD_TYPE = "resource_pin"
_TYPE_KEY = "resource_pin_service_type"


class _Service(service_description.ServiceDescription):
    """The service, under either of its types."""

    def __get__(self, instance: Any, owner: type[object] | None = None) -> Any:
        if instance is not None:
            config = instance.config.config
            if _TYPE_KEY not in config:
                config[_TYPE_KEY] = type_in_catalogue(instance.session)
        return super().__get__(instance, owner or type(instance))


def add_to(conn: connection.Connection) -> None:
    """Give a connection the attribute ``resource_pin``, a `kongming.sdk.proxy.Proxy`."""
    conn.add_service(_Service(SERVICE_TYPE, {"1": Proxy}))


def type_in_catalogue(session: Any) -> str:
    """Return the type by which the catalogue, if there is one, knows the service."""
    ask = getattr(session.auth, "get_access", None)
    types = {service["type"] for service in ask(session).service_catalog.catalog} if ask else set()
    return OLD_TYPE if OLD_TYPE in types and SERVICE_TYPE not in types else SERVICE_TYPE
