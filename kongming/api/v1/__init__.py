# SPDX-License-Identifier: Apache-2.0
"""Version 1 of the API: one module per noun."""

from typing import Any

import pecan

from kongming.api import described, versions
from kongming.api.microversion import Versioned
from kongming.api.openapi import OpenAPIController
from kongming.api.routes import Document, Node
from kongming.api.v1 import contract_2018
from kongming.api.v1.calendars import CalendarsController
from kongming.api.v1.candidates import CandidatesController
from kongming.api.v1.hosts import HostsController
from kongming.api.v1.instances import InstancesController
from kongming.api.v1.pins import PinsController
from kongming.api.v1.quotas import QuotaController, QuotasController
from kongming.api.v1.rollouts import RolloutsController
from kongming.api.v1.templates import TemplatesController


class V1(Document):
    """``/v1``"""

    def __init__(self, root: Node) -> None:
        self.children = {
            "pins": PinsController(),
            "candidates": CandidatesController(),
            "calendars": Versioned(CalendarsController()),
            "hosts": Versioned(contract_2018.HostsController(), HostsController()),
            "instances": Versioned(contract_2018.InstancesController(), InstancesController()),
            "templates": Versioned(TemplatesController()),
            "rollouts": Versioned(RolloutsController()),
            "instance_cpu_mappings": contract_2018.MappingsController(),
            "quotas": Versioned(QuotaController(), QuotasController()),
            "openapi.json": OpenAPIController(root),
        }

    @pecan.expose("json")
    @described.operation(versions.One)
    def show(self) -> dict[str, Any]:
        """Describe this version."""
        return {"version": versions.document()}
