# SPDX-License-Identifier: Apache-2.0
"""A compute host."""

import datetime

from oslo_versionedobjects import fields

from kongming.objects import base

#: A host is down when it was silent for this many of its report intervals.
MISSED_REPORTS = 3


def is_down(reported_at: datetime.datetime, interval: int) -> bool:
    """Return whether a host that reported then, every ``interval`` seconds, is down now."""
    silence = datetime.datetime.now(datetime.UTC) - reported_at
    return silence > datetime.timedelta(seconds=MISSED_REPORTS * interval)


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
        return "down" if is_down(self.reported_at, self.report_interval) else "up"
