# SPDX-License-Identifier: Apache-2.0
"""The scheduler filter with the objects of a real Nova, asking a KongMing in another process."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import requests

from kongming.tests import base
from kongming.tests.embedded import badserver
from kongming.tests.functional.fixtures import server
from kongming.tests.openstack.fixtures import venv

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "kongming/tests/openstack/programs/ask_filter.py"
HINT = json.dumps({"cpu_policy": "dedicated", "numa_nodes": 1})
LATEST = {"OpenStack-API-Version": "resource-pin latest"}

#: Five hosts, each with 16 pCPUs on two nodes: 20 instances of 4 vCPUs fit, and no more.
FLEET = """
hosts:
- {name: h, count: 5, nodes: 2, cores_per_node: 4, threads_per_core: 2, memory_mib_per_node: 16384}
"""
HOSTS = [f"h-{number:04}" for number in range(1, 6)]


class Standalone(server.Server):
    """A KongMing of its own with a simulated fleet."""

    def __init__(self, fleet: str) -> None:
        super().__init__()
        self._fleet = fleet

    def prepare(self) -> None:
        """Write the fleet down."""
        (self.directory / "fleet.yaml").write_text(self._fleet)
        self.port = server.free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The program as it was installed."""
        files = ["--fleet", str(self.directory / "fleet.yaml"), "--state-dir", str(self.directory)]
        program = pathlib.Path(sys.executable).with_name("kongming-standalone")
        return [str(program), *files, "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """This checkout."""
        return {"PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        """Whether it knows every host."""
        try:
            answer = requests.get(f"{self.url}/v1/hosts", headers=LATEST, timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and len(answer.json()["hosts"]) == len(HOSTS)


def run(url: str, *asked: dict[str, Any], on_error: str = "fail", **more: Any) -> dict[str, Any]:
    """Return what a filter shall be asked that has these options."""
    options = {"endpoint_override": url, "on_error": on_error, "timeout": more.pop("timeout", 60)}
    return {"options": options, "requests": [{"hosts": HOSTS} | each for each in asked], **more}


class FilterCase(base.BareTestCase):
    def runs(self, *runs: dict[str, Any], conf: str = "") -> Any:
        """Put requests to filters, all in one process of nova's."""
        conf = f"[kongming_credentials]\nauth_type = none\n{conf}"
        done = subprocess.run(
            [venv.directory() / "bin/python", "-W", "ignore", PROGRAM],
            input=json.dumps({"conf": conf, "runs": runs}),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.assertEqual(0, done.returncode, done.stderr[-4000:])
        self.said = done.stderr
        result = json.loads(done.stdout)
        self.assertEqual([], result["modules"])
        return result["runs"]

    def ask(self, url: str, *asked: dict[str, Any], **more: Any) -> Any:
        """Put requests to one filter; return the answers for each."""
        return self.runs(run(url, *asked, **more))[0]

    def one(self, url: str, asked: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Put one request for one instance to the filter."""
        ((answer,),) = self.ask(url, asked, **more)
        found: dict[str, Any] = answer
        return found

    def fate(self, url: str) -> str:
        """Return why a request with hint is refused; insist that it passes if so configured,
        and that those without hint do in any case.
        """
        runs = [run(url, {"hint": HINT}, {}, on_error=word) for word in ("fail", "pass")]
        (refused, free), (passed, also_free) = self.runs(*runs)
        for (answer,) in (free, passed, also_free):
            self.assertEqual(HOSTS, answer.get("hosts"), answer)
        self.assertEqual(3, self.said.count("all 5 hosts pass without KongMing"))
        reason: str = refused[0]["refused"]
        return reason


class KongMingTest(FilterCase):
    def setUp(self) -> None:
        super().setUp()
        self.kongming = self.useFixture(Standalone(FLEET))
        self.url = self.kongming.url

    def get(self, path: str) -> Any:
        """Return what the API shows."""
        return requests.get(f"{self.url}{path}", headers=LATEST, timeout=60).json()

    def places(self, uuids: list[str]) -> list[tuple[str, str]]:
        """Return each pCPU that is kept for instances, as host and pCPUs of a vCPU."""
        kept = [self.get(f"/v1/pins/{uuid}/reservation") for uuid in uuids]
        return [(each["host"], cpu) for each in kept for cpu in each["placement"]["vcpus"].values()]

    def test_every_form_of_the_hint(self) -> None:
        model = "aaaaaaaa-0000-4000-8000-000000000000"
        forms: list[tuple[Any, int, str]] = [
            (HINT, 1, ""),
            # the pin above and this one have taken those of h-0001
            ("0-3,^2,8", 4, ""),
            (["0-3", "^2"], 4, ""),
            (f"pin:{model}", 1, ""),
            ("template:gold", 0, "resource_pin: wish.template: there is no template gold"),
            ("pin:11111111-0000-4000-8000-000000000000", 0, "resource_pin: instance 11111111-0000"),
            ("", 0, "resource_pin: is empty"),
            ([], 0, "resource_pin: is empty"),
            ("high", 0, "resource_pin: 'high' is neither a number nor a range"),
            ('{"cpu_policy"', 0, "resource_pin: is not JSON"),
            ('{"cpu_policy": "gold"}', 0, "resource_pin: wish.cpu_policy: must be one of"),
            ("0-3,99", 0, "resource_pin: h-0001: "),
        ]
        asked = [{"hint": hint} for hint, _, _ in forms]
        answers = self.ask(self.url, {"hint": HINT, "uuids": [model]}, *asked, {})
        for (hint, count, words), (answer,) in zip(forms, answers[1:-1], strict=True):
            self.assertEqual(count, len(answer.get("hosts", [])), f"{hint}: {answer}")
            self.assertIn(words, answer.get("refused", ""))
            self.assertLessEqual(len(answer.get("refused", "")), 255)
        self.assertEqual(HOSTS, answers[-1][0]["hosts"])
        pins = [pin["instance_uuid"] for pin in self.get("/v1/pins")["pins"]]
        stored = [answer["uuid"] for (answer,) in answers[:-1] if "hosts" in answer]
        self.assertEqual(sorted(stored), sorted(pins))

    def test_log_names_instance_and_request(self) -> None:
        answer = self.one(self.url, {"hint": "0-3,99"})
        lines = [line for line in self.said.splitlines() if "host h-" in line]
        self.assertEqual(len(HOSTS), len(lines), self.said)
        for line in lines:
            self.assertRegex(
                line, rf"\[req-[0-9a-f-]{{36}}\] \[instance: {answer['uuid']}\] host h-"
            )

    def test_every_node_of_a_host(self) -> None:
        answer = self.one(self.url, {"hint": "0", "nodes": 2, "hosts": HOSTS[:2]})
        self.assertEqual(["h-0001", "h-0001", "h-0002", "h-0002"], answer["hosts"])

    def test_what_nova_places_is_left_to_it(self) -> None:
        answer = self.one(self.url, {"hint": HINT, "dedicated": True})
        self.assertIn("ask Nova for dedicated CPUs", answer["refused"])
        self.assertEqual(HOSTS, self.one(self.url, {"dedicated": True})["hosts"])

    def test_rebuild_passes(self) -> None:
        answer = self.one(self.url, {"hint": "high", "rebuild": True})
        self.assertEqual(HOSTS, answer["hosts"])

    def test_host_that_kongming_does_not_know(self) -> None:
        answer = self.one(self.url, {"hint": HINT, "hosts": ["h-0001", "nobody"]})
        self.assertEqual(["h-0001"], answer["hosts"])
        answer = self.one(self.url, {"hint": HINT, "hosts": ["nobody"]})
        self.assertIn("nobody: host: no such host is known", answer["refused"])

    def test_several_instances_in_one_request(self) -> None:
        """Nova offers to each but the host of the one before, which has room for two."""
        uuids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(3)]
        (answers,) = self.ask(
            self.url, {"hint": HINT, "uuids": uuids, "vcpus": 8, "hosts": HOSTS[:2]}
        )
        # the last answer is for the alternates
        self.assertEqual([1, 1, 1, 1], [len(answer["hosts"]) for answer in answers], answers)
        self.assertEqual(24, len(set(self.places(uuids))))
        # nor does it ask again, which could move the place away from the host that Nova took
        self.assertEqual(3, self.said.count(" is kept"))

    def test_several_instances_of_a_group(self) -> None:
        uuids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(3)]
        asked = {"hint": HINT, "uuids": uuids, "vcpus": 8, "hosts": HOSTS[:2]}
        (answers,) = self.ask(self.url, asked | {"group": "affinity"})
        self.assertEqual([1, 1], [len(answer["hosts"]) for answer in answers[:2]])
        self.assertIn("refused", answers[2])

    def test_last_places(self) -> None:
        for fork in (False, True):
            self.kongming.stop()
            self.kongming = self.useFixture(Standalone(FLEET))
            asked = [
                {"hint": HINT, "uuids": [f"{n:08}-0000-4000-8000-000000000000"]} for n in range(20)
            ]
            url = self.kongming.url
            answers = [answer for (answer,) in self.ask(url, *asked, threads=8, fork=fork)]
            self.url = url
            self.assertEqual(
                [1] * 20, [len(each.get("hosts", [])) for each in answers], f"{answers}"
            )
            places = self.places([each["uuid"] for each in answers])
            self.assertEqual((80, 80), (len(places), len(set(places))))
            late = self.one(url, {"hint": HINT})
            self.assertIn("and 2 more", late["refused"])

    def test_kongming_stopped(self) -> None:
        self.kongming.stop()
        self.assertIn("resource_pin: KongMing cannot be reached", self.fate(self.url))


class TroubleTest(FilterCase):
    def test_bad_answers(self) -> None:
        for bad, words in (
            ({"status": 500}, "KongMing failed (HTTP 500)"),
            ({"status": 503}, "KongMing failed (HTTP 503)"),
            ({"status": 401}, "KongMing does not accept the scheduler (HTTP 401)"),
            ({"status": 200, "body": []}, "KongMing failed (HTTP 200)"),
            ({"status": 200, "body": b"<html>"}, "no answer of its own"),
            # a pin, and no candidates
            ({"status": 200, "body": {}}, "what the scheduler does not understand"),
        ):
            url = self.useFixture(badserver.BadServer(**bad)).url
            self.assertIn(words, self.fate(url))

    def test_slow(self) -> None:
        url = self.useFixture(badserver.BadServer(delay=60)).url
        answers = self.ask(url, *[{"hint": HINT}] * 8, threads=8, timeout=1)
        for (answer,) in answers:
            self.assertIn("KongMing cannot be reached", answer["refused"])
            # two tries of a second, and half of one between them; the rest is for a busy machine
            self.assertLess(answer["seconds"], 45)

    def test_nothing_else_is_raised(self) -> None:
        url = self.useFixture(badserver.BadServer(404, badserver.REFUSAL)).url
        broken = {"hint": HINT, "broken": True}
        ((refused,),), ((passed,),) = self.runs(run(url, broken), run(url, broken, on_error="pass"))
        self.assertIn("the scheduler's filter failed", refused["refused"])
        self.assertEqual(HOSTS, passed["hosts"])
        self.assertEqual(2, self.said.count("Traceback"))

    def test_wrong_option_is_told_at_the_start(self) -> None:
        for option in ("on_error = maybe", "timeout = 0"):
            error = self.assertRaises(
                AssertionError, self.runs, {"requests": []}, conf=f"[kongming]\n{option}\n"
            )
            self.assertIn(option.split()[0], str(error))
