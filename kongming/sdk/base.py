# SPDX-License-Identifier: Apache-2.0
"""What the resources have in common."""

from typing import Any

import requests
from keystoneauth1 import adapter
from openstack import exceptions, resource, utils

#: The newest version of the API whose fields the resources have.
NEWEST = "1.13"


class Resource(resource.Resource):
    """A resource at the newest version of the API that both sides know."""

    _max_microversion = NEWEST

    def document(self) -> dict[str, Any]:
        """Return what the API said, but for what is null."""
        data: dict[str, Any] = self.to_dict(headers=False, computed=False, original_names=True)
        return {key: value for key, value in data.items() if value is not None and key != "id"}


def version(session: adapter.Adapter) -> str | None:
    """Return the version of the API that requests ask for; None if the API tells of none."""
    asked: str | None = session.default_microversion
    return asked or utils.maximum_supported_microversion(session, NEWEST)


def errors(error: exceptions.HttpException) -> list[tuple[str, str]]:
    """Return the stable code, such as ``resource_pin.pin_not_found``, and the sentence of each
    thing that the API found wrong; nothing if somebody else answered.
    """
    response: requests.Response | None = error.response
    try:
        found = response.json()["errors"] if response is not None else []
        return [(item["code"], item["detail"]) for item in found]
    except (ValueError, LookupError, TypeError):
        return []
