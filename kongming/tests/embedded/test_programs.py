# SPDX-License-Identifier: Apache-2.0
"""The programs as an operator runs them: processes, configuration files, signals."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any
from urllib import parse

import fixtures
import requests

from kongming.tests import base
from kongming.tests.embedded.base import FLEET, OTHER, VNF
from kongming.tests.functional.fixtures.server import free_port

_BIN = pathlib.Path(sys.executable).parent
#: Imports take their time where others work too.
_START_SECONDS = 60.0
_STOP_SECONDS = 40


class Program(fixtures.Fixture):
    """A running program; its output is kept."""

    def __init__(
        self,
        *command: str | pathlib.Path,
        environment: dict[str, str] | None = None,
        directory: pathlib.Path | None = None,
    ) -> None:
        super().__init__()
        self._command = [str(word) for word in command]
        self._environment = environment or {}
        self._directory = directory

    def _setUp(self) -> None:
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name}
        self._output = self.useFixture(fixtures.TempDir()).join("output")
        output = open(self._output, "wb")  # noqa: SIM115
        self.addCleanup(output.close)
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment | self._environment,
            cwd=self._directory,
        )
        self.addCleanup(self._end)

    def _end(self) -> None:
        children = self.children()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in children:
            if pathlib.Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)

    @property
    def output(self) -> str:
        """What it wrote so far, to both of its streams."""
        # the last character may be half written
        return pathlib.Path(self._output).read_text(errors="replace")

    def wait_for_output(self, text: str, times: int = 1) -> None:
        """Return when it has written something."""

        def written() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.output}")
            return self.output.count(text) >= times

        base.eventually(written, _START_SECONDS)

    def children(self) -> list[int]:
        """Return the ids of its processes below the first, lowest first."""
        found: list[int] = []
        # the kernel lists them with the thread that made them
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
        return sorted(found)

    def signal(self, number: int) -> None:
        """Send a signal to the first process."""
        self.process.send_signal(number)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Return the exit code once it has ended, without anything left of it."""
        children = self.children()
        code = self.process.wait(seconds)
        left = [pid for pid in children if pathlib.Path(f"/proc/{pid}").exists()]
        if left:
            raise AssertionError(f"processes {left} outlive their parent")
        return code


