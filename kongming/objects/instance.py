# SPDX-License-Identifier: Apache-2.0
"""A Nova server as its host reports it."""

from oslo_versionedobjects import fields

from kongming.objects import base
from kongming.topology.fit import Size

#: States of an instance, in libvirt's order (virDomainState).
STATES = (
    "nostate",
    "running",
    "blocked",
    "paused",
    "shutdown",
    "shutoff",
    "crashed",
    "suspended",
)

#: Those in which there is a process whose threads can be placed.
ACTIVE_STATES = ("running", "blocked", "paused", "shutdown", "suspended")


@base.Registry.register
class Instance(base.KongMingObject):
    """Facts and observed placement of one instance on one host."""

    # 1.1: started_ms
    VERSION = "1.1"

    fields = {
        "uuid": fields.UUIDField(),
        "host": fields.StringField(),
        "name": fields.StringField(),
        "project_id": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "vcpus": fields.NonNegativeIntegerField(),
        "memory_mib": fields.NonNegativeIntegerField(),
        "iothreads": fields.ListOfIntegersField(),
        "state": fields.EnumField(valid_values=STATES),
        # pCPUs that it holds for itself without KongMing's doing, as a CPU set
        "holds": fields.StringField(default=""),
        "observed": base.PlacementField(nullable=True),
        # when its process was, in ms since the epoch; None: there is none
        "started_ms": fields.IntegerField(nullable=True),
        "updated_at": fields.DateTimeField(),
    }

    @property
    def has_threads(self) -> bool:
        """Whether there is a process whose threads can be placed."""
        return self.state in ACTIVE_STATES

    @property
    def size(self) -> Size:
        """The size as the fit code wants it."""
        return Size(self.vcpus, self.memory_mib, tuple(self.iothreads))
