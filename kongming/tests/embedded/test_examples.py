# SPDX-License-Identifier: Apache-2.0
"""The examples in etc/, and what the generators of samples make, in use."""

import os
import pathlib
import signal
import stat
import subprocess
import sys

import requests
import yaml

from kongming.tests import base
from kongming.tests.embedded.test_programs import Program, ProgramTestCase
from kongming.tests.functional.fixtures.server import free_port

_ETC = pathlib.Path(base.__file__).parents[2] / "etc"
_BIN = pathlib.Path(sys.executable).parent


class UwsgiTest(ProgramTestCase):
    def serve(self, example: str) -> Program:
        """Start uWSGI with a configuration, and wait for its processes."""
        keystone = {"auth_type": "none", "www_authenticate_uri": "http://127.0.0.1:1"}
        conf = self.configure(keystone_authtoken=keystone)
        (self.directory / "uwsgi.ini").write_text(example)
        program = self.useFixture(
            Program(
                _BIN / "pyuwsgi",
                "--ini",
                self.directory / "uwsgi.ini",
                environment={"OS_KONGMING_CONFIG_FILE": str(conf)},
            )
        )
        program.wait_for_output("WSGI app 0 (mountpoint='') ready", 4)
        return program

    def test_serves(self) -> None:
        port = free_port()
        example = (_ETC / "kongming/uwsgi.ini").read_text().replace("9517", str(port))
        program = self.serve(example)
        url = f"http://127.0.0.1:{port}"
        for path, status in (("/", 200), ("/v1/pins", 401), ("/healthcheck", 503)):
            self.assertEqual(status, requests.get(url + path, timeout=30).status_code)
        # bodies are bounded here too, and what was not read does not spoil what follows
        answer = requests.post(f"{url}/v1/pins", data=b"x" * 200000, timeout=30)
        self.assertEqual(413, answer.status_code)
        self.assertEqual(200, requests.get(url, timeout=30).status_code)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, program.wait())

    def test_only_the_group_gets_to_the_socket(self) -> None:
        socket = self.directory / "api.socket"
        example = (_ETC / "kongming/uwsgi.ini").read_text()
        for there, here in (
            ("http-socket = 127.0.0.1:9517\n", ""),
            ("# socket = /run/kongming/api.socket", f"socket = {socket}"),
            # a group that whoever runs this may give
            ("# chown-socket = :www-data", f"chown-socket = :{os.getgid()}"),
            ("# chmod-socket = ", "chmod-socket = "),
        ):
            self.assertIn(there, example)
            example = example.replace(there, here)
        program = self.serve(example)
        self.assertEqual(0o660, stat.S_IMODE(socket.stat().st_mode))
        program.signal(signal.SIGTERM)
        # a process that does not see the signal while it starts is killed after 60 s of mercy
        self.assertEqual(0, program.wait(120))


class SamplesTest(ProgramTestCase):
    def generate(self, program: str, name: str) -> str:
        """Return what a generator writes."""
        output = self.directory / "sample"
        subprocess.run(
            [_BIN / program, "--config-file", _ETC / "kongming" / name, "--output-file", output],
            check=True,
            capture_output=True,
        )
        return output.read_text()

    def test_configuration(self) -> None:
        sample = self.generate("oslo-config-generator", "kongming-config-generator.conf")
        for line in (
            "#waiting_pin_ttl = 900",
            "#backends = kongming_database,kongming_conductor",
            "#max_request_body_size = 114688",
            "#auth_type = <None>",
        ):
            self.assertIn(f"\n{line}\n", sample)
        # a copy changes nothing, and every program takes it
        (self.directory / "kongming.conf").write_text(sample)
        code, output = self.run_program(
            "dbsync", "--config-file", self.directory / "kongming.conf", "version"
        )
        self.assertEqual(1, code)
        self.assertNotIn("Traceback", output)

    def test_nova(self) -> None:
        sample = self.generate("oslo-config-generator", "nova-config-generator.conf")
        for line in ("[kongming]", "[kongming_credentials]", "#on_error = fail"):
            self.assertIn(f"\n{line}\n", sample)

    def test_policy(self) -> None:
        sample = self.generate("oslopolicy-sample-generator", "kongming-policy-generator.conf")
        rules = [line[1:] for line in sample.splitlines() if line.startswith('#"')]
        self.assertIn("resource_pin:pins:create", yaml.safe_load("\n".join(rules)))
