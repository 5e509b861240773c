# SPDX-License-Identifier: Apache-2.0

import pathlib

import fixtures
import testtools

from kongming.hypervisor import files


class TestFiles(testtools.TestCase):
    def test_what_is_no_text(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "comm"
        path.write_bytes(b"qemu\xff\xc3\xa9\n" + b"x" * 100_000)
        self.assertEqual("qemu\ufffd\u00e9\n" + "x" * 100_000, files.read(str(path)))

    def test_of_the_kernel(self) -> None:
        self.assertIn("python", files.read("/proc/self/cmdline"))

    def test_nothing_there(self) -> None:
        self.assertRaises(FileNotFoundError, files.read, "/proc/self/none")
