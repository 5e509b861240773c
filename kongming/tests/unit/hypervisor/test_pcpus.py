# SPDX-License-Identifier: Apache-2.0
"""The lists of isolated pCPUs, as kernels of several ages have them."""

import pathlib

import fixtures

from kongming.hypervisor import pcpus
from kongming.tests import base


class IsolatedTest(base.BareTestCase):
    def test_lists_of_boot_and_of_partitions(self) -> None:
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.assertEqual(0, pcpus.isolated(root))
        for name, text, expected in (
            ("devices/system/cpu/isolated", "\n", 0),
            ("devices/system/cpu/isolated", "2-3,6\n", 0b100_1100),
            ("fs/cgroup/cpuset.cpus.isolated", "0,6\n", 0b100_1101),
            ("devices/system/cpu/isolated", "\n", 0b100_0001),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            self.assertEqual(expected, pcpus.isolated(root))
