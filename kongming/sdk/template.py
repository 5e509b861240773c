# SPDX-License-Identifier: Apache-2.0
"""Templates, their versions, and rollouts of these."""

from typing import Any

from keystoneauth1 import adapter
from openstack import exceptions, resource, utils

from kongming.sdk import base


class Template(base.Resource):
    """A named wish that pins follow, or one for each of several roles."""

    base_path = "/templates"
    resources_key = "templates"
    allow_create = True
    allow_fetch = True
    allow_delete = True
    allow_list = True
    _query_mapping = resource.QueryParameters("name", "project_id", "sort")

    name = resource.Body("name")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    #: Whether those of other projects may follow it.
    shared = resource.Body("shared", type=bool)
    #: The newest version, whose content is shown.
    version = resource.Body("version", type=int)
    #: The version that those take which begin to follow.
    current = resource.Body("current", type=int)
    #: The fields of a pin's wish; absent where there are roles.
    wish = resource.Body("wish", type=dict)
    #: A wish by name of role.
    roles = resource.Body("roles", type=dict)
    #: After a change that those who follow are yet to get.
    rollout_id = resource.Body("rollout_id")
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")

    def replace(self, session: adapter.Adapter, body: dict[str, Any]) -> "Template":
        """Have another content; ``version`` in the body must be the newest one."""
        url = utils.urljoin(self.base_path, self.id)
        answer = session.put(url, json=body, microversion=base.version(session))
        exceptions.raise_from_response(answer)
        self._translate_response(answer)
        return self


class Version(base.Resource):
    """What a template says, or said; ``id`` is the number of the version."""

    base_path = "/templates/%(template_id)s/versions"
    resources_key = "versions"
    allow_fetch = True
    allow_list = True

    template_id = resource.URI("template_id")
    version = resource.Body("version", type=int, alternate_id=True)
    wish = resource.Body("wish", type=dict)
    roles = resource.Body("roles", type=dict)
    user_id = resource.Body("user_id")
    created_at = resource.Body("created_at")


class Rollout(base.Resource):
    """A version of a template on its way to those who follow it."""

    base_path = "/rollouts"
    resources_key = "rollouts"
    allow_create = True
    allow_fetch = True
    allow_delete = True
    allow_list = True
    _query_mapping = resource.QueryParameters("project_id", "state", "template_id", "sort")

    #: Name or id of the template, in a request alone.
    template = resource.Body("template")
    template_id = resource.Body("template_id")
    template_name = resource.Body("template_name")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    version = resource.Body("version", type=int)
    #: The version that they had before.
    former = resource.Body("former", type=int)
    #: How many pins are changed at once.
    batch_size = resource.Body("batch_size", type=int)
    #: ``queued``, ``running``, ``returning``, ``completed``, ``returned`` or ``failed``.
    state = resource.Body("state")
    reason = resource.Body("reason")
    #: The instance because of whose pin it went back.
    failed_pin = resource.Body("failed_pin")
    #: How many pins have the version, of how many.
    done = resource.Body("done", type=int)
    total = resource.Body("total", type=int)
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")
