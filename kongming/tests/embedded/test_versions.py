# SPDX-License-Identifier: Apache-2.0
"""Version documents and microversions, as keystoneauth's clients meet them."""

from typing import Any

import requests
from keystoneauth1 import adapter, discover, noauth, session

from kongming.api import microversion
from kongming.tests.embedded import base

NEWEST = str(microversion.MAX_VERSION)


class VersionTest(base.SharedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.session = session.Session(auth=noauth.NoAuth(endpoint=f"{self.kongming.url}/v1"))
        self.addCleanup(self.session.session.close)

    def adapter(self, service_type: str = "resource_pin", **options: Any) -> adapter.Adapter:
        """Return a client as the SDK makes it."""
        options.setdefault("endpoint_override", f"{self.kongming.url}/v1")
        return adapter.Adapter(self.session, service_type=service_type, **options)

    def plain(self, path: str, **headers: str) -> requests.Response:
        """GET without a version."""
        return requests.get(self.kongming.url + path, headers=headers, timeout=30)

    def test_documents(self) -> None:
        version = {
            "id": "v1",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": NEWEST,
            "version": NEWEST,
            "links": [{"rel": "self", "href": f"{self.kongming.url}/v1/"}],
        }
        root = self.plain("/")
        self.assertEqual(200, root.status_code)
        self.assertEqual("application/json", root.headers["Content-Type"])
        self.assertEqual({"name": "KongMing", "versions": [version]}, root.json())
        for path in ("/v1", "/v1/"):
            answer = self.plain(path)
            self.assertEqual(200, answer.status_code)
            self.assertEqual({"version": version}, answer.json())

    def test_documents_can_be_discovered(self) -> None:
        for path in ("", "/", "/v1", "/v1/"):
            found = discover.Discover(self.session, self.kongming.url + path)
            (data,) = found.version_data()
            self.assertEqual(
                ((1, 0), (1, 0), tuple(microversion.MAX_VERSION), f"{self.kongming.url}/v1/"),
                (
                    data["version"],
                    data["min_microversion"],
                    data["max_microversion"],
                    data["url"],
                ),
            )
            self.assertEqual("CURRENT", data["raw_status"])
            self.assertEqual(f"{self.kongming.url}/v1/", found.url_for("1"))
            self.assertIsNone(found.url_for("2"))

    def test_endpoint_of_adapter(self) -> None:
        data: Any = self.adapter().get_endpoint_data()
        self.assertEqual(f"{self.kongming.url}/v1", data.url.rstrip("/"))
        self.assertTrue(discover.version_between("1.0", NEWEST, data.max_microversion))
        self.assertEqual((1, 0), self.adapter(min_version="1").get_api_major_version())
        # an endpoint without a version, as some catalogs have it
        unversioned = self.adapter(endpoint_override=None, min_version="1", max_version="1.latest")
        unversioned.session = session.Session(auth=noauth.NoAuth(endpoint=self.kongming.url))
        self.assertEqual((1, 0), unversioned.get_api_major_version())

    def test_adapter_asks_for_a_version(self) -> None:
        for service_type in ("resource_pin", "resource-pin"):
            client = self.adapter(service_type)
            answer = client.get("/hosts/one", microversion=NEWEST)
            self.assertEqual(f"resource_pin {NEWEST}", answer.headers["OpenStack-API-Version"])
            self.assertIn("numa_nodes", answer.json())
            answer = client.get("/hosts/one", microversion="1.0")
            self.assertEqual("resource_pin 1.0", answer.headers["OpenStack-API-Version"])
            self.assertIn("cpu_topology", answer.json())
            answer = client.get("/hosts/one", microversion="latest")
            self.assertEqual(f"resource_pin {NEWEST}", answer.headers["OpenStack-API-Version"])
            answer = client.get("/hosts/one")
            self.assertEqual("resource_pin 1.0", answer.headers["OpenStack-API-Version"])

    def test_adapter_with_a_default_version(self) -> None:
        client = self.adapter(default_microversion="1.1")
        self.assertIn("numa_nodes", client.get("/hosts/one").json())

    def test_every_version_answers_with_itself(self) -> None:
        for version, _ in microversion.VERSIONS:
            for path in ("/", "/v1", "/v1/pins", "/v1/hosts", "/v1/instances/x", "/v1/colours"):
                answer = self.plain(path, **{"OpenStack-API-Version": f"resource_pin {version}"})
                self.assertEqual(f"resource_pin {version}", answer.headers["OpenStack-API-Version"])
                self.assertEqual("OpenStack-API-Version", answer.headers["Vary"])

    def test_several_services_in_one_header(self) -> None:
        for value in (
            "compute 2.90, resource_pin 1.1",
            "resource-pin 1.1,compute 2.90",
            "RESOURCE_PIN 1.1",
            "resource_pin   1.1 , x",
        ):
            answer = self.plain("/v1/hosts", **{"OpenStack-API-Version": value})
            self.assertEqual("resource_pin 1.1", answer.headers["OpenStack-API-Version"])

    def test_other_services_do_not_matter(self) -> None:
        for value in ("compute 2.90", "compute latest", ""):
            answer = self.plain("/v1/hosts", **{"OpenStack-API-Version": value})
            self.assertEqual("resource_pin 1.0", answer.headers["OpenStack-API-Version"])

    def test_refusal_says_which_there_are(self) -> None:
        answer = self.plain("/v1/pins", **{"OpenStack-API-Version": "resource_pin 1.99"})
        self.assert_error(answer, 406, "version_not_supported", "1.99", "1.0", NEWEST)
        (error,) = answer.json()["errors"]
        self.assertEqual(("1.0", NEWEST), (error["min_version"], error["max_version"]))
        self.assertEqual("OpenStack-API-Version", answer.headers["Vary"])

    def test_links_follow_the_host_header(self) -> None:
        answer = self.plain("/", Host="pin.example.org:9517")
        (version,) = answer.json()["versions"]
        self.assertEqual("http://pin.example.org:9517/v1/", version["links"][0]["href"])

    def test_links_follow_the_public_endpoint(self) -> None:
        for endpoint in ("https://pin.example.org/resource-pin", "https://pin.example.org/"):
            self.kongming.conf.set_override("public_endpoint", endpoint, "api")
            self.addCleanup(self.kongming.conf.clear_override, "public_endpoint", "api")
            (version,) = self.plain("/").json()["versions"]
            self.assertEqual(f"{endpoint.rstrip('/')}/v1/", version["links"][0]["href"])
