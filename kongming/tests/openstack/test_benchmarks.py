# SPDX-License-Identifier: Apache-2.0
"""The benchmarks beside Nova, which end in failure where it finds other hosts than KongMing."""

from kongming.tests import base, benchmarks
from kongming.tests.openstack.fixtures import venv


class BenchmarksTest(base.BareTestCase):
    def run_script(self, name: str, *arguments: str) -> dict:
        return benchmarks.run(name, "--nova-venv", str(venv.directory()), *arguments)

    def test_candidates(self) -> None:
        few = ("--hosts", "50", "--passes", "1", "--requests", "1")
        (size,) = self.run_script("candidates.py", *few)["sizes"]
        self.assertEqual(50, size["hosts"])

    def test_fit(self) -> None:
        for case in self.run_script("fit.py", "--calls", "1")["cases"]:
            self.assertEqual(case["nova_fits"], case["fits"], case)