class ProgramTestCase(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def program(self, name: str, *arguments: str | pathlib.Path, **environment: str) -> Program:
        """Start one of KongMing's programs."""
        program = Program(_BIN / f"kongming-{name}", *arguments, environment=environment)
        return self.useFixture(program)

    def run_program(self, name: str, *arguments: str | pathlib.Path) -> tuple[int, str]:
        """Run a program that ends by itself; return its exit code and its output."""
        program = self.program(name, *arguments)
        return program.process.wait(_START_SECONDS), program.output

    def configure(self, **sections: dict[str, Any]) -> pathlib.Path:
        """Write a configuration file; return its path."""
        sections.setdefault("DEFAULT", {}).setdefault("transport_url", "fake://")
        connection = f"sqlite:///{self.directory}/kongming.db"
        sections.setdefault("database", {}).setdefault("connection", connection)
        lines = []
        for section, options in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {value}" for name, value in options.items()]
        path = self.directory / "kongming.conf"
        path.write_text("\n".join([*lines, ""]))
        return path

    def assert_refused(self, reason: str, name: str, *arguments: str | pathlib.Path) -> None:
        """Insist that a program ends at once with one line that says why."""
        code, output = self.run_program(name, *arguments)
        self.assertEqual(1, code, output)
        lines = output.strip().splitlines()
        self.assertEqual(1, len(lines), output)
        self.assertTrue(lines[0].startswith(f"kongming-{name}: "), output)
        self.assertIn(reason, lines[0])


def state(pid: int) -> str:
    """Return the state of a process as the kernel tells it, such as "S" or "T"."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    files = pathlib.Path(f"/proc/{pid}/fd").iterdir()
    return [os.readlink(file).partition(":")[0] for file in files].count("socket")


class StandaloneTest(ProgramTestCase):
    def start(self, *arguments: str | pathlib.Path) -> tuple[Program, str]:
        """Start it; return it and its URL."""
        state = self.directory / "state"
        program = self.program("standalone", "--port", "0", "--state-dir", state, *arguments)
        program.wait_for_output("KongMing answers on ")
        line = next(line for line in program.output.splitlines() if "KongMing answers" in line)
        return program, line.split()[-1]

    def test_life(self) -> None:
        (self.directory / "fleet.yaml").write_text(FLEET)
        program, url = self.start("--fleet", self.directory / "fleet.yaml")

        def hosts() -> list[str]:
            return [each["host_name"] for each in requests.get(f"{url}/v1/hosts").json()["hosts"]]

        self.eventually(lambda: hosts() == ["one", "two"])
        body: Any = {"instance_uuid": VNF, "cpu_policy": "dedicated", "vcpus": {"*": "4-7"}}
        self.assertEqual(201, requests.post(f"{url}/v1/pins", json=body).status_code)
        self.eventually(lambda: requests.get(f"{url}/v1/pins/{VNF}").json()["status"] == "applied")
        program.signal(signal.SIGHUP)
        self.assertEqual(200, requests.get(url).status_code)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())
        self.assertNotIn("Traceback", program.output)
        with self.assertRaises(requests.ConnectionError):
            requests.get(url)

        # all of its state is where it was told to keep it
        program, url = self.start("--fleet", self.directory / "fleet.yaml")
        self.assertEqual(1, len(requests.get(f"{url}/v1/pins").json()["pins"]))
        body = {"instance_uuid": OTHER, "vcpus": {"*": "7"}}
        self.assertEqual(409, requests.post(f"{url}/v1/pins", json=body).status_code)
        program.signal(signal.SIGINT)
        self.assertEqual(0, program.wait())
        self.assertNotIn("Traceback", program.output)

    def test_default_fleet_and_options_of_its_own(self) -> None:
        state = self.directory / "state"
        state.mkdir()
        (state / "more.conf").write_text("[api]\nmax_limit = 2\n")
        _, url = self.start()
        latest = {"OpenStack-API-Version": "resource_pin latest"}

        def hosts() -> list[Any]:
            found: list[Any] = requests.get(f"{url}/v1/hosts", headers=latest).json()["hosts"]
            return found

        self.eventually(lambda: len(requests.get(f"{url}/v1/hosts").json()["hosts"]) == 3)
        self.assertEqual(2, len(hosts()))

    def test_a_large_fleet_ends_as_fast(self) -> None:
        (self.directory / "fleet.yaml").write_text(
            "hosts:\n- {name: edge, count: 60, nodes: 1, cores_per_node: 2,"
            " memory_mib_per_node: 1024}\n"
        )
        program, url = self.start("--fleet", self.directory / "fleet.yaml")
        self.eventually(lambda: len(requests.get(f"{url}/v1/hosts").json()["hosts"]) == 60, 60)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())

    def test_refusal(self) -> None:
        fleet = self.directory / "fleet.yaml"
        fleet.write_text("hosts:\n- {name: one, nodes: 2, cores_per_node: none}\n")
        state = self.directory / "state"
        arguments = ("--fleet", fleet, "--state-dir", state, "--port", "0")
        self.assert_refused("hosts[0].cores_per_node", "standalone", *arguments)


class ApiTest(ProgramTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def configure_api(self, **options: Any) -> pathlib.Path:
        """Write a configuration with some options of [api]."""
        nowhere = "http://127.0.0.1:1"
        return self.configure(
            api={"port": self.port, **options},
            keystone_authtoken={
                "www_authenticate_uri": nowhere,
                "auth_type": "password",
                "auth_url": nowhere,
                "username": "kongming",
                "password": "secret",
                "project_name": "service",
                "http_request_max_retries": 0,
            },
        )

    def test_memcached_without_its_client(self) -> None:
        path = self.configure(
            keystone_authtoken={"auth_type": "none", "memcached_servers": "127.0.0.1:1"}
        )
        self.assert_refused("pip install 'kongming[memcache]'", "api", "--config-file", path)

    def start(self, workers: int = 1, **options: Any) -> Program:
        """Start it with a configuration."""
        path = self.configure_api(api_workers=workers, **options)
        program = self.program("api", "--config-file", path)
        program.wait_for_output("API answers on ", workers)
        return program

    def href(self) -> str:
        """Return the link to itself in the version document."""
        (version,) = requests.get(self.url, timeout=60).json()["versions"]
        href: str = version["links"][0]["href"]
        return href

    def test_workers(self) -> None:
        program = self.start(workers=3)
        workers = program.children()
        self.assertEqual(3, len(workers))
        for awake in workers:
            others = [pid for pid in workers if pid != awake]
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
                # until it is, it may take a connection
                self.eventually(lambda pid=pid: state(pid) == "T")  # type: ignore[misc]
            try:
                for path, status in (("/", 200), ("/v1", 200), ("/v1/pins", 401)):
                    answer = requests.get(self.url + path, timeout=60)
                    self.assertEqual(status, answer.status_code)
                # Keystone does not answer
                headers = {"X-Auth-Token": "x"}
                answer = requests.get(f"{self.url}/v1/pins", headers=headers, timeout=60)
                error = answer.json()["errors"][0]
                self.assertEqual(
                    (503, "resource_pin.unavailable"), (error["status"], error["code"])
                )
            finally:
                for pid in others:
                    os.kill(pid, signal.SIGCONT)
        # one that dies is replaced
        os.kill(workers[0], signal.SIGKILL)
        self.eventually(lambda: len(set(program.children()) - {workers[0]}) == 3, _START_SECONDS)
        self.assertEqual(200, requests.get(self.url, timeout=60).status_code)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())
        with self.assertRaises(requests.ConnectionError):
            requests.get(self.url, timeout=60)

    def test_hangup_reads_the_configuration(self) -> None:
        program = self.start(workers=2, public_endpoint="http://before.example.org")
        before = program.children()
        self.assertEqual("http://before.example.org/v1/", self.href())
        path = self.configure_api(api_workers=2, public_endpoint="http://after.example.org")
        form = "logging_default_format_string = NEW %(message)s"
        path.write_text(path.read_text().replace("[DEFAULT]", f"[DEFAULT]\n{form}"))
        self.assertEqual("http://before.example.org/v1/", self.href())
        self.assertNotIn("NEW", program.output)
        program.signal(signal.SIGHUP)
        self.eventually(
            lambda: len(program.children()) == 2 and not set(before) & set(program.children()),
            _START_SECONDS,
        )
        program.wait_for_output("NEW API answers on ", 2)
        # both workers
        for _ in range(20):
            self.assertEqual("http://after.example.org/v1/", self.href())
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())

    def test_hangup_loses_no_request(self) -> None:
        program = self.start()
        before = set(program.children())
        program.signal(signal.SIGHUP)

        def is_replaced() -> bool:
            self.assertEqual(200, requests.get(self.url, timeout=60).status_code)
            new = program.output.count("API answers on ") == 2
            return new and not before & set(program.children())

        self.eventually(is_replaced, _START_SECONDS)
        self.assertEqual(200, requests.get(self.url, timeout=60).status_code)

    def test_request_under_way_is_answered(self) -> None:
        program = self.start()
        (worker,) = program.children()
        idle = sockets(worker)
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
            self.eventually(lambda: sockets(worker) > idle)
            time.sleep(0.3)
            program.signal(signal.SIGTERM)
            # it listens no more
            self.eventually(lambda: sockets(worker) == idle)
            connection.sendall(b"way\r\n\r\n")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 OK"))
        self.assertEqual(0, program.wait())

    def test_tls(self) -> None:
        certificate, key = self.directory / "cert.pem", self.directory / "key.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", key, "-out", certificate,
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        program = self.start(enable_ssl_api=True, ssl_cert_file=certificate, ssl_key_file=key)
        self.assertIn(f"API answers on https://127.0.0.1:{self.port}", program.output)
        url = f"https://127.0.0.1:{self.port}"
        # who connects and says nothing holds up nobody
        silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(3)]
        for connection in silent:
            self.addCleanup(connection.close)
        # less than they may be silent
        answer = requests.get(url, verify=str(certificate), timeout=20)
        (version,) = answer.json()["versions"]
        self.assertEqual(f"{url}/v1/", version["links"][0]["href"])
        answer = requests.post(
            f"{url}/v1/pins", data=b"x" * 5 * 2**20, verify=str(certificate), timeout=10
        )
        self.assertEqual(413, answer.status_code)
        with self.assertRaises(requests.exceptions.SSLError):
            requests.get(url, timeout=60)
        with self.assertRaises(requests.ConnectionError):
            requests.get(self.url, timeout=60)
        self.assertEqual(200, requests.get(url, verify=str(certificate), timeout=60).status_code)
        self.assertNotIn("Traceback", program.output)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())

    def test_noauth_is_for_loopback(self) -> None:
        path = self.configure_api(auth_strategy="noauth", host_ip="0.0.0.0")
        self.assert_refused("loopback", "api", "--config-file", path)

    def test_noauth_on_loopback(self) -> None:
        self.configure_api()
        path = self.directory / "kongming.conf"
        self.assertEqual(0, self.run_program("dbsync", "--config-file", path, "upgrade")[0])
        address = "127.0.0.1"
        with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
            address = "::1"
            self.url = f"http://[::1]:{self.port}"
        program = self.start(auth_strategy="noauth", host_ip=address)
        self.assertIn(f"API answers on {self.url}", program.output)
        answer = requests.get(f"{self.url}/v1/hosts", timeout=60)
        self.assertEqual((200, {"hosts": []}), (answer.status_code, answer.json()))


class DbsyncTest(ProgramTestCase):
    def dbsync(self, *arguments: str) -> str:
        """Run it with the configuration; return its output."""
        path = self.directory / "kongming.conf"
        code, output = self.run_program("dbsync", "--config-file", path, *arguments)
        self.assertEqual(0, code, output)
        return output.strip()

    def test_commands(self) -> None:
        self.configure()
        self.assertEqual("none: run kongming-dbsync upgrade", self.dbsync("version"))
        self.assertIn("revision", self.dbsync("upgrade"))
        head = self.dbsync("version")
        self.assertRegex(head, r"^[0-9]{4}$")
        # again, and nothing changes
        self.dbsync("upgrade")
        self.dbsync("stamp", "head")
        self.dbsync("stamp", "0001")
        self.assertEqual("0001", self.dbsync("version"))

    def test_revision(self) -> None:
        """A new migration that finds nothing to do: models and migrations agree."""
        shutil.copytree(
            pathlib.Path(base.__file__).parents[1],
            self.directory / "kongming",
            ignore=shutil.ignore_patterns("tests", "__pycache__"),
        )
        self.configure()
        self.dbsync("upgrade")
        versions = self.directory / "kongming" / "db" / "migrations" / "versions"
        before = set(versions.glob("*.py"))
        program = self.useFixture(
            Program(
                sys.executable,
                "-c",
                "import sys, kongming.cmd.dbsync as program\n"
                f"assert program.__file__.startswith({str(self.directory)!r})\n"
                "program.main()",
                "--config-file",
                self.directory / "kongming.conf",
                "revision",
                "--autogenerate",
                "-m",
                "nothing to do",
                directory=self.directory,
            )
        )
        self.assertEqual(0, program.process.wait(_START_SECONDS), program.output)
        (new,) = set(versions.glob("*.py")) - before
        self.assertIn("nothing to do", new.read_text())
        self.assertNotIn("op.", new.read_text())

    def test_refusals(self) -> None:
        path = self.configure()
        self.assert_refused("'x'", "dbsync", "--config-file", path, "stamp", "x")
        path = self.configure(database={"connection": "sqlite:////nowhere/kongming.db"})
        self.assert_refused("unable to open", "dbsync", "--config-file", path, "upgrade")


class StatusTest(ProgramTestCase):
    def status(self, *arguments: str) -> tuple[int, str]:
        """Ask with the configuration."""
        path = self.directory / "kongming.conf"
        return self.run_program("status", "--config-file", path, "upgrade", "check", *arguments)

    def test_upgrade_check(self) -> None:
        path = self.configure(DEFAULT={"transport_url": "nonsense://"})
        code, output = self.status("--json")
        checks = json.loads(output.splitlines()[-1])["checks"]
        told = {check["check"]: check["result"] for check in checks}
        findings = {"Database schema": 1, "Policy file": 0, "Conductors": 1, "Hosts": 0}
        self.assertEqual((1, findings), (code, told))
        self.run_program("dbsync", "--config-file", path, "upgrade")
        code, output = self.status()
        self.assertEqual((1, 1), (code, output.count("Result: Warning")), output)
        self.assertIn("nonsense", output)
        (self.directory / "policy.yaml").write_text("nonsense")
        self.assertEqual(2, self.status()[0])

    def test_what_is_logged_is_not_printed(self) -> None:
        path = self.configure(DEFAULT={"transport_url": f"rabbit://127.0.0.1:{free_port()}/"})
        program = str(_BIN / "kongming-status")
        ask = [program, "--config-file", str(path), "upgrade", "check", "--json"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        self.assertEqual(4, len(json.loads(done.stdout)["checks"]))
        self.assertIn("Connection refused", done.stderr)


class WorkersTest(ProgramTestCase):
    """Conductor and agent; the broker is the tests' own, or nobody."""

    def end(self, program: Program, seconds: float = _STOP_SECONDS) -> None:
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait(seconds), program.output)
        self.assertNotIn("Traceback", program.output)

    def test_conductor(self) -> None:
        path = self.configure(
            DEFAULT={"transport_url": "kombu+memory://"}, conductor={"workers": 2}
        )
        program = self.program("conductor", "--config-file", path)
        program.wait_for_output("Conductor is ready", 2)
        self.assertEqual(2, len(program.children()))
        program.signal(signal.SIGHUP)
        program.wait_for_output("Conductor is ready", 4)
        self.end(program)

    def test_what_is_missing(self) -> None:
        path = self.configure(
            api={"port": free_port()},
            keystone_authtoken={"auth_type": "none"},
            database={"connection": ""},
            agent={"hypervisor": "colour"},
        )
        for program in ("api", "conductor", "dbsync"):
            arguments = ("upgrade",) if program == "dbsync" else ()
            self.assert_refused(
                "value required for option connection in group [database]",
                *(program, "--config-file", path, *arguments),
            )
        self.assert_refused("there is no driver 'colour'", "agent", "--config-file", path)

    def test_agent_that_could_never_work(self) -> None:
        nowhere = self.directory / "file" / "state"
        nowhere.parent.touch()
        for option, value, reason in (
            ("managed_cpus", "4-x", "[agent] managed_cpus: '4-x' is neither"),
            ("reserved_memory_mib", "0:much", "[agent] reserved_memory_mib: '0:much' is not"),
            ("state_dir", nowhere, str(nowhere)),
        ):
            agent = {"hypervisor": "simulated", "state_dir": self.directory} | {option: value}
            path = self.configure(agent=agent)
            self.assert_refused(reason, "agent", "--config-file", path)
        state = self.directory / "state"
        state.mkdir()
        (state / "agent.conf").write_text("[agent]\nmanaged_cpus = 4-x\n")
        _, output = self.run_program("standalone", "--port", "0", "--state-dir", state)
        self.assertIn("kongming-standalone: [agent] managed_cpus: '4-x'", output)
        self.assertNotIn("Traceback", output)

    def test_nowhere_to_log(self) -> None:
        nowhere = self.directory / "none/kongming.log"
        for option in ("log_file", "log_config_append"):
            path = self.configure(DEFAULT={option: nowhere})
            self.assert_refused(str(nowhere), "conductor", "--config-file", path)

    def test_libvirt_that_is_not_installed(self) -> None:
        path = self.configure()
        # a module of that name whose own import fails as if it were not there
        libvirt = "raise ModuleNotFoundError(\"No module named 'libvirt'\", name='libvirt')\n"
        (self.directory / "libvirt.py").write_text(libvirt)
        self.useFixture(fixtures.EnvironmentVariable("PYTHONPATH", str(self.directory)))
        words = "No module named 'libvirt'; pip install 'kongming[libvirt]'"
        self.assert_refused(words, "agent", "--config-file", path)
        state = self.directory / "state"
        uri = ("--libvirt-uri", "qemu:///system", "--state-dir", state)
        self.assert_refused(words, "standalone", *uri)

    def test_agent(self) -> None:
        (self.directory / "fleet.yaml").write_text(FLEET)
        path = self.configure(
            DEFAULT={"transport_url": "kombu+memory://", "host": "one"},
            agent={"hypervisor": "simulated", "state_dir": self.directory / "state"},
            simulated={"fleet": self.directory / "fleet.yaml"},
        )
        program = self.program("agent", "--config-file", path)
        program.wait_for_output("Agent of host one is ready")
        # it waits for a conductor that does not answer
        self.end(program)

    def test_report_of_what_hangs(self) -> None:
        keystone = {"auth_type": "password", "password": "s3cret"}
        path = self.configure(
            DEFAULT={"transport_url": "kombu+memory://someone:s3cret@"},
            conductor={"workers": 1},
            notifications={"transport_url": "rabbit://someone:s3cret@broker"},
            oslo_messaging_notifications={"transport_url": "rabbit://someone:s3cret@broker"},
            service_credentials=keystone,
        )
        program = self.program("conductor", "--config-file", path)
        program.wait_for_output("Conductor is ready")
        (worker,) = program.children()
        os.kill(worker, signal.SIGUSR2)
        program.wait_for_output("waiting_pin_ttl = 900")
        # what each thread does, and by which options
        for words in ("Guru Meditation", "kongming/conductor/expiry.py"):
            self.assertIn(words, program.output)
        self.assertNotIn("s3cret", program.output)
        self.assertEqual([worker], program.children())
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())

    def test_without_a_broker(self) -> None:
        (self.directory / "fleet.yaml").write_text(FLEET)
        path = self.configure(
            DEFAULT={"transport_url": f"rabbit://127.0.0.1:{free_port()}/", "host": "one"},
            agent={"hypervisor": "simulated", "state_dir": self.directory / "state"},
            simulated={"fleet": self.directory / "fleet.yaml"},
        )
        self.run_program("dbsync", "--config-file", path, "upgrade")
        for name in ("conductor", "agent"):
            program = self.program(name, "--config-file", path)
            program.wait_for_output("Connection refused")
            # far sooner than systemd, or oslo.service, would kill it
            self.end(program, 20)

    def test_stand_alone_agent_without_a_broker(self) -> None:
        (self.directory / "fleet.yaml").write_text(FLEET)
        path = self.configure(
            DEFAULT={"transport_url": f"rabbit://127.0.0.1:{free_port()}/", "host": "one"},
            agent={
                "standalone": True,
                "hypervisor": "simulated",
                "state_dir": self.directory / "state",
            },
            simulated={"fleet": self.directory / "fleet.yaml"},
        )
        program = self.program("agent", "--config-file", path)
        program.wait_for_output("Stand-alone agent of host one is ready")
        self.end(program)

    def test_notifications_that_cannot_be_listened_to(self) -> None:
        for name, options, reason in (
            ("conductor", {"handlers": "colour"}, "there is no 'colour'"),
            ("conductor", {"handlers": "legacy"}, "[service_credentials] auth_type"),
            ("agent", {"handlers": "colour"}, "there is no 'colour'"),
            ("agent", {"transport_url": "nonsense"}, "[notifications] transport_url"),
        ):
            alone = {"standalone": True, "hypervisor": "simulated"}
            path = self.configure(notifications=options, agent=alone)
            self.assert_refused(reason, name, "--config-file", path)


