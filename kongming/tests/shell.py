# SPDX-License-Identifier: Apache-2.0
"""The ``openstack`` program in the process of a test."""

import io
import json
import logging
import os
import pathlib
from typing import Any, NamedTuple

import fixtures
import yaml
from openstackclient import shell
from osc_lib import clientmanager


class Said(NamedTuple):
    """What a command ended with, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, decoded."""
        return json.loads(self.out)


class Shell(fixtures.Fixture):
    """Runs commands in a cloud ``test`` of a clouds.yaml, without the settings of who tests."""

    def __init__(self, cloud: dict[str, Any]) -> None:
        """Describe the cloud as clouds.yaml does."""
        super().__init__()
        self._cloud = cloud

    def _setUp(self) -> None:
        self.config = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "clouds.yaml"
        self.config.write_text(yaml.safe_dump({"clouds": {"test": self._cloud}}))
        for name in [name for name in os.environ if name.startswith("OS_")]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.useFixture(fixtures.EnvironmentVariable("OS_CLIENT_CONFIG_FILE", str(self.config)))
        # a test may run in a terminal
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            self.useFixture(fixtures.EnvironmentVariable(name))

    def run(self, *arguments: str) -> Said:
        """Run ``openstack --os-cloud test`` with arguments, each of which may be several words."""
        words = [word for argument in arguments for word in argument.split()]
        return self.plain("--os-cloud", "test", *words)

    def plain(self, *words: str) -> Said:
        """Run ``openstack`` with just these words."""
        # a process runs one command, and its clients are kept for that long
        vars(clientmanager.ClientManager)["resource_pin"]._handle = None
        out, err = io.StringIO(), io.StringIO()
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        # what the API and its agents log is not what the program says
        servers = [logging.getLogger(f"kongming.{part}") for part in ("agent", "api", "conductor")]
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
        ):
            for server in servers:
                server.propagate = False
            try:
                status = shell.OpenStackShell().run(list(words))
            except SystemExit as end:  # of argparse
                status = int(end.code or 0)
            finally:
                root.handlers[:] = before
                root.setLevel(level)
                for server in servers:
                    server.propagate = True
        return Said(status, out.getvalue(), err.getvalue())
