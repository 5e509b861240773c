# SPDX-License-Identifier: Apache-2.0
"""What an agent tells the conductor."""

import enum

from oslo_versionedobjects import fields

from kongming.objects import base
from kongming.objects.instance import Instance

RELEASED = "released"
OUTCOMES = ("applied", "drifted", "failed", RELEASED)
#: Why a pin failed whose move somebody ended.
CALLED_OFF = "called off; everything is where it was"


class Cause(enum.StrEnum):
    """Why parts of an instance were likely elsewhere than they were put."""

    HARD_REBOOT = "hard_reboot"  # or another start
    MIGRATION = "migration"
    LIBVIRT_CLIENT = "libvirt_client"
    OUTSIDE_LIBVIRT = "outside_libvirt"
    SYSTEMD_RELOAD = "systemd_reload"
    CPU_OFFLINE = "cpu_offline"
    CPU_HOTPLUG = "cpu_hotplug"


#: Those that belong to the life of an instance: nobody meddles.
USUAL_CAUSES = (Cause.HARD_REBOOT, Cause.MIGRATION)


@base.Registry.register
class Outcome(base.KongMingObject):
    """What became of one pin on this host.

    ``result`` speaks of ``generation`` and ``arrival`` only; ``in_force`` is the placement that
    the agent last carried out and has not undone, whichever generation that was. ``cause`` tells
    why parts were elsewhere, as far as the agent can tell; None if they were not, or never placed.
    ``receipt`` is there if memory was moved for it.
    """

    # 1.1: arrival
    # 1.2: cause, receipt
    VERSION = "1.2"

    fields = {
        "instance_uuid": fields.UUIDField(),
        "generation": fields.IntegerField(),
        "arrival": fields.IntegerField(),
        "result": fields.EnumField(valid_values=OUTCOMES),
        "reason": fields.StringField(nullable=True),
        "in_force": base.PlacementField(nullable=True),
        # a string, so that an agent may name what a conductor does not know yet
        "cause": fields.StringField(nullable=True),
        "receipt": base.ReceiptField(nullable=True, default=None),
    }


@base.Registry.register
class Moving(base.KongMingObject):
    """How far the memory of one instance has moved for one generation of its pin, in one stay."""

    VERSION = "1.0"

    fields = {
        "instance_uuid": fields.UUIDField(),
        "generation": fields.IntegerField(),
        "arrival": fields.IntegerField(),
        "progress": base.ProgressField(),
    }


@base.Registry.register
class Report(base.KongMingObject):
    """Changes since the agent's last report, or everything.

    A full report carries the topology and all instances: what it does not list is gone.
    ``sequence`` rises with each report of a host; an older one never overwrites a newer.
    ``usage`` comes with full reports only, and not if it is unknown.

    - 1.1 usage
    """

    VERSION = "1.1"

    fields = {
        "host": fields.StringField(),
        "sequence": fields.IntegerField(),
        "interval": fields.IntegerField(),  # seconds until the next full report
        "full": fields.BooleanField(),
        "topology": base.HostTopologyField(nullable=True),
        "usage": base.UsageField(nullable=True),
        "instances": fields.ListOfObjectsField(Instance.__name__),
        "gone": fields.ListOfStringsField(),
        "moving": fields.ListOfObjectsField(Moving.__name__, default=[]),
        "outcomes": fields.ListOfObjectsField(Outcome.__name__),
    }
