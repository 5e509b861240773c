# SPDX-License-Identifier: Apache-2.0
"""CPU time on hosts of operators, where systemd has the groups, with either version of them."""

import shlex

from kongming.tests.numa import base
from kongming.tests.numa.fixtures import guest
from kongming.topology import bandwidth, qos
from kongming.topology.placement import Placement

WISH = {
    "cpu_shares": 2048,
    "global_quota": 150000,
    "vcpu_quota": 80000,
    "emulator_quota": 20000,
    "emulator_period": 50000,
    "iothread_quota": 30000,
    "vcpus": {"1": {"quota": 25000, "period": 50000, "weight": 200}},
}
NUMBERS = Placement(qos.parse("qos", WISH).parts(2, [1]))


class OnV2(base.NumaCase):
    """With control groups of version 2."""

    cgroup: guest.Cgroup = "v2"
    root = "/sys/fs/cgroup"
    files = {
        "libvirt/emulator/cpu.max": "20000 50000",
        "libvirt/iothread1/cpu.max": "30000 100000",
        "libvirt/vcpu0/cpu.max": "80000 100000",
        "libvirt/vcpu0/cpu.weight": "100",
        "libvirt/vcpu1/cpu.max": "25000 50000",
        "libvirt/vcpu1/cpu.weight": "200",
        "libvirt/cpu.max": "150000 100000",
        "cpu.weight": "200",
    }

    def setUp(self) -> None:
        super().setUp()
        self.lab = self.guest(self.cgroup)
        self.uuid = self.start(self.lab, memory_mib=64, iothreads=1)
        (thread, *_) = self.lab.run_program("where", uuid=self.uuid)["threads"]["emulator"]
        self.scope = self.root + thread["cgroup"].removesuffix("/libvirt/emulator")

    def placed(self, scope: str, numbers: Placement) -> Placement:
        """Write numbers, read them, and insist on them; return all that was read."""
        writes = [
            ("write", self.uuid, scope, f"{part.kind}{part.number}", str(value))
            for part, value in numbers.items()
        ]
        *_, data = self.call(self.lab, *writes, ("read", self.uuid, scope))
        read = Placement.from_dict(data)
        self.assertEqual([], numbers.differences(read))
        return read

    def found(self) -> dict[str, str]:
        """Return what the files say."""
        paths = [shlex.quote(f"{self.scope}/{name}") for name in self.files]
        lines = self.lab.run("cat", *paths).stdout.splitlines()
        return dict(zip(self.files, lines, strict=True))

    def test_there_and_back(self) -> None:
        before = self.found()
        self.placed("live", Placement(bandwidth.ordered(NUMBERS, {})))
        self.assertEqual(self.files, self.found())
        free = Placement((part, part.default) for part in NUMBERS)
        read = self.placed("live", Placement(bandwidth.ordered(free, NUMBERS)))
        self.assertEqual(read.places, read)
        self.assertEqual(before, self.found())

    def test_the_definition(self) -> None:
        defined = Placement((part, n) for part, n in NUMBERS.items() if not part.is_live_only)
        self.assertEqual(defined, self.placed("persistent", defined))


class OnV1(OnV2):
    """With control groups of version 1."""

    cgroup = "v1"
    root = "/sys/fs/cgroup/cpu"
    files = {
        "libvirt/emulator/cpu.cfs_quota_us": "20000",
        "libvirt/emulator/cpu.cfs_period_us": "50000",
        "libvirt/iothread1/cpu.cfs_quota_us": "30000",
        "libvirt/vcpu0/cpu.cfs_quota_us": "80000",
        "libvirt/vcpu0/cpu.shares": "1024",
        "libvirt/vcpu1/cpu.cfs_quota_us": "25000",
        "libvirt/vcpu1/cpu.cfs_period_us": "50000",
        "libvirt/vcpu1/cpu.shares": "2048",
        "libvirt/cpu.cfs_quota_us": "150000",
        "cpu.shares": "2048",
    }
