# SPDX-License-Identifier: Apache-2.0
"""A template, and the rollout of one of its versions."""

from oslo_versionedobjects import fields

from kongming.objects import base

QUEUED, RUNNING, RETURNING, COMPLETED, RETURNED, FAILED = STATES = (
    "queued",
    "running",
    "returning",
    "completed",
    "returned",
    "failed",
)
#: Those in which a rollout has yet to do something.
UNFINISHED = (QUEUED, RUNNING, RETURNING)
#: How many pins a rollout may change at once, at most.
MAX_BATCH = 1000


@base.Registry.register
class Template(base.KongMingObject):
    """A named wish that pins follow.

    ``version`` is the newest, of which ``content`` is; ``current`` the one that those take which
    begin to follow. ``rollout_id`` is set in the answer to a change that those who follow get one
    after the other.
    """

    VERSION = "1.0"

    fields = {
        "id": fields.UUIDField(),
        "name": fields.StringField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(nullable=True),
        "shared": fields.BooleanField(),
        "version": fields.IntegerField(),
        "current": fields.IntegerField(),
        "content": base.DocumentField(),
        "created_at": fields.DateTimeField(),
        "updated_at": fields.DateTimeField(nullable=True),
        "rollout_id": fields.UUIDField(nullable=True, default=base.NOTHING),
    }


@base.Registry.register
class Rollout(base.KongMingObject):
    """A version of a template on its way to those who follow it.

    ``former`` is the version that they had before, ``failed_pin`` the instance because of whose
    pin it went back, if one was to blame.
    """

    VERSION = "1.0"

    fields = {
        "id": fields.UUIDField(),
        "template_id": fields.UUIDField(),
        "template_name": fields.StringField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(nullable=True),
        "version": fields.IntegerField(),
        "former": fields.IntegerField(nullable=True),
        "batch_size": fields.IntegerField(),
        "state": fields.EnumField(valid_values=STATES),
        "reason": fields.StringField(nullable=True),
        "failed_pin": fields.UUIDField(nullable=True),
        "total": fields.IntegerField(),
        "done": fields.IntegerField(),
        "created_at": fields.DateTimeField(),
        "updated_at": fields.DateTimeField(nullable=True),
    }
