# SPDX-License-Identifier: Apache-2.0

import importlib.util
import io
import pathlib
import signal
import socket
from collections.abc import Callable
from typing import Any

import fixtures

from kongming import service
from kongming.cmd import api, conductor, standalone
from kongming.db import engine
from kongming.tests import base


class ProgramTestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(engine.dispose)
        # where a program is not refused it must not run within the tests
        for start in ("service.service.launch", "cmd.standalone.Parts.start"):
            self.useFixture(fixtures.MonkeyPatch(f"kongming.{start}", self._started))

    def _started(self, *_: Any, **__: Any) -> None:
        raise AssertionError("the program runs")

    def refusal(self, main: Callable[[], int], *arguments: str | pathlib.Path) -> str:
        """Run a program that must end at once; return its last words."""
        words = ["kongming", *map(str, arguments)]
        self.useFixture(fixtures.MonkeyPatch("sys.argv", words))
        # as a new process finds it
        self.conf.reset()
        engine.dispose()
        ending = self.assertRaises(SystemExit, main)
        self.assertIsInstance(ending.code, str)  # which is exit code 1
        self.assertNotIn("\n", str(ending.code))
        return str(ending.code)

    def configure(self, **sections: dict[str, Any]) -> pathlib.Path:
        """Write a configuration file; return its path."""
        path = self.directory / "kongming.conf"
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in options.items())]
        path.write_text("\n".join([*lines, ""]))
        return path


class PrepareTest(ProgramTestCase):
    def prepare(self, *arguments: str | pathlib.Path) -> str:
        return self.refusal(lambda: bool(service.prepare("name", [*map(str, arguments)])))

    def test_no_such_file(self) -> None:
        message = self.prepare("--config-file", self.directory / "none")
        self.assertEqual(f"name: Failed to find some config files: {self.directory}/none", message)

    def test_no_configuration(self) -> None:
        for text in ("[api", "nonsense", "a = b\nc", "=\n"):
            path = self.configure()
            path.write_text(text)
            message = self.prepare("--config-file", path)
            self.assertTrue(message.startswith(f"name: Failed to parse {path}"), message)

    def test_values_are_looked_at(self) -> None:
        for section, option, value in (
            ("api", "max_limit", "many"),
            ("api", "max_limit", "0"),
            ("api", "port", "65536"),
            ("api", "auth_strategy", "none"),
            ("api", "public_endpoint", "ftp://x"),
            ("api", "enable_ssl_api", "perhaps"),
            ("agent", "update_resources_interval", "0"),
            ("conductor", "workers", "-1"),
            ("DEFAULT", "host", "a b"),
        ):
            path = self.configure(**{section: {option: value}})
            message = self.prepare("--config-file", path)
            self.assertTrue(message.startswith("name: "), message)
            self.assertIn(option, message)
            self.assertIn(str(path), message)


class FailTest(base.BareTestCase):
    def test_one_line(self) -> None:
        for error, line in (
            (ValueError("a\nb"), "name: a"),
            (ValueError("\n a"), "name: a"),
            (ValueError(), "name: ValueError()"),
        ):
            ending = self.assertRaises(SystemExit, service.fail, "name", error)
            self.assertEqual(line, ending.code)


class ApiTest(ProgramTestCase):
    def test_noauth_is_for_loopback(self) -> None:
        for address in ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.org"):
            path = self.configure(api={"auth_strategy": "noauth", "host_ip": address})
            message = self.refusal(api.main, "--config-file", path)
            self.assertIn("only allowed on a loopback address", message)
            self.assertIn(address, message)

    def test_keystone_must_be_known(self) -> None:
        path = self.configure(api={"auth_strategy": "keystone"})
        message = self.refusal(api.main, "--config-file", path)
        self.assertIn("[keystone_authtoken] auth_type", message)

    def test_memcached_needs_its_client(self) -> None:
        plain, binary = "'kongming[memcache]'", "python-binary-memcached"
        sasl, tls = {"memcache_sasl_enabled": True}, {"memcache_tls_enabled": True}
        alone = {"memcache_use_advanced_pool": False}
        found = importlib.util.find_spec
        there: set[str] = set()
        self.useFixture(
            fixtures.MonkeyPatch(
                "kongming.api.server.importlib.util.find_spec",
                lambda name: there & {name} or None if "memcache" in name else found(name),
            )
        )
        for options, installed, needed in (
            ({}, {"bmemcached"}, plain),
            (alone, {"bmemcached"}, plain),
            (sasl, {"memcache"}, binary),
            (tls, {"memcache"}, binary),
            (sasl, {"bmemcached"}, plain),
            (tls, {"bmemcached"}, plain),
            (sasl | alone, {"memcache"}, binary),
            (tls | alone, {"bmemcached"}, plain),
            # nothing is missing: the next that is wrong is told
            ({}, {"memcache"}, "ssl_cert_file"),
            (sasl, {"memcache", "bmemcached"}, "ssl_cert_file"),
            (sasl | alone, {"bmemcached"}, "ssl_cert_file"),
            (tls | alone, {"memcache"}, "ssl_cert_file"),
        ):
            there = set(installed)
            path = self.configure(
                api={"enable_ssl_api": True},
                keystone_authtoken={"auth_type": "none", "memcached_servers": "x:1", **options},
            )
            self.assertIn(needed, self.refusal(api.main, "--config-file", path))

    def test_tls_needs_its_files(self) -> None:
        keystone = {"auth_type": "none"}
        path = self.configure(api={"enable_ssl_api": True}, keystone_authtoken=keystone)
        self.assertIn("ssl_cert_file", self.refusal(api.main, "--config-file", path))
        for name in ("none", "kongming.conf"):
            file = self.directory / name
            path = self.configure(
                api={"enable_ssl_api": True, "ssl_cert_file": file, "ssl_key_file": file},
                keystone_authtoken=keystone,
            )
            message = self.refusal(api.main, "--config-file", path)
            self.assertIn(f"ssl_cert_file {file}", message)

    def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            path = self.configure(api={"port": port}, keystone_authtoken={"auth_type": "none"})
            message = self.refusal(api.main, "--config-file", path)
            self.assertIn("Address already in use", message)


