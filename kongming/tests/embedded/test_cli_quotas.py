# SPDX-License-Identifier: Apache-2.0
"""``openstack resource pin quota …``, against the whole system."""

from typing import Any

import openstack

from kongming import sdk
from kongming.tests.embedded import base, test_cli
from kongming.tests.embedded.base import rows


class QuotaTest(test_cli.Commands, base.EmbeddedTestCase):
    def test_life(self) -> None:
        none = {"pins": -1, "dedicated_pcpus": -1, "memory_mib": -1}
        shown = self.data("resource pin quota show telco")
        self.assertEqual(("telco", none, {}), (shown["project_id"], shown["limits"], shown["own"]))
        self.ok("resource pin create vnf --cpu-policy dedicated")
        shown = self.data("resource pin quota set telco --dedicated-pcpus 4 --pins 5")
        self.assertEqual({"dedicated_pcpus": 4, "pins": 5}, shown["own"])
        self.assertEqual((1, 4), (shown["used"]["pins"], shown["used"]["dedicated_pcpus"]))
        shown = self.data("resource pin quota set telco --memory 4096 --pins -1")
        self.assertEqual({"dedicated_pcpus": 4, "pins": -1, "memory_mib": 4096}, shown["own"])
        self.data("resource pin quota set shop --pins 1")
        listed = self.data("resource pin quota list")
        self.assertEqual(["shop", "telco"], [one["Project ID"] for one in listed])
        self.assertEqual((-1, 4, 4096), tuple(map(listed[1].get, _LIMITS)))
        self.assertEqual(["dedicated_pcpus", "memory_mib", "pins"], listed[1]["Set"])
        (second,) = self.data("resource pin quota list --limit 1 --marker shop")
        self.assertEqual(listed[1], second)
        said = self.ok("resource pin quota show telco").out
        self.assertRegex(said, r"\| limits +\| pins: -1 +\|\n\| +\| dedicated_pcpus: 4 +\|")

        shown = self.data("resource pin quota unset telco --dedicated-pcpus")
        self.assertEqual({"pins": -1, "memory_mib": 4096}, shown["own"])
        shown = self.data("resource pin quota unset telco --all")
        self.assertEqual((none, {}), (shown["limits"], shown["own"]))
        conn: Any = openstack.connect(load_envvars=False, load_yaml_config=False, **self.cloud)
        sdk.add_to(conn)
        self.assertEqual(["shop"], [quota.id for quota in conn.resource_pin.quotas(limit=1)])
        conn.resource_pin.reset_quota("shop")
        self.assertEqual([], rows("quotas"))

    def test_refusals(self) -> None:
        for arguments, words in (
            ("set telco", "There is nothing to set"),
            ("unset telco", "There is nothing to unset"),
            ("set telco --pins -2", "pins: must be from -1 to"),
            ("set a/b --pins 1", "project_id: is none"),
            ("list --marker x", "marker: is not in the list"),
        ):
            self.refused("resource pin quota", arguments, words=words)
        self.assertEqual([], rows("quotas"))
        self.refused(
            "--os-resource-pin-api-version 1.12 resource pin quota show telco",
            words="This needs version 1.13 of the API, not 1.12",
            code="version_not_supported",
        )


_LIMITS = ("Pins", "Dedicated pCPUs", "Memory MiB")
