# SPDX-License-Identifier: Apache-2.0
"""What is in the way of memory, told from files of this machine and from some made up."""

import os
import pathlib

import fixtures
import testtools

from kongming.hypervisor import obstacles


class ObstaclesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def pinning(self, *targets: str) -> list[str]:
        """Return what open files of these names mean."""
        (self.proc / "40/fd").mkdir(parents=True)
        for number, target in enumerate(targets):
            (self.proc / f"40/fd/{number}").symlink_to(target)
        return obstacles.pinning(40, str(self.proc))

    def test_passed_through_devices(self) -> None:
        found = self.pinning("/dev/vfio/vfio", "/dev/vfio/12", "/dev/kvm", "/dev/vhost-net")
        words = "a passed-through device (VFIO), /dev/vfio/"
        self.assertEqual([f"{words}12", f"{words}vfio"], found)

    def test_others_that_pin(self) -> None:
        found = self.pinning("/dev/iommu", "/dev/vhost-vdpa-0", "/dev/sev", "/dev/infiniband/u0")
        self.assertEqual(4, len(found))

    def test_an_ordinary_process(self) -> None:
        self.assertEqual([], obstacles.pinning(os.getpid()))
        self.assertEqual([], self.pinning("/dev/kvm", "socket:[1]", "/dev/vfio-like"))

    def test_other_movers(self) -> None:
        (self.proc / "sys/kernel").mkdir(parents=True)
        setting = self.proc / "sys/kernel/numa_balancing"
        self.assertEqual([], obstacles.movers(str(self.proc)))
        setting.write_text("0\n")
        self.assertEqual([], obstacles.movers(str(self.proc)))
        setting.write_text("1\n")
        (self.proc / "50").mkdir()
        (self.proc / "51").mkdir()
        (self.proc / "51/comm").write_text("numad\n")
        self.assertEqual(
            ["the kernel's NUMA balancing (kernel.numa_balancing)", "numad"],
            obstacles.movers(str(self.proc)),
        )