class WsgiTest(ProgramTestCase):
    """The application under a server that is not ours."""

    SERVER = """
from wsgiref import simple_server
from kongming.wsgi.api import application
server = simple_server.make_server("127.0.0.1", 0, application)
print("port", server.server_port, "is ready", flush=True)
server.serve_forever()
"""

    def start(self, **api: Any) -> Program:
        """Start a server."""
        keystone = {"www_authenticate_uri": "http://127.0.0.1:1", "auth_type": "none"}
        path = self.configure(api=api, keystone_authtoken=keystone)
        environment = {"OS_KONGMING_CONFIG_FILE": str(path)}
        return self.useFixture(Program(sys.executable, "-c", self.SERVER, environment=environment))

    def test_keystone(self) -> None:
        program = self.start()
        program.wait_for_output(" is ready")
        port = next(line for line in program.output.splitlines() if "is ready" in line).split()[1]
        url = f"http://127.0.0.1:{port}"
        self.assertEqual(200, requests.get(f"{url}/", timeout=60).status_code)
        for method, path, body, status in (
            ("GET", "/v1/pins", None, 401),
            ("POST", "/v1/pins", b"{}", 401),
            ("POST", "/v1/pins", b"x" * 200000, 413),
            ("POST", "/v1", None, 405),
            ("GET", "/v1/%ff", None, 401),
        ):
            answer = requests.request(method, url + path, data=body, timeout=60)
            self.assertEqual(status, answer.status_code, answer.text)
            (error,) = answer.json()["errors"]
            self.assertEqual(status, error["status"])
            self.assertEqual(answer.headers["X-OpenStack-Request-Id"], error["request_id"])
        (version,) = requests.get(f"{url}/v1", timeout=60).json().values()
        self.assertEqual(f"{url}/v1/", parse.unquote(version["links"][0]["href"]))

    def test_noauth_is_refused(self) -> None:
        program = self.start(auth_strategy="noauth", host_ip="127.0.0.1")
        self.assertNotEqual(0, program.process.wait(_START_SECONDS))
        self.assertIn("ConfigurationError: [api] auth_strategy must be keystone", program.output)
