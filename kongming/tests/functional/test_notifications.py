# SPDX-License-Identifier: Apache-2.0
"""Nova's notifications over a real broker: to conductors, and to agents that stand alone."""

import re
import uuid
from typing import Any, ClassVar

from kongming.tests import nova
from kongming.tests.functional.fixtures import services
from kongming.tests.functional.test_control_plane import ONLINE, SECOND, ControlPlaneCase

KEY = "kongming-vcpu-pinning"


class ConductorsTest(ControlPlaneCase):
    settings: ClassVar[dict[str, dict[str, Any]]] = {"notifications": {"handlers": "versioned"}}
    conductors: ClassVar[list[services.Program]]
    nova: ClassVar[nova.Publisher]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        other = cls.have(services.Program("kongming-conductor", cls.kongming.conf))
        cls.conductors = [cls.kongming.conductor, other]
        cls.nova = cls.have(nova.Publisher(cls.broker.transport_url))

    def setUp(self) -> None:
        super().setUp()
        listening = "Listening to Nova"
        self.eventually(lambda: all(listening in each.log.read_text() for each in self.conductors))

    def tell(self, event: str, instance: str, value: str | None, **changes: Any) -> None:
        """Let Nova tell of a server."""
        metadata = {} if value is None else {KEY: value}
        changes = {"tenant_id": self.domain.project_id, "state": "active"} | changes
        self.nova.send(event, nova.payload(event, instance, metadata, **changes))

    def test_metadata_reaches_the_kernel_and_leaves_it(self) -> None:
        self.tell("instance.create.end", self.domain.uuid, str(SECOND))
        self.eventually(
            lambda: [self.domain.allowed()[f"vcpu{n}"] for n in range(4)] == [str(SECOND)] * 4
        )
        self.wait_for("applied")
        self.tell("instance.update", self.domain.uuid, None)
        self.eventually(lambda: set(self.domain.allowed().values()) == {ONLINE})

    def test_each_event_is_handled_once(self) -> None:
        servers = [str(uuid.uuid4()) for _ in range(40)]
        for server in servers:
            self.tell("instance.create.end", server, "nonsense")

        def said() -> list[list[str]]:
            logs = [conductor.log.read_text() for conductor in self.conductors]
            return [re.findall(rf"Instance (\S+): {KEY}: value", log) for log in logs]

        self.eventually(lambda: len(sum(said(), [])) >= len(servers))
        # handled again, it would follow at once
        self.tell("instance.create.end", self.domain.uuid, str(SECOND))
        self.eventually(lambda: self.domain.allowed()["vcpu0"] == str(SECOND))
        first, second = said()
        self.assertEqual(sorted(servers), sorted(first + second))
        self.assertTrue(first and second)
