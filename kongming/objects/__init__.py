# SPDX-License-Identifier: Apache-2.0
"""Versioned objects: what travels between API, conductor and agents."""

from kongming.objects.calendar import Calendar, Collision
from kongming.objects.host import Host
from kongming.objects.instance import Instance
from kongming.objects.pin import Pin, PinEvent
from kongming.objects.report import Moving, Outcome, Report
from kongming.objects.template import Rollout, Template

__all__ = [
    "Calendar",
    "Collision",
    "Host",
    "Instance",
    "Moving",
    "Outcome",
    "Pin",
    "PinEvent",
    "Report",
    "Rollout",
    "Template",
]
