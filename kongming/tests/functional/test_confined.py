# SPDX-License-Identifier: Apache-2.0
"""What an agent needs that is not root: a few capabilities, and it says which it lacks."""

import os
import pathlib
from collections.abc import Collection
from typing import Any, ClassVar

import requests

from kongming.tests import base
from kongming.tests.functional.fixtures.confined import NEEDED, Confined
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.fixtures.libvirtd import Libvirtd

CPU = str(min(os.sched_getaffinity(0)))
NEWEST = {"OpenStack-API-Version": "resource_pin latest"}
WISH: dict[str, Any] = {
    "vcpus": {"0": CPU},
    "emulator": CPU,
    "iothreads": {"1": CPU},
    "memory": {"nodes": "0"},
    "qos": {"vcpus": {"0": {"weight": 50}}},
}


class ConfinedTest(base.BareTestCase):
    host: ClassVar[Libvirtd]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = Libvirtd()
        cls.host.setUp()
        cls.addClassCleanup(cls.host.cleanUp)

    def setUp(self) -> None:
        super().setUp()
        # the user is in no group that the daemon lets in
        socket = pathlib.Path(self.host.uri.partition("socket=")[2])
        socket.chmod(0o777)
        for parent in socket.parents:
            if not parent.stat().st_mode & 1:
                parent.chmod(0o755)

    def pin(self, capabilities: Collection[str]) -> dict[str, Any]:
        """Pin a domain; return the pin when its agent has spoken of it."""
        domain = self.useFixture(Domain(self.host, vcpus=1, iothreads=1))
        kongming = self.useFixture(Confined(self.host.uri, capabilities))
        path = f"{kongming.url}/v1/pins"
        body = {"instance_uuid": domain.uuid, **WISH}

        def posted() -> bool:
            return requests.post(path, json=body, headers=NEWEST, timeout=30).status_code == 201

        self.eventually(posted, 30)

        def concluded() -> Any:
            pin = requests.get(f"{path}/{domain.uuid}", headers=NEWEST, timeout=30).json()
            return pin if pin["status"] in ("applied", "failed") else None

        found: dict[str, Any] = self.eventually(concluded, 30)
        self.domain = domain
        return found

    def test_enough(self) -> None:
        pin = self.pin(NEEDED)
        self.assertEqual(("applied", None), (pin["status"], pin["reason"]))
        self.assertEqual({"vcpu0": CPU, "iothread1": CPU, "emulator": CPU}, self.domain.allowed())

    def test_what_is_missing_is_told(self) -> None:
        """Of what this pin needs; `test_capabilities` has all."""
        for missing, words in (
            ("sys_ptrace", "CAP_SYS_PTRACE"),
            ("dac_override", "Permission denied"),
        ):
            pin = self.pin([name for name in NEEDED if name != missing])
            self.assertEqual("failed", pin["status"], missing)
            self.assertIn(words, pin["reason"])
