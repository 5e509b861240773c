# SPDX-License-Identifier: Apache-2.0
"""A compute host."""

import datetime

from oslo_versionedobjects import fields

from kongming.objects import base

#: A host is down when it was silent for this many of its report intervals.
MISSED_REPORTS = 3


@base.Registry.register
class Host(base.KongMingObject):
    """A host as its agent last reported it."""

    VERSION = "1.0"

    fields = {
        "name": fields.StringField(),
        "topology": base.HostTopologyField(),
        "generation": fields.IntegerField(),
        "report_interval": fields.IntegerField(),  # seconds
        "reported_at": fields.DateTimeField(),
    }

    @property
    def status(self) -> str:
        """``up``, or ``down`` when three reports are overdue."""
        silence = datetime.datetime.now(datetime.UTC) - self.reported_at
        limit = datetime.timedelta(seconds=MISSED_REPORTS * self.report_interval)
        return "down" if silence > limit else "up"
