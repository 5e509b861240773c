# SPDX-License-Identifier: Apache-2.0
"""Lists of pins, hosts and instances: pages, order, filters."""

import itertools
from typing import Any
from urllib import parse

import requests

from kongming.db import engine, models, pin_events
from kongming.tests import base as tests_base
from kongming.tests.embedded import base

HOSTS = [f"edge-{number:04d}" for number in range(1, 8)]

#: 7 hosts with 3 instances each; one of each 3 belongs to "shop", and one is off.
FLEET = """
hosts:
- name: edge
  count: 7
  nodes: 1
  cores_per_node: 8
  memory_mib_per_node: 8192
  instances:
  - {name: a, project_id: telco, user_id: mano, vcpus: 1, memory_mib: 64, state: running}
  - {name: b, project_id: shop, user_id: clerk, vcpus: 1, memory_mib: 64, state: running}
  - {name: c, project_id: telco, user_id: mano, vcpus: 2, memory_mib: 64, state: shutoff}
"""


class ListTest(base.SharedTestCase):
    fleet_text = FLEET
    #: The keys of all resources, in the order of their keys.
    keys: dict[str, list[str]]
    #: All resources by key.
    resources: dict[str, dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        url = f"{cls.kongming.url}/v1"
        instances = requests.get(f"{url}/instances", headers=base.LATEST, timeout=30).json()
        for instance in instances["instances"]:
            body = {"instance_uuid": instance["uuid"], "vcpus": {"*": "0-3"}}
            requests.post(f"{url}/pins", json=body, timeout=30).raise_for_status()

        def settled() -> bool:
            by_status = [pin["status"] for pin in base.rows("pins")]
            return sorted(by_status) == ["applied"] * 14 + ["waiting"] * 7

        tests_base.eventually(settled)
        cls.keys, cls.resources = {}, {}
        for noun, key in (("pins", "instance_uuid"), ("instances", "uuid"), ("hosts", "name")):
            found = requests.get(f"{url}/{noun}", headers=base.LATEST, timeout=30).json()[noun]
            cls.keys[noun] = [each[key] for each in found]
            cls.resources |= {f"{noun}/{each[key]}": each for each in found}

    def pages(self, path: str) -> list[list[dict[str, Any]]]:
        """Return all pages of a list, from a path on, by way of ``next``."""
        noun = parse.urlsplit(path).path.split("/")[-1]
        pages: list[list[dict[str, Any]]] = []
        url = self.kongming.url + path
        while url:
            answer = requests.get(url, headers=base.LATEST, timeout=30)
            self.assertEqual(200, answer.status_code, answer.text)
            body = answer.json()
            self.assertLessEqual(set(body), {noun, "next"})
            pages.append(body[noun])
            url = body.get("next", "")
            self.assertLess(len(pages), 100, "the next links go round in a circle")
        return pages

    def listed(self, path: str) -> list[dict[str, Any]]:
        """Return all of a list."""
        return list(itertools.chain(*self.pages(path)))

    def test_everything_is_listed_without_a_limit(self) -> None:
        self.assertEqual(HOSTS, self.keys["hosts"])
        self.assertEqual(sorted(self.keys["pins"]), self.keys["pins"])
        self.assertEqual(21, len(self.keys["pins"]))
        self.assertEqual(self.keys["pins"], self.keys["instances"])
        for noun in self.keys:
            self.assertEqual(1, len(self.pages(f"/v1/{noun}")))

    def test_a_list_shows_what_a_get_shows(self) -> None:
        for name, resource in self.resources.items():
            self.assertEqual(resource, self.get(f"/v1/{name}").json())

    def test_next_links_give_everything_once(self) -> None:
        for noun, keys in self.keys.items():
            for limit in (1, 2, 6, 7, 20, 21, 22, 1000):
                pages = self.pages(f"/v1/{noun}?limit={limit}")
                expected = [self.resources[f"{noun}/{key}"] for key in keys]
                self.assertEqual(expected, list(itertools.chain(*pages)))
                self.assertEqual({limit}, {len(page) for page in pages[:-1]} or {limit})
                self.assertTrue(pages[-1])

    def test_next_link_keeps_order_and_filters(self) -> None:
        path = "/v1/instances?limit=2&sort=name:desc,host&project_id=telco&state=running"
        pages = self.pages(path)
        self.assertEqual([2, 2, 2, 1], [len(page) for page in pages])
        found = [(each["name"], each["host"]) for page in pages for each in page]
        self.assertEqual([("a", host) for host in HOSTS], found)

    def test_marker_without_limit(self) -> None:
        for noun, keys in self.keys.items():
            found = self.listed(f"/v1/{noun}?marker={keys[2]}")
            self.assertEqual([self.resources[f"{noun}/{key}"] for key in keys[3:]], found)
            self.assertEqual([], self.listed(f"/v1/{noun}?marker={keys[-1]}"))

    def test_marker_may_be_filtered_out(self) -> None:
        # what a page ended with may have changed before the next page is asked for
        keys = self.keys["instances"]
        names = {key: self.resources[f"instances/{key}"]["name"] for key in keys}
        marker = next(key for key in keys if names[key] == "a")
        found = [each["uuid"] for each in self.listed(f"/v1/instances?name=b&marker={marker}")]
        self.assertEqual([key for key in keys if key > marker and names[key] == "b"], found)

    def test_highest_limit(self) -> None:
        self.kongming.conf.set_override("max_limit", 5, "api")
        self.addCleanup(self.kongming.conf.clear_override, "max_limit", "api")
        for path in ("/v1/pins", "/v1/pins?limit=6", "/v1/pins?limit=999999999"):
            pages = self.pages(path)
            self.assertEqual([5, 5, 5, 5, 1], [len(page) for page in pages])

    def test_sort(self) -> None:
        for noun, keys in {
            "pins": ("created_at", "generation", "instance_uuid", "status"),
            "instances": ("host", "name", "state", "uuid"),
            "hosts": ("name", "reported_at"),
        }.items():
            unique = {"pins": "instance_uuid", "instances": "uuid", "hosts": "name"}[noun]
            for key, (direction, reverse) in itertools.product(
                keys, (("", False), (":asc", False), (":desc", True))
            ):
                expected = sorted(
                    (self.resources[f"{noun}/{each}"] for each in self.keys[noun]),
                    key=lambda each: each[key],
                    reverse=reverse,
                )
                for limit in (4, 1000):
                    found = self.listed(f"/v1/{noun}?sort={key}{direction}&limit={limit}")
                    values = [each[key] for each in found]
                    self.assertEqual([each[key] for each in expected], values)
                    self.assertEqual(len(found), len({each[unique] for each in found}))

    def test_sort_by_several_keys(self) -> None:
        found = self.listed("/v1/instances?sort=state:desc,name,host:desc&limit=3")
        keys = [(each["state"], each["name"], each["host"]) for each in found]
        down = HOSTS[::-1]
        self.assertEqual(
            [("shutoff", "c", host) for host in down]
            + [("running", name, host) for name in "ab" for host in down],
            keys,
        )

    def test_filters(self) -> None:
        for noun, name, value, count in (
            ("pins", "host", HOSTS[2], 3),
            ("pins", "project_id", "shop", 7),
            ("pins", "user_id", "mano", 14),
            ("pins", "status", "applied", 14),
            ("pins", "status", "waiting", 7),
            ("pins", "status", "no such status", 0),
            ("pins", "host", "", 0),
            ("instances", "host", HOSTS[6], 3),
            ("instances", "name", "a", 7),
            ("instances", "name", "A%", 0),
            ("instances", "project_id", "telco", 14),
            ("instances", "user_id", "clerk", 7),
            ("instances", "state", "shutoff", 7),
        ):
            found = self.listed(f"/v1/{noun}?{parse.urlencode({name: value})}")
            self.assertEqual((name, count), (name, len(found)))
            self.assertEqual({value} if count else set(), {each[name] for each in found})

    def test_filters_together(self) -> None:
        found = self.listed(f"/v1/pins?host={HOSTS[0]}&status=applied&project_id=telco")
        self.assertEqual(
            [(HOSTS[0], "applied", "telco")],
            [(each["host"], each["status"], each["project_id"]) for each in found],
        )

    def test_next_link_is_escaped(self) -> None:
        path = f"/v1/instances?{parse.urlencode({'name': 'a', 'sort': 'host:desc'})}&limit=6"
        answer = self.get(path).json()
        query = parse.parse_qs(parse.urlsplit(answer["next"]).query, strict_parsing=True)
        self.assertEqual(
            {
                "name": ["a"],
                "sort": ["host:desc"],
                "limit": ["6"],
                "marker": [answer["instances"][-1]["uuid"]],
            },
            query,
        )

    def test_next_link_begins_with_the_public_endpoint(self) -> None:
        self.kongming.conf.set_override("public_endpoint", "https://pin.example.org/x/", "api")
        self.addCleanup(self.kongming.conf.clear_override, "public_endpoint", "api")
        answer = self.get("/v1/hosts?limit=1").json()
        self.assertEqual(
            f"https://pin.example.org/x/v1/hosts?limit=1&marker={HOSTS[0]}", answer["next"]
        )
        self.assertEqual(
            f"https://pin.example.org/x/v1/hosts/{HOSTS[0]}", answer["hosts"][0]["links"][0]["href"]
        )

    def test_lists_of_2018_have_no_pages(self) -> None:
        headers = {"OpenStack-API-Version": "resource_pin 1.0"}
        for noun, count in (("hosts", 7), ("instances", 21), ("instance_cpu_mappings", 21)):
            (found,) = self.get(f"/v1/{noun}", headers=headers).json().values()
            self.assertEqual(count, len(found))


class NewestTest(base.EmbeddedTestCase):
    """What grows with every change is told as far as an answer should grow."""

    def test_history(self) -> None:
        self.pin(base.OFF)
        (line,) = base.rows("pin_events")
        # changes as they would be stored, each with a generation of its own
        with engine.writer() as session:
            pin_events.add(session, [line | {"id": None, "generation": n} for n in range(2, 251)])
        generations = [line["generation"] for line in self.history(base.OFF)]
        self.assertEqual(list(range(51, 251)), generations)

    def test_versions_of_a_template(self) -> None:
        made = self.request("POST", "/v1/templates", json={"name": "gold", "wish": {}}).json()
        path = f"/v1/templates/{made['id']}"
        with engine.writer() as session:
            session.add_all(
                models.TemplateVersion(
                    template_id=made["id"], version=n, content={"wish": {"emulator": str(n)}}
                )
                for n in range(2, 61)
            )
        versions = self.get(f"{path}/versions").json()["versions"]
        self.assertEqual(list(range(11, 61)), [version["version"] for version in versions])
        # each is there still
        self.assertEqual({}, self.get(f"{path}/versions/1").json()["wish"])
        self.assertEqual({"emulator": "2"}, self.get(f"{path}/versions/2").json()["wish"])
