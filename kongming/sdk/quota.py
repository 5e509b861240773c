# SPDX-License-Identifier: Apache-2.0
"""How much projects may hold."""

from typing import ClassVar

from keystoneauth1 import adapter
from openstack import exceptions, resource, utils

from kongming.sdk import base


class Quota(base.Resource):
    """The limits of a project; ``id`` is that of the project."""

    base_path = "/quotas"
    resources_key = "quotas"
    allow_fetch = True
    allow_delete = True
    allow_list = True

    #: What is limited.
    RESOURCES: ClassVar[tuple[str, ...]] = ("pins", "dedicated_pcpus", "memory_mib")

    project_id = resource.Body("project_id", alternate_id=True)
    #: How much it may have of each of `RESOURCES`; -1 is as much as there is.
    limits = resource.Body("limits", type=dict)
    #: Those of the limits that were set for the project.
    own = resource.Body("own", type=dict)
    #: How much it has; not in a list.
    used = resource.Body("used", type=dict)

    def replace(self, session: adapter.Adapter, limits: dict[str, int]) -> "Quota":
        """Have these limits, and the default ones for the rest."""
        url = utils.urljoin(self.base_path, self.id)
        answer = session.put(url, json=limits, microversion=base.version(session))
        exceptions.raise_from_response(answer)
        self._translate_response(answer)
        return self
