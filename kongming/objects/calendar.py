# SPDX-License-Identifier: Apache-2.0
"""A calendar, and where it collides."""

from oslo_versionedobjects import fields

from kongming.objects import base

REFUSE, SKIP = ON_COLLISION = ("refuse", "skip")
#: How many pins a calendar may list, and how high or low its priority may be.
MAX_PINS, MAX_PRIORITY = 256, 1000


@base.Registry.register
class Calendar(base.KongMingObject):
    """When what is laid over the wishes of which pins; see `kongming.db.models.Calendar`.

    ``id``, ``generation`` and the times of creation and change are the conductor's to set, and so
    is ``overlay`` where a template is named. The answer to a creation or change has the
    ``collisions`` of the windows that begin until ``checked_until``.
    """

    VERSION = "1.0"

    fields = {
        "id": fields.UUIDField(),
        "name": fields.StringField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(nullable=True),
        "all_projects": fields.BooleanField(),
        "cron": fields.StringField(nullable=True),
        "timezone": fields.StringField(nullable=True),
        "duration_s": fields.IntegerField(nullable=True),
        "starts_at": fields.DateTimeField(nullable=True),
        "ends_at": fields.DateTimeField(nullable=True),
        "overlay": base.DocumentField(),
        "template_id": fields.UUIDField(nullable=True),
        "template_role": fields.StringField(nullable=True),
        "template_version": fields.IntegerField(nullable=True),
        "only_qos": fields.BooleanField(),
        "pins": fields.ListOfStringsField(),
        "following": fields.UUIDField(nullable=True),
        "metadata_key": fields.StringField(nullable=True),
        "metadata_value": fields.StringField(nullable=True),
        "priority": fields.IntegerField(),
        "on_collision": fields.EnumField(valid_values=ON_COLLISION),
        "enabled": fields.BooleanField(),
        "generation": fields.IntegerField(),
        "created_at": fields.DateTimeField(),
        "updated_at": fields.DateTimeField(nullable=True),
        "collisions": fields.ListOfObjectsField("Collision", default=[]),
        "checked_until": fields.DateTimeField(nullable=True, default=None),
    }


@base.Registry.register
class Collision(base.KongMingObject):
    """A pin that could not have what a calendar asks for, in ``windows`` of its windows.

    ``start`` and ``end`` are those of the first of them.
    """

    VERSION = "1.0"

    fields = {
        "instance_uuid": fields.UUIDField(),
        "host": fields.StringField(nullable=True),
        "start": fields.DateTimeField(),
        "end": fields.DateTimeField(),
        "windows": fields.IntegerField(),
        "reason": fields.StringField(),
    }
