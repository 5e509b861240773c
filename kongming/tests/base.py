# SPDX-License-Identifier: Apache-2.0
"""What tests share: strict warnings, a clean configuration, a database of their own."""

import logging
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import fixtures
import hypothesis
import testtools
from oslo_config import cfg
from sqlalchemy import exc as sa_exc

from kongming import service
from kongming.db import engine, migrations

# the same examples in each run, and none fails because the machine is busy
hypothesis.settings.register_profile("kongming", derandomize=True, deadline=None)
hypothesis.settings.load_profile("kongming")


class Warnings(fixtures.Fixture):
    """Makes SQLAlchemy's and deprecation warnings errors, but for other people's."""

    def _setUp(self) -> None:
        context = warnings.catch_warnings()
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        warnings.simplefilter("error", sa_exc.SAWarning)
        warnings.filterwarnings("error", category=DeprecationWarning, module=r"kongming\.")
        warnings.filterwarnings("error", category=PendingDeprecationWarning, module=r"kongming\.")


class Log(fixtures.FakeLogger):
    """Keeps the log for the report of a failed test, also where a program sets logging up."""

    def __init__(self) -> None:
        super().__init__(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")

    def _setUp(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("oslo_log.log.setup", lambda *_, **__: None))
        super()._setUp()


class Configuration(fixtures.Fixture):
    """The options as they are without any file; ``set`` overrides one for the test."""

    def _setUp(self) -> None:
        empty = self.useFixture(fixtures.TempDir()).path
        self.conf = service.prepare("kongming-tests", ["--config-dir", empty])
        self.addCleanup(self.conf.reset)

    def set(self, name: str, value: Any, group: str | None = None) -> None:
        """Override an option."""
        self.conf.set_override(name, value, group)
        self.addCleanup(self.conf.clear_override, name, group)


class Database(fixtures.Fixture):
    """An empty database with the newest schema; SQLite in a file unless a URL is given."""

    def __init__(self, url: str | None = None) -> None:
        super().__init__()
        self.url = url

    def _setUp(self) -> None:
        directory = self.useFixture(fixtures.TempDir()).path
        self.url = self.url or f"sqlite:///{directory}/kongming.db"
        # safety from power cuts would be most of the time of a test
        for name, value in {"connection": self.url, "sqlite_synchronous": False}.items():
            cfg.CONF.set_override(name, value, "database")
            self.addCleanup(cfg.CONF.clear_override, name, "database")
        engine.dispose()
        self.addCleanup(engine.dispose)
        migrations.upgrade()


#: What a check fails with that looks at something before it is there.
NOT_THERE = (LookupError, TypeError, FileNotFoundError, ProcessLookupError)


def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what ``check`` returns as soon as that is true; what is not there yet is waited for.

    :param seconds: when to give up, which must be long after what may be tried again (by an agent,
        after 10 s) has been, on a machine that has much else to do
    :raises AssertionError: it never is
    """
    deadline = time.monotonic() + seconds
    while True:
        # who slept through the end looks once more
        late, missing = time.monotonic() > deadline, None
        try:
            if result := check():
                return result
        except NOT_THERE as error:
            missing = error
        if late:
            raise AssertionError(f"not within {seconds} s") from missing
        time.sleep(0.02)


class BareTestCase(testtools.TestCase):
    """Parent of all tests; leaves the configuration alone."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(Warnings())
        self.log = self.useFixture(Log())

    def eventually(self, check: Callable[[], Any], seconds: float = 10) -> Any:
        """Return what ``check`` returns as soon as that is true; fail if it never is."""
        return eventually(check, seconds)


class TestCase(BareTestCase):
    """Parent of the tests that have a configuration and a directory of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.configuration = self.useFixture(Configuration())
        self.conf: cfg.ConfigOpts = self.configuration.conf
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
