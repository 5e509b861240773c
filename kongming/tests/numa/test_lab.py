# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what the other tests on NUMA nodes take for granted."""

from kongming.tests.numa import base
from kongming.tests.numa.fixtures import guest
from kongming.topology.host import Host

MEMORY_MIB = 256
CGROUP_ROOTS = {"v1": "tmpfs", "v2": "cgroup2fs"}


class OnV2(base.NumaCase):
    """With control groups of version 2."""

    cgroup: guest.Cgroup = "v2"

    def setUp(self) -> None:
        super().setUp()
        self.lab = self.guest(self.cgroup)

    def test_commands(self) -> None:
        done = self.lab.run("cat; exit 3", stdin=b"said")
        self.assertEqual((3, "said"), (done.returncode, done.stdout))

    def test_control_groups(self) -> None:
        root = self.lab.run("stat", "-f", "-c", "%T", "/sys/fs/cgroup").stdout.strip()
        self.assertEqual(CGROUP_ROOTS[self.cgroup], root)

    def test_the_driver_reports_the_nodes(self) -> None:
        machine = self.lab.machine
        (answer,) = self.call(self.lab, ("host",))
        nodes = Host.from_dict(answer).nodes
        self.assertEqual(list(range(machine.nodes)), [node.id for node in nodes])
        for node in nodes:
            cpus = machine.cpus_of(node.id)
            self.assertEqual(sum(1 << cpu for cpu in cpus), node.cpus)
            self.assertEqual([node.cpus], [core.cpus for core in node.cores])
            distances = {other: machine.distance(node.id, other) for other in range(machine.nodes)}
            self.assertEqual(distances, dict(node.distances))
            # The kernel keeps some for itself.
            self.assertTrue(machine.node_mib * 0.85 < node.memory_mib <= machine.node_mib, node)
            pages = {each.size_kib: each for each in node.pages}
            self.assertEqual(base.HUGE_PAGES, pages[2048].total)
            self.assertEqual(base.HUGE_PAGES, pages[2048].free)

    def test_memory_that_is_allocated_first(self) -> None:
        uuid = self.start(self.lab, memory_mib=MEMORY_MIB, mode="strict", nodes="1", allocate=True)
        where = self.lab.run_program("where", uuid=uuid)
        self.assertEqual({1: MEMORY_MIB}, base.mib_by_node(where))

    def test_pins(self) -> None:
        uuid = self.start(self.lab, memory_mib=64, iothreads=1)
        wanted = {
            "vcpus": {"0": "4", "1": "5"},
            "emulator": "6-7",
            "iothreads": {"1": "2-3"},
        }
        pins = {"vcpu0": "4", "vcpu1": "5", "emulator": "6-7", "iothread1": "2-3"}
        writes = [("write", uuid, "live", part, cpus) for part, cpus in pins.items()]
        *_, placement = self.call(self.lab, *writes, ("read", uuid, "live"))
        self.assertEqual(wanted | {"memory": {"nodes": "0-3"}}, placement)
        threads = self.lab.run_program("where", uuid=uuid)["threads"]
        self.assertEqual(
            {part: {cpus} for part, cpus in pins.items()},
            {part: {each["cpus"] for each in of_part} for part, of_part in threads.items()},
        )
        for part, of_part in threads.items():
            for each in of_part:
                # As on a host of an operator, where systemd has the groups.
                self.assertRegex(
                    each["cgroup"], rf"^/machine\.slice/machine-qemu.*\.scope/libvirt/{part}$"
                )


class OnV1(OnV2):
    """With control groups of version 1."""

    cgroup = "v1"
