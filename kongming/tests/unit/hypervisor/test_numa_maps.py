# SPDX-License-Identifier: Apache-2.0
"""What Linux 6.1 wrote of QEMU 7.2 on a machine with four NUMA nodes."""

import testtools

from kongming.hypervisor import numa_maps
from kongming.hypervisor.numa_maps import Region

NUMA_MAPS = """\
56177a313000 default file=/usr/bin/qemu-system-x86_64 mapped=1031 N2=1031 kernelpagesize_kB=4
5617a1269000 default heap anon=1021 dirty=1021 active=0 N0=8 N1=1013 kernelpagesize_kB=4
7f1780021000 default
7f1789400000 bind:0 anon=48640 dirty=48640 active=0 N0=48640 kernelpagesize_kB=4
7f17be10a000 default file=/usr/lib/x86_64-linux-gnu/libc.so.6 anon=4 dirty=4 active=0 N0=4 \
kernelpagesize_kB=4
7ffe24a74000 default stack anon=5 dirty=5 active=1 N1=5 kernelpagesize_kB=4
"""
SMAPS = """\
56177a313000-56177a71a000 r--p 00000000 fe:00 760                        \
/usr/bin/qemu-system-x86_64
Size:               4124 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
VmFlags: rd mr mw me sd
7f177ba00000-7f177bc00000 rw-p 00000000 00:00 0
Size:               2048 kB
AnonHugePages:      2048 kB
ShmemPmdMapped:        0 kB
VmFlags: rd wr mr mw me ac sd
7f1789400000-7f1795200000 rw-s 00000000 00:01 3081                       /memfd:pc.ram (deleted)
AnonHugePages:         0 kB
ShmemPmdMapped:    16384 kB
"""


class NumaMapsTest(testtools.TestCase):
    def test_regions_of_memory(self) -> None:
        regions = [
            Region(0x5617A1269000, "default", 4, {0: 8, 1: 1013}),
            Region(0x7F1789400000, "bind:0", 4, {0: 48640}),
            Region(0x7FFE24A74000, "default", 4, {1: 5}),
        ]
        self.assertEqual(regions, list(numa_maps.parse(NUMA_MAPS)))
        self.assertEqual({4: {0: 190, 1: 3}}, numa_maps.residency(regions))

    def test_extents(self) -> None:
        self.assertEqual(
            {
                0x56177A313000: (0x56177A71A000, False),
                0x7F177BA00000: (0x7F177BC00000, True),
                0x7F1789400000: (0x7F1795200000, True),
            },
            numa_maps.extents(SMAPS),
        )
