# SPDX-License-Identifier: Apache-2.0
"""What the scheduler filter asks a whole KongMing, and what it makes of the answers."""

import json
import logging
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

import fixtures
from keystoneauth1 import fixture as keystone
from keystoneauth1 import loading
from oslo_config import cfg

from kongming.compute import choice, client, options
from kongming.tests import base as testbase
from kongming.tests.embedded import badserver, base
from kongming.tests.embedded.base import OTHER, UNKNOWN, VNF

#: Nobody has it either.
NEXT = "88888888-8888-4888-8888-888888888888"
REQUEST = "req-11111111-2222-4333-8444-555555555555"
SIZE = {"vcpus": 4, "memory_mib": 2048}
DEDICATED = json.dumps({"cpu_policy": "dedicated", "numa_nodes": 1})
#: Either host has 8 pCPUs on that node.
NODE = json.dumps({"cpu_policy": "dedicated", "numa_nodes": 1, "memory": {"nodes": "0"}})


def client_for(
    url: str | None, credentials: dict[str, str] | None = None, **more: Any
) -> client.Client:
    """Return a client of a KongMing, which asks for no token unless there are credentials."""
    conf = cfg.ConfigOpts()
    options.register(conf)
    sections = {
        options.CREDENTIALS: credentials or {"auth_type": "none"},
        options.GROUP: {"timeout": 60, **more} | ({"endpoint_override": url} if url else {}),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        for section, values in sections.items():
            print(f"[{section}]", *(f"{k} = {v}" for k, v in values.items()), sep="\n", file=file)
        file.flush()
        conf(args=[], default_config_files=[file.name])
        # options of the kind of credentials are known only when they are needed
        loading.load_auth_from_conf_options(conf, options.CREDENTIALS)
    return client.Client(conf)


class FilterTestCase(base.EmbeddedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = client_for(self.kongming.url)
        self.logged = self.useFixture(testbase.Log())

    def request_for(
        self,
        hint: Any,
        uuid: str = UNKNOWN,
        project: str = "telco",
        dedicated: bool = False,
        exact: bool = True,
        **size: int,
    ) -> choice.Request:
        """Return what Nova would ask for."""
        return choice.Request(
            instance_uuid=uuid,
            owner={"project_id": project, "user_id": "mano"},
            request_id=REQUEST,
            hint=hint,
            dedicated=dedicated,
            exact=exact,
            log=logging.getLogger(__name__),
            **(SIZE | size),
        )

    def choose(self, hint: Any, *hosts: str, **more: Any) -> choice.Choice:
        """Ask for hosts, "one" and "two" unless named."""
        request = self.request_for(hint, **more)
        return choice.choose(self.client, request, list(hosts or ("one", "two")))

    def refusal(self, hint: Any, *hosts: str, **more: Any) -> str:
        """Return why none of some hosts will do."""
        return str(self.assertRaises(choice.NoHost, self.choose, hint, *hosts, **more))

    def reserved_on(self, uuid: str = UNKNOWN) -> str | None:
        """Return where room is kept."""
        answer = self.get(f"/v1/pins/{uuid}/reservation")
        return answer.json()["host"] if answer.status_code == 200 else None


class ChoiceTest(FilterTestCase):
    def test_without_hint_and_pin_every_host_will_do(self) -> None:
        found = self.choose(None, "two", "nobody", "one")
        self.assertEqual((["two", "nobody", "one"], False), (found.hosts, found.kept))
        self.assertEqual(404, self.get(f"/v1/pins/{UNKNOWN}").status_code)

    def test_shared(self) -> None:
        found = self.choose("0-3", "one", "two", "nobody")
        self.assertEqual((["one", "two"], False), (found.hosts, found.kept))
        pin = self.get(f"/v1/pins/{UNKNOWN}").json()
        self.assertEqual(
            ("waiting", "telco", "mano"), tuple(pin[k] for k in ("status", "project_id", "user_id"))
        )
        self.assertEqual({"*": "0-3"}, pin["vcpus"])
        self.assertIsNone(self.reserved_on())
        self.assertEqual(found, self.choose("0-3"))

    def test_places_are_for_those_who_may_name_them(self) -> None:
        for hint, field in (
            ("0-3", "vcpus.*"),
            ('{"emulator": "0"}', "emulator"),
            ('{"memory": {"nodes": "0"}}', "memory.nodes"),
            # what the filter does not know is no way around
            ('{"vcpus": {"0": "1"}, "colour": "red"}', "vcpus.0"),
        ):
            self.assertIn(f"{field}: you may not name", self.refusal(hint, exact=False))
        self.assertTrue(self.choose(DEDICATED, exact=False).kept)

    def test_neighbours_are_of_the_same_project(self) -> None:
        self.assertIn(f"{OTHER} is not known", self.refusal(f'{{"avoid": ["{OTHER}"]}}'))
        self.assertIn("is not known", self.refusal(f'{{"near": "{OTHER}"}}', exact=False))
        self.choose(f'{{"avoid": ["{VNF}"]}}')

    def test_who_waited_for_what_is_others_has_no_neighbour_in_it(self) -> None:
        asked = client.Client.pin

        def pin(self: client.Client, uuid: str, request_id: str) -> Any:
            return {"project_id": "telco"} if uuid == OTHER else asked(self, uuid, request_id)

        self.useFixture(fixtures.MonkeyPatch("kongming.compute.client.Client.pin", pin))
        self.assertIn("is not known", self.refusal(f'{{"near": "{OTHER}"}}'))

    def test_dedicated(self) -> None:
        found = self.choose(DEDICATED)
        self.assertTrue(found.kept)
        self.assertEqual(found.hosts, [self.reserved_on()])
        self.assertEqual(found, self.choose(DEDICATED))

    def test_what_nova_places_is_left_to_it(self) -> None:
        reason = self.refusal(DEDICATED, dedicated=True)
        self.assertEqual(
            "resource_pin: flavor or image ask Nova for dedicated CPUs (cpu_policy)", reason
        )
        self.assertEqual([], base.rows("pins"))
        every = choice.Choice(["one", "two"], kept=False)
        self.assertEqual(every, self.choose(None, dedicated=True))
        self.pin(VNF, cpu_policy="dedicated")
        self.assertEqual(every, self.choose(None, uuid=VNF, dedicated=True))
        override = {"cpu_policy": "dedicated", "override": True}
        self.request("PUT", f"/v1/pins/{VNF}", json=override)
        found = self.choose(None, "two", uuid=VNF, dedicated=True)
        self.assertEqual(choice.Choice(["two"], kept=True), found)

    def test_a_pin_made_through_the_api_counts_without_hint(self) -> None:
        self.pin(VNF, cpu_policy="dedicated", vcpus={"0": "4"})
        found = self.choose(None, "two", uuid=VNF)
        self.assertEqual((["two"], True), (found.hosts, found.kept))
        self.assertEqual("two", self.reserved_on(VNF))

    def test_a_changed_pin_counts_and_not_the_hint(self) -> None:
        self.pin(VNF, vcpus={"*": "0-3"}, iothreads={"1": "2"})
        found = self.choose(NODE, uuid=VNF)
        self.assertEqual((["one", "two"], False), (found.hosts, found.kept))

    def test_iothreads_are_as_many_as_the_wish_names(self) -> None:
        wish = {"vcpus": {"0-3": "3"}, "iothreads": {"1-2": "7"}}
        self.assertEqual(["one", "two"], self.choose(json.dumps(wish)).hosts)

    def test_template(self) -> None:
        content = {"roles": {"media": json.loads(DEDICATED)}}
        body = {"name": "ims", "project_id": "telco", **content}
        self.assertEqual(201, self.request("POST", "/v1/templates", json=body).status_code)
        found = self.choose("template:ims/media")
        self.assertEqual((found.hosts, True), ([self.reserved_on()], found.kept))
        pin = self.get(f"/v1/pins/{UNKNOWN}").json()
        self.assertEqual(
            ("ims", "media", {}),
            (pin["template"]["name"], pin["template"]["role"], pin["overrides"]),
        )
        # from now on the pin counts
        self.assertEqual(found, self.choose("template:gone"))
        own = json.dumps({"template": "ims/media", "thread_policy": "isolate"})
        self.choose(own, uuid=NEXT)
        self.assertEqual({"thread_policy": "isolate"}, self.overrides(NEXT))
        self.assertIn("a role must be named", self.refusal("template:ims", uuid=VNF))
        self.assertIn("no template ims", self.refusal("template:ims/media", uuid=VNF, project="x"))

    def overrides(self, uuid: str) -> Any:
        """Return what a pin has of its own."""
        return self.get(f"/v1/pins/{uuid}").json()["overrides"]

    def test_another_pin(self) -> None:
        self.pin(OTHER, vcpus={"*": "1-2"})
        self.pin(VNF, vcpus={"*": "3"}, memory={"nodes": "0"})
        reason = self.refusal(f"pin:{OTHER}")
        self.assertEqual(f"resource_pin: instance {OTHER} has no pin", reason)
        self.assertIn("has no pin", self.refusal(f"pin:{UNKNOWN}"))
        self.assertEqual([], [pin for pin in base.rows("pins") if pin["instance_uuid"] == UNKNOWN])
        self.choose(f"pin:{VNF}")
        made, model = (self.get(f"/v1/pins/{uuid}").json() for uuid in (UNKNOWN, VNF))
        for field in ("cpu_policy", "vcpus", "memory"):
            self.assertEqual(model[field], made[field])

    def test_a_wish_cannot_name_an_owner_or_a_host(self) -> None:
        for field in ("project_id", "instance_uuid", "host", "size"):
            wish = json.dumps({"cpu_policy": "dedicated", field: "x"})
            self.assertIn(f"wish.{field}", self.refusal(wish))
        self.assertEqual([], base.rows("pins"))

    def test_what_is_wrong_with_a_wish_is_said_by_the_api(self) -> None:
        for wish, words in (
            ({"vcpus": {"9": "1"}}, "vcpus.9"),
            ({"cpu_policy": "gold"}, "wish.cpu_policy: must be one of"),
            ({"pci_device": "0000:3b:00.1"}, "one: pci_device: the host has no PCI device"),
            ({"override": True}, "override: only administrators may ask for it"),
            ({"vcpus": {"0": "1-0"}}, "wish.vcpus.0: '1-0' is a range that runs backwards"),
        ):
            reason = self.refusal(json.dumps(wish))
            self.assertTrue(reason.startswith("resource_pin: "), reason)
            self.assertIn(words, reason)
        self.assertIn("wish.template: there is no template gold", self.refusal("template:gold"))

    def test_full(self) -> None:
        self.choose(NODE, "two", vcpus=8)
        reason = self.refusal(NODE, "two", "nobody", uuid=NEXT)
        begin = "resource_pin: nobody: host: no such host is known; two: "
        self.assertTrue(reason.startswith(begin), reason)
        self.assertIn("host two: ", self.logged.output)
        self.assertIsNone(self.reserved_on(NEXT))

    def test_reasons_are_short_and_tell_of_nobody_else(self) -> None:
        wish = json.dumps({"cpu_policy": "dedicated", "vcpus": {"0": "0"}})
        self.choose(wish, "two", vcpus=1)
        reason = self.refusal(wish, "two", uuid=NEXT, vcpus=1)
        self.assertNotIn(UNKNOWN, reason)
        self.assertIn(UNKNOWN, self.logged.output)
        self.assertIn("another instance", reason)
        many = [f"nobody-{number}-" + "x" * 60 for number in range(9)]
        reason = self.refusal(wish, *many, uuid=NEXT)
        self.assertLessEqual(len(reason), 225)
        self.assertTrue(reason.endswith("; and 6 more"), reason)
        for name in many[:3]:
            self.assertIn(name[:50], reason)

    def overtake(self, *moves: Callable[[], Any]) -> None:
        """Have one of some moves made after each time that candidates were named."""
        asked, left = client.Client.candidates, list(moves)

        def overtaken(*what: Any) -> Any:
            answer = asked(*what)
            if left:
                left.pop(0)()
            return answer

        name = "kongming.compute.client.Client.candidates"
        self.useFixture(fixtures.MonkeyPatch(name, overtaken))

    def take(self, host: str) -> None:
        """Keep a whole node of a host for somebody else."""
        uuid = f"{host.encode().hex():0>8}-0000-4000-8000-000000000000"
        owner: dict[str, Any] = {"project_id": "shop", "user_id": "clerk"}
        size = {"vcpus": 8, "memory_mib": 1024}
        self.pin(uuid, host=host, size=size, **owner, **json.loads(NODE))
        self.taken = uuid

    def test_who_comes_late_takes_the_next_place(self) -> None:
        self.overtake(lambda: self.take("one"))
        found = self.choose(NODE, vcpus=8)
        self.assertEqual((["two"], "two"), (found.hosts, self.reserved_on()))
        self.assertIn("host one has no place any more: ", self.logged.output)

    def test_a_pin_made_meanwhile(self) -> None:
        owner: dict[str, Any] = {"project_id": "telco", "user_id": "mano"}
        self.overtake(lambda: self.pin(UNKNOWN, **owner, **json.loads(DEDICATED)))
        found = self.choose(NODE)
        self.assertEqual(found.hosts, [self.reserved_on()])

    def test_who_lost_every_place_looks_again_once(self) -> None:
        self.take("two")
        gone = self.taken

        def swap() -> None:
            self.take("one")
            self.request("DELETE", f"/v1/pins/{gone}")

        self.overtake(swap)
        self.assertEqual(["two"], self.choose(NODE, vcpus=8).hosts)

    def test_who_has_all_that_the_project_may_have_is_told(self) -> None:
        path = "/v1/quotas/telco"
        for limits, hint in (({"dedicated_pcpus": 3}, DEDICATED), ({"pins": 0}, '{"avoid": []}')):
            self.assertEqual(200, self.request("PUT", path, json=limits).status_code)
            self.assertIn("quota: project telco may have", self.refusal(hint))
            self.assertEqual(404, self.get(f"/v1/pins/{UNKNOWN}").status_code)

    def test_who_loses_every_place_twice_is_refused(self) -> None:
        self.take("two")
        gone = self.taken

        def swap() -> None:
            self.take("one")
            self.request("DELETE", f"/v1/pins/{gone}")

        self.overtake(swap, lambda: self.take("two"))
        self.assertIn("other requests took every place", self.refusal(NODE, vcpus=8))
        self.assertEqual(404, self.get(f"/v1/pins/{UNKNOWN}").status_code)


class ClientTest(testbase.BareTestCase):
    def failure(self, url: str, **more: Any) -> str:
        """Return what a user is told who needs KongMing there."""
        who = client_for(url, **more)
        error = self.assertRaises(client.Unavailable, who.pin, UNKNOWN, REQUEST)
        return str(error)

    def serve(self, *args: Any, **more: Any) -> badserver.BadServer:
        """Start a server."""
        server: badserver.BadServer = self.useFixture(badserver.BadServer(*args, **more))
        return server

    def test_headers(self) -> None:
        server = self.serve(404, badserver.REFUSAL)
        self.assertIsNone(client_for(server.url).pin(UNKNOWN, REQUEST))
        (headers,) = server.seen
        self.assertEqual(REQUEST, headers["X-OpenStack-Request-ID"])
        self.assertEqual("resource-pin 1.10", headers["OpenStack-API-Version"])

    def test_useless_answers(self) -> None:
        for status, body, words, asked in (
            (500, badserver.REFUSAL, "failed (HTTP 500)", 1),
            (503, badserver.REFUSAL, "failed (HTTP 503)", 2),
            (406, badserver.REFUSAL, "failed (HTTP 406)", 1),
            (401, badserver.REFUSAL, "does not accept the scheduler (HTTP 401)", 1),
            (403, badserver.REFUSAL, "does not accept the scheduler (HTTP 403)", 1),
            (404, b"<html>", "HTTP 404 and no answer of its own", 1),
            (404, {"error": {}}, "HTTP 404 and no answer of its own", 1),
            (400, [], "HTTP 400 and no answer of its own", 1),
            (200, b"{", "HTTP 200 and no answer of its own", 1),
            (200, [], "failed (HTTP 200)", 1),
        ):
            server = self.serve(status, body)
            self.assertIn(words, self.failure(server.url))
            self.assertEqual(asked, len(server.seen), f"{status}")

    def test_candidates_in_another_form(self) -> None:
        for body in ({}, {"candidates": [{"host": "one"}], "rejected": []}, {"candidates": 5}):
            who = client_for(self.serve(200, body).url)
            self.assertRaises(client.Unavailable, who.candidates, {}, REQUEST)

    def test_one_more_try(self) -> None:
        server = self.serve(404, badserver.REFUSAL)
        server.queue = [503]
        self.assertIsNone(client_for(server.url).pin(UNKNOWN, REQUEST))

    def test_slow(self) -> None:
        server = self.serve(404, badserver.REFUSAL, delay=30)
        begun = time.monotonic()
        self.assertEqual("KongMing cannot be reached", self.failure(server.url, timeout=0.3))
        # before there was an answer; the server may see the second try when that is over
        self.assertLess(time.monotonic() - begun, 25)
        self.eventually(lambda: len(server.seen) == 2)

    def test_nobody_listens(self) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            words = self.failure(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        self.assertEqual("KongMing cannot be reached", words)

    def test_catalogue(self) -> None:
        for service_type in ("resource-pin", "resource_pin"):
            for path in ("", "/", "/v1", "/v1/"):
                server = self.serve(404, badserver.REFUSAL)
                catalogue = keystone.V3Token()
                catalogue.set_project_scope()
                service = catalogue.add_service(service_type)
                service.add_standard_endpoints(internal=server.url + path, public="http://[::1]:1")
                self.assertIsNone(self.in_cloud(catalogue).pin(UNKNOWN, REQUEST))
                self.assertEqual(["the token"], [seen["X-Auth-Token"] for seen in server.seen])

    def test_not_in_the_catalogue(self) -> None:
        catalogue = keystone.V3Token()
        catalogue.set_project_scope()
        catalogue.add_service("compute").add_standard_endpoints(public="http://[::1]:1")
        who = self.in_cloud(catalogue)
        error = self.assertRaises(client.Unavailable, who.pin, UNKNOWN, REQUEST)
        self.assertIn("no resource-pin in the service catalogue", str(error.__cause__))

    def in_cloud(self, catalogue: Any) -> client.Client:
        """Return a client whose Keystone gives tokens with a catalogue."""
        identity = self.serve(201, catalogue, headers={"X-Subject-Token": "the token"})
        credentials = {
            "auth_type": "v3password",
            "auth_url": identity.url,
            "username": "nova",
            "password": "secret",
            "project_name": "service",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return client_for(None, credentials)
