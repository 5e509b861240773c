# SPDX-License-Identifier: Apache-2.0
"""``openstack resource pin … --wait`` in a terminal, and where there is none."""

import codecs
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from typing import Any

from kongming.tests.embedded import test_moves
from kongming.tests.embedded.base import VNF

OPENSTACK = pathlib.Path(sys.executable).with_name("openstack")
COLUMNS = 80
CTRL_C = b"\x03"
MOVE = ("set", VNF, "--memory-nodes", "1", "--wait")


class TerminalTest(test_moves.MovesTestCase):
    fleet_text = test_moves.SLOW

    def setUp(self) -> None:
        super().setUp()
        self.pin(vcpus={"*": "4-7"}, memory={"nodes": "0"})
        self.wait_for("applied")

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[str]:
        """Start ``openstack resource pin``; a terminal that is its standard input is its own."""
        environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        where = ("--os-auth-type", "none", "--os-endpoint", f"{self.kongming.url}/v1")
        # whoever runs the tests in the background has them ignore Ctrl-C
        own = ["env", "--default-signal=INT"]
        if os.isatty(streams["stdin"]):
            own += ["setsid", "--ctty"]
        program = subprocess.Popen(
            [*own, OPENSTACK, *where, "resource", "pin", *words],
            env={**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            text=True,
            **streams,
        )
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def terminal(self) -> tuple[int, int, list[str]]:
        """Return a terminal, the end at which people sit, and what they see from now on."""
        people, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        seen: list[str] = []

        def read() -> None:
            # the terminal is gone with the last program in it
            decoder = codecs.getincrementaldecoder("utf-8")()
            try:
                while data := os.read(people, 65536):
                    seen.append(decoder.decode(data))
            except OSError:
                pass

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        self.addCleanup(os.close, people)
        self.addCleanup(reader.join)
        return people, terminal, seen

    def test_bar(self) -> None:
        people, terminal, seen = self.terminal()
        program = self.start(*MOVE, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        drawn = rf"{VNF} pending\x1b?.*━.*[1-9]\d* of 2048 MiB, \d+ MiB/s"
        self.eventually(lambda: re.search(drawn, "".join(seen)), 60)
        os.write(people, CTRL_C)
        self.assertEqual(130, program.wait(60))
        words = (
            f"Nothing was stopped but the wait, which 'openstack resource pin wait {VNF}' takes up."
        )
        # the cursor is there again, and the bar is not
        for part in (words, "\x1b[?25h", "\x1b[2K"):
            self.eventually(lambda part=part: part in "".join(seen))  # type: ignore[misc]
        self.assertNotIn("Traceback", "".join(seen))
        moved = self.moved()
        self.eventually(lambda: self.moved() > moved)

    def test_no_terminal(self) -> None:
        nothing = self.enterContext(open(os.devnull))
        pipes = {"stdin": nothing.fileno(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        there = {"vcpus": {"*": "4-7"}, "memory": {"nodes": "1"}}
        self.request("PUT", f"/v1/pins/{VNF}", json=there)
        self.eventually(self.moved)
        program = self.start("wait", VNF, "--timeout", "2", **pipes)
        out, err = program.communicate(timeout=60)
        self.assertEqual((1, ""), (program.returncode, out), err)
        self.assertRegex(err, rf"{VNF} pending \d+ of 2048 MiB, \d+ MiB/s\n")
        self.assertNotRegex(err, r"[^\n\x20-\x7e]")

    def test_output_into_a_pipe(self) -> None:
        _, terminal, seen = self.terminal()
        streams = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": terminal}
        program = self.start("set", VNF, "--emulator", "1", "--wait", **streams)
        os.close(terminal)
        out, _ = program.communicate(timeout=60)
        self.assertEqual(0, program.returncode, "".join(seen))
        self.assertIn("| status        | applied", out)
        self.assertNotRegex(out, r"[^\n\x20-\x7e]")
        self.eventually(lambda: f"{VNF} applied" in "".join(seen))

    def moved(self) -> int:
        """Return how much of the memory has moved."""
        moved: int = self.get(test_moves.MOVE).json()["moved_mib"]
        return moved
