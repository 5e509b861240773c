# SPDX-License-Identifier: Apache-2.0
"""Room for the memory of an instance that shall move."""

import testtools

from kongming.hypervisor import headroom
from kongming.hypervisor.driver import HypervisorError
from kongming.topology.host import Host, NumaNode, Pages

UUID = "59f0f179-a1fb-4cf9-90a2-5937446018f1"


def node(number: int, free_mib: int) -> NumaNode:
    """Return a NUMA node with that much free, and 512 MiB in pages of 2 MiB."""
    pages = (Pages(4, 1 << 20, free_mib * 256), Pages(2048, 512, 256))
    return NumaNode(number, 0, 5120, pages)


HOST = Host((node(0, 2048), node(1, 2048), node(2, 1024)))


class RequireTest(testtools.TestCase):
    def require(
        self, mask: int, *, small: int = 0, huge: int = 0, reserved: dict[int, int] | None = None
    ) -> None:
        """Ask for an instance with MiB of both page sizes on NUMA node 0."""
        held = {4: {0: small}, 2048: {0: huge}}
        headroom.require(UUID, held, mask, HOST, reserved or {})

    def refused(self, mask: int, **asked: int | dict[int, int]) -> str:
        return str(self.assertRaises(HypervisorError, self.require, mask, **asked))

    def test_something_stays_free_on_each_target(self) -> None:
        self.require(0b010, small=2048 - 256)
        self.assertIn("must keep 256 MiB", self.refused(0b010, small=2049 - 256))
        self.require(0b110, small=3072 - 512)
        self.assertIn("must keep 512 MiB", self.refused(0b110, small=3073 - 512))

    def test_what_the_operator_reserves_stays_free(self) -> None:
        self.require(0b010, small=1048, reserved={1: 1000})
        message = self.refused(0b010, small=1049, reserved={1: 1000})
        self.assertEqual(
            f"1049 MiB of instance {UUID} in pages of 4 KiB would move to NUMA node 1, which has"
            " 2048 MiB of them free and must keep 1000 MiB",
            message,
        )
        self.assertIn("keep 1256 MiB", self.refused(0b110, small=1817, reserved={1: 1000}))

    def test_a_reserve_that_is_less_or_elsewhere_changes_nothing(self) -> None:
        self.require(0b010, small=2048 - 256, reserved={1: 255, 2: 1000})

    def test_huge_pages_are_not_reserved(self) -> None:
        self.require(0b010, huge=512, reserved={1: 2048})
        self.assertIn("must keep 0 MiB", self.refused(0b010, huge=513, reserved={1: 2048}))

    def test_what_stays_needs_no_room(self) -> None:
        self.require(0b001, small=9999, huge=9999, reserved={0: 9999})
