# SPDX-License-Identifier: Apache-2.0
"""A pin and the events of its life."""

from oslo_versionedobjects import fields

from kongming.objects import base

WAITING, PENDING, APPLIED, DRIFTED, FAILED = STATUSES = (
    "waiting",
    "pending",
    "applied",
    "drifted",
    "failed",
)


@base.Registry.register
class Pin(base.KongMingObject):
    """The wish for one instance and what became of it.

    ``placement`` is where the instance shall be: None while no host is known, and when
    the pin was deleted and its host has yet to release the instance. ``in_force`` is where
    KongMing may have put the instance by now: what its host last confirmed, joined with
    what was asked since; None if nothing was ever asked. A migrated instance takes it along.
    ``progress`` tells of memory that is being moved; ``cancelled``: that was called off, and
    nothing is to be carried out until the wish changes. ``arrival`` counts how often a host
    came to have the instance: what an agent knows of an earlier stay is out of date.

    ``asked`` are the fields that somebody gave; ``wish`` is what comes of them, and of the version
    of the template (and its role, if it has roles) that the pin follows, if it follows one.
    ``overlay`` is what a calendar lays over that at present.
    """

    # 1.1: arrival, progress, cancelled
    # 1.2: asked, template_id, template_role, template_version
    # 1.3: overlay
    VERSION = "1.3"

    fields = {
        "instance_uuid": fields.UUIDField(),
        "project_id": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "host": fields.StringField(nullable=True),
        "wish": base.WishField(),
        "placement": base.PlacementField(nullable=True),
        "in_force": base.PlacementField(nullable=True),
        "generation": fields.IntegerField(),
        "arrival": fields.IntegerField(),
        "status": fields.EnumField(valid_values=STATUSES),
        "reason": fields.StringField(nullable=True),
        "progress": base.ProgressField(nullable=True, default=None),
        "cancelled": fields.BooleanField(nullable=True, default=False),
        "created_at": fields.DateTimeField(),
        "updated_at": fields.DateTimeField(nullable=True),
        "asked": base.DocumentField(nullable=True, default=None),
        "template_id": fields.UUIDField(nullable=True, default=base.NOTHING),
        "template_role": fields.StringField(nullable=True, default=base.NOTHING),
        "template_version": fields.IntegerField(nullable=True, default=base.NOTHING),
        "overlay": base.OverlayField(nullable=True, default=None),
    }


@base.Registry.register
class PinEvent(base.KongMingObject):
    """One line of a pin's history; ``receipt`` is there where memory was moved.

    ``asked_by`` is a document with the ``kind`` of what asked (``user``, ``metadata``, ``hint``,
    ``rollout``, ``calendar``, ``heal``) and what there is to tell of it, such as the template;
    empty for what just happened. ``former`` is the wish before it was changed or deleted,
    ``user_id``, ``initiator_project_id`` and ``initiator_roles`` are those of who asked; nobody did
    where they are None and empty.

    - 1.1 cause, receipt
    - 1.2 asked_by, former, initiator_project_id, initiator_roles
    """

    VERSION = "1.2"

    fields = {
        "instance_uuid": fields.UUIDField(),
        "project_id": fields.StringField(nullable=True),
        "at": fields.DateTimeField(),
        "event": fields.StringField(),
        "generation": fields.IntegerField(),
        "host": fields.StringField(nullable=True),
        "reason": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "request_id": fields.StringField(nullable=True),
        "wish": base.WishField(nullable=True),
        "cause": fields.StringField(nullable=True),
        "receipt": base.ReceiptField(nullable=True, default=None),
        "asked_by": base.DocumentField(nullable=True, default=None),
        "former": base.WishField(nullable=True, default=None),
        "initiator_project_id": fields.StringField(nullable=True, default=None),  # type: ignore[arg-type]
        "initiator_roles": fields.ListOfStringsField(default=[]),
    }
