# SPDX-License-Identifier: Apache-2.0

import os
import signal
from importlib import metadata

import fixtures

from kongming import guru
from kongming.tests import base


class GuruTest(base.TestCase):
    def test_signal(self) -> None:
        self.addCleanup(signal.signal, signal.SIGUSR2, signal.getsignal(signal.SIGUSR2))
        output = self.useFixture(fixtures.StringStream("stderr")).stream
        self.useFixture(fixtures.MonkeyPatch("sys.stderr", output))
        guru.report_on_signal()
        os.kill(os.getpid(), signal.SIGUSR2)
        output.seek(0)
        report = output.read()
        self.assertIn(f"version = {metadata.version('kongming')}", report)
        self.assertIn("product = KongMing", report)
        self.assertIn("test_guru.py", report)  # what this thread does
