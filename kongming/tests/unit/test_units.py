# SPDX-License-Identifier: Apache-2.0
"""The units for systemd: that they are well-formed, and grant no more than is needed."""

import configparser
import pathlib
import re
import shutil
import subprocess

import fixtures

import kongming
from kongming.tests import base

UNITS = pathlib.Path(kongming.__file__).parents[1] / "etc" / "systemd"
NAMES = ("kongming-agent", "kongming-api", "kongming-conductor")
#: What `systemd-analyze security` gives at most: from 0, nothing is granted, to 10.
HIGHEST_EXPOSURE = 3.0


class UnitsTest(base.BareTestCase):
    def service(self, name: str) -> configparser.SectionProxy:
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        self.assertTrue(unit.read(UNITS / f"{name}.service"))
        return unit["Service"]

    def test_there_is_one_for_each_service(self) -> None:
        self.assertEqual(list(NAMES), sorted(path.stem for path in UNITS.iterdir()))

    def test_none_is_root(self) -> None:
        for name in NAMES:
            service = self.service(name)
            self.assertEqual(("kongming", "yes"), (service["User"], service["NoNewPrivileges"]))
            self.assertTrue(service["ExecStart"].startswith(f"/usr/bin/{name} "))
            self.assertEqual("strict", service["ProtectSystem"])

    def test_capabilities(self) -> None:
        for name in NAMES:
            service = self.service(name)
            granted = set(service["AmbientCapabilities"].lower().split())
            self.assertEqual(granted, set(service["CapabilityBoundingSet"].lower().split()))
            needed = {"cap_dac_override", "cap_sys_nice", "cap_sys_ptrace"}
            self.assertEqual(needed if name == "kongming-agent" else set(), granted)

    def test_address_families(self) -> None:
        for name in NAMES:
            families = set(self.service(name)["RestrictAddressFamilies"].split())
            needed = {"AF_INET", "AF_INET6", "AF_UNIX"}
            # over which the kernel tells that a CPU comes or goes
            needed |= {"AF_NETLINK"} if name == "kongming-agent" else set()
            self.assertEqual(needed, families)

    def test_systemd_agrees(self) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("there is no systemd-analyze")
        directory = self.useFixture(fixtures.TempDir()).path
        for name in NAMES:
            # that the programs are not there is no mistake of the unit
            text = re.sub("/usr/bin/kongming-[a-z]+", "/bin/true", self.read(name))
            path = pathlib.Path(directory) / f"{name}.service"
            path.write_text(text)
            verified = subprocess.run(
                [analyze, "verify", str(path)], capture_output=True, text=True, check=False
            )
            self.assertEqual((0, ""), (verified.returncode, verified.stderr))
            command = [analyze, "security", "--offline=yes", str(path)]
            judged = subprocess.run(command, capture_output=True, text=True, check=False)
            level = re.search(r"exposure level for \S+: ([0-9.]+)", judged.stdout)
            assert level is not None, judged.stdout + judged.stderr
            self.assertLess(float(level[1]), HIGHEST_EXPOSURE, name)

    def read(self, name: str) -> str:
        """Return the text of a unit."""
        return (UNITS / f"{name}.service").read_text()
