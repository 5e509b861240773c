# SPDX-License-Identifier: Apache-2.0
"""Runs the plugin as devstack would, in a directory instead of on the machine."""

import os
import pathlib
import shlex
import subprocess
import sys

import fixtures
from oslo_config import cfg

CHECKOUT = pathlib.Path(__file__).parents[3]
#: What a node has beside KongMing.
ALL_IN_ONE = "n-api n-sch n-cond n-cpu key rabbit"


class Devstack(fixtures.Fixture):
    """A node.

    :param real: run KongMing's own programs; else they are only written down
    :param http: where the API shall listen
    :param services: those of the node beside KongMing
    :param disabled: those that its operator disabled
    """

    def __init__(
        self,
        transport_url: str,
        real: bool = False,
        http: str = "127.0.0.1:0",
        database_url: str | None = None,
        services: str = ALL_IN_ONE,
        disabled: str = "",
        **settings: str,
    ) -> None:
        super().__init__()
        self._transport_url = transport_url
        self._real = real
        self._http = http
        self._database_url = database_url
        self._services = services
        self._disabled = disabled
        self._settings = settings

    def _setUp(self) -> None:
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.conf_dir = self.directory / "etc"
        self.conf = self.conf_dir / "kongming.conf"
        self.nova_conf = self.directory / "nova.conf"
        self._record = self.directory / "record"
        installed = pathlib.Path(sys.executable).parent
        self._bin = self.directory / "bin"
        self._bin.mkdir()
        (self._bin / "uwsgi").symlink_to(installed / "pyuwsgi")
        for name in ("kongming-dbsync", "kongming-conductor", "kongming-agent"):
            if self._real:
                (self._bin / name).symlink_to(installed / name)
            else:
                (self._bin / name).write_text('#!/bin/sh\necho "$(basename $0)" >>$RECORD\n')
                (self._bin / name).chmod(0o755)

    def run(self, *arguments: str) -> list[list[str]]:
        """Run a phase; return what was called of devstack.

        :raises AssertionError: it fails, or calls what devstack does not have
        """
        self._record.write_text("")
        done = subprocess.run(
            [CHECKOUT / "kongming/tests/devstack/stack.sh", *arguments],
            env={
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "DEST": str(self.directory),
                "RECORD": str(self._record),
                "BIN": str(self._bin),
                "HTTP": self._http,
                "SERVICES": self._services,
                "DISABLED": self._disabled,
                "TRANSPORT_URL": self._transport_url,
                "DATABASE_URL": self._database_url or f"sqlite:///{self.directory}/kongming.db",
                "KONGMING_DIR": str(CHECKOUT),
                "KONGMING_CONF_DIR": str(self.conf_dir),
                **self._settings,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{arguments}: {done.stdout}{done.stderr}")
        return [line.split("\t") for line in self._record.read_text().splitlines()]

    def stack(self) -> list[list[str]]:
        """Run all phases of stack.sh; return what was called of devstack."""
        phases = ("pre-install", "install", "post-config", "extra", "test-config")
        return [call for phase in phases for call in self.run("stack", phase)]


def commands(calls: list[list[str]]) -> dict[str, list[str]]:
    """Return the words of the command of each process that was to be run."""
    return {call[1]: shlex.split(call[2]) for call in calls if call[0] == "run_process"}


def option(path: pathlib.Path, group: str, name: str) -> list[str]:
    """Return the values that a file has for an option."""
    found = cfg.ConfigOpts()
    found.register_opt(
        cfg.MultiStrOpt(name, default=[]), group=None if group == "DEFAULT" else group
    )
    found(["--config-file", str(path)])
    values: list[str] = found[name] if group == "DEFAULT" else found[group][name]
    return values
