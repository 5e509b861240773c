# SPDX-License-Identifier: Apache-2.0
"""Calendars, and what they will have in force when."""

from typing import Any, ClassVar

from keystoneauth1 import adapter
from openstack import exceptions, resource, utils

from kongming.sdk import base


class Calendar(base.Resource):
    """When something else is in force for pins than they ask for themselves."""

    base_path = "/calendars"
    resources_key = "calendars"
    allow_create = True
    allow_fetch = True
    allow_delete = True
    allow_list = True
    _query_mapping = resource.QueryParameters("name", "project_id", "sort")

    #: What `Proxy.update_calendar` takes; templates as text, as in `Proxy.create_calendar`.
    FIELDS: ClassVar[tuple[str, ...]] = (
        *("name", "cron", "timezone", "duration_s", "start", "end", "template", "only_qos"),
        *("qos", "pins", "following", "metadata", "priority", "on_collision", "enabled"),
        "all_projects",
    )

    name = resource.Body("name")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    #: Whether the pins may be of any project.
    all_projects = resource.Body("all_projects", type=bool)
    #: Either these three say when …
    cron = resource.Body("cron")
    timezone = resource.Body("timezone")
    duration_s = resource.Body("duration_s", type=int)
    #: … or these two.
    start = resource.Body("start")
    end = resource.Body("end")
    #: What is in force: ``NAME`` or ``NAME/ROLE`` in a request; ``id``, ``name``, ``role`` and
    #: ``version`` in an answer.
    template = resource.Body("template")
    #: In a request alone.
    template_version = resource.Body("template_version", type=int)
    #: Whether just the QoS of the template is.
    only_qos = resource.Body("only_qos", type=bool)
    #: What is in force instead of a template.
    qos = resource.Body("qos", type=dict)
    #: For which pins: these, …
    pins = resource.Body("pins", type=list)
    #: … those that follow a template, …
    following = resource.Body("following")
    #: … or those of servers with an entry in their metadata.
    metadata = resource.Body("metadata", type=dict)
    priority = resource.Body("priority", type=int)
    #: ``refuse`` or ``skip``.
    on_collision = resource.Body("on_collision")
    enabled = resource.Body("enabled", type=bool)
    generation = resource.Body("generation", type=int)
    #: The one that it has now: ``start`` and ``end``.
    window = resource.Body("window", type=dict)
    #: After a creation or a change: pins that cannot have what it asks for.
    collisions = resource.Body("collisions", type=list)
    checked_until = resource.Body("checked_until")
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")

    def replace(self, session: adapter.Adapter, body: dict[str, Any]) -> "Calendar":
        """Be another calendar; ``generation`` in the body must be the present one."""
        url = utils.urljoin(self.base_path, self.id)
        answer = session.put(url, json=body, microversion=base.version(session))
        exceptions.raise_from_response(answer)
        self._translate_response(answer)
        return self


class Previewed(base.Resource):
    """From ``start`` on until just before ``end`` a calendar has its way for some instances."""

    base_path = "/calendars/%(calendar_id)s/preview"
    resources_key = "preview"
    allow_list = True
    _query_mapping = resource.QueryParameters("days")

    calendar_id = resource.URI("calendar_id")
    start = resource.Body("start")
    end = resource.Body("end")
    window = resource.Body("window", type=dict)
    instances = resource.Body("instances", type=list)


class Scheduled(base.Resource):
    """From ``start`` on until just before ``end`` a calendar has its way with a pin."""

    base_path = "/pins/%(instance_uuid)s/schedule"
    resources_key = "schedule"
    allow_list = True
    _query_mapping = resource.QueryParameters("days")

    instance_uuid = resource.URI("instance_uuid")
    start = resource.Body("start")
    end = resource.Body("end")
    window = resource.Body("window", type=dict)
    #: ``id`` and ``name``.
    calendar = resource.Body("calendar", type=dict)
    priority = resource.Body("priority", type=int)
    template = resource.Body("template", type=dict)
    qos = resource.Body("qos", type=dict)
