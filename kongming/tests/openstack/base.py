# SPDX-License-Identifier: Apache-2.0
"""What the tests in a cloud share, first of all the cloud: it takes a minute to come up."""

import atexit
import functools
from typing import Any

import testtools

from kongming.tests import base
from kongming.tests.openstack.fixtures.client import Client
from kongming.tests.openstack.fixtures.cloud import Cloud
from kongming.tests.openstack.fixtures.kongming import KongMingInCloud


def _have(fixture: Any) -> Any:
    fixture.setUp()
    atexit.register(fixture.cleanUp)
    return fixture


@functools.cache
def shared_cloud() -> Cloud:
    """The cloud of this process; tests leave it as they found it."""
    cloud: Cloud = _have(Cloud())
    return cloud


@functools.cache
def shared_kongming() -> KongMingInCloud:
    """The KongMing in the cloud of this process; tests leave it as they found it."""
    kongming: KongMingInCloud = _have(KongMingInCloud(shared_cloud()))
    return kongming


class CloudCase(base.BareTestCase):
    """A test in the cloud."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = shared_cloud()
        self.shows(self.cloud)

    def shows(self, fixture: Any) -> None:
        """Have the logs of a fixture in the report if the test fails."""
        self.addOnException(
            lambda _: testtools.testcase.gather_details(fixture.getDetails(), self.getDetails())
        )

    def boot(self, user: Client, **wanted: Any) -> dict[str, Any]:
        """Boot a server for the test, as with ``Client.boot``."""
        server = user.boot(**wanted)
        self.addCleanup(self.cloud.admin.delete, server["id"])
        return server


class KongMingCase(CloudCase):
    """A test of KongMing in the cloud."""

    def setUp(self) -> None:
        super().setUp()
        self.kongming = shared_kongming()
        self.shows(self.kongming)