class BrokerTest(ProgramTestCase):
    def test_url_of_no_use(self) -> None:
        for url in ("nonsense", "nonsense://"):
            path = self.configure(DEFAULT={"transport_url": url})
            message = self.refusal(conductor.main, "--config-file", path)
            self.assertTrue(message.startswith("kongming-conductor: "), message)


class ConductorTest(ProgramTestCase):
    def test_handlers_that_do_not_exist(self) -> None:
        database = {"connection": f"sqlite:///{self.directory}/x.db"}
        path = self.configure(
            DEFAULT={"transport_url": "fake://"},
            database=database,
            notifications={"handlers": "colour"},
        )
        message = self.refusal(conductor.main, "--config-file", path)
        self.assertTrue(message.startswith("kongming-conductor: "), message)
        self.assertIn("colour", message)


class StandaloneTest(ProgramTestCase):
    def start(self, *arguments: str | pathlib.Path) -> str:
        state = self.directory / "state"
        return self.refusal(standalone.main, "--state-dir", state, "--port", "0", *arguments)

    def test_fleet(self) -> None:
        fleet = self.directory / "fleet.yaml"
        self.assertIn("No such file", self.start("--fleet", fleet))
        fleet.write_bytes(b"\xff\x00")
        self.assertIn("unreadable", self.start("--fleet", fleet))
        fleet.write_text("hosts: []")
        self.assertIn("hosts: ", self.start("--fleet", fleet))

    def test_state_directory(self) -> None:
        file = self.directory / "file"
        file.touch()
        self.assertIn("File exists", self.start("--state-dir", file))
        self.assertIn(str(file), self.start("--state-dir", file / "below"))

    def test_options_of_its_own(self) -> None:
        state = self.directory / "state"
        state.mkdir()
        (state / "bad.conf").write_text("[api]\nmax_limit = many\n")
        self.assertIn("max_limit", self.start())

    def test_database(self) -> None:
        state = self.directory / "state"
        state.mkdir()
        (state / "kongming.db").write_text("no database at all, but longer than a header is" * 99)
        self.assertIn("not a database", self.start())

    def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            self.assertIn("Address already in use", self.start("--port", port))

    def test_port(self) -> None:
        usage = io.StringIO()
        self.useFixture(fixtures.MonkeyPatch("sys.stderr", usage))
        for text in ("x", "-1", "65536", "1.5", "", "\u0661", "9" * 99):
            self.useFixture(fixtures.MonkeyPatch("sys.argv", ["x", f"--port={text}"]))
            ending = self.assertRaises(SystemExit, standalone.main)
            self.assertEqual(2, ending.code)
            self.assertIn(f"--port: '{text}' is no port", usage.getvalue())


class WorkerTest(base.TestCase):
    def test_made_when_started(self) -> None:
        done: list[str] = []

        class Thing:
            def start(self) -> None:
                done.append("started")

            def stop(self) -> None:
                done.append("stopped")

        def make() -> Thing:
            done.append("made")
            return Thing()

        worker = service.Worker(self.conf, make)
        worker.stop()
        self.assertEqual([], done)
        worker.start()
        worker.wait()
        worker.reset()
        worker.stop()
        self.assertEqual(["made", "started", "stopped"], done)
