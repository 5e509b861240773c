# SPDX-License-Identifier: Apache-2.0
"""Requests made up from the description of the API, one by one and as sequences."""

import json
import math
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import fixtures

from kongming.api.microversion import MAX_VERSION
from kongming.tests import fuzz
from kongming.tests.embedded.test_auth import AuthTestCase
from kongming.tests.fuzz import description

#: How many cases there are at the bounds of each field, and how many about come of an example for
#: each operation.
AT_BOUNDS, PER_EXAMPLE = 4500, 36
#: How many links are followed at least, each to a request that is carried out.
LINKS = 120
#: To what links need not lead: what is seldom under way, and what is for administrators.
SELDOM = re.compile("/move$|/reservation$|^(PUT|DELETE) /v1/quotas|^DELETE /v1/rollouts")
SECONDS = 20
#: What fits the schema may still contradict itself. With what nonsense may be refused: a body that
#: is made up may be too large as well. After a DELETE the history of a pin is there, and a rollout
#: that goes back, and default limits of a project; a pin that is made is not being moved.
#: Pins come and go by two names, of which schemathesis takes each for something of its own.
CONFIGURATION = """
[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415]
[phases.stateful]
max-steps = 30
[phases.stateful.inference]
algorithms = ["location-headers"]
[[operations]]
include-path-regex = "^/v1/(quotas|rollouts|pins|instance_cpu_mappings)/"
checks.use_after_free.enabled = false
checks.ensure_resource_availability.enabled = false
"""
#: Method and path of the one that answers, and of the one asked next.
Link = tuple[str, str]


class ApiTestCase(AuthTestCase):
    def fuzz(self, token: str, document: dict[str, Any], *options: str) -> str:
        """Send what is made up, with a token; return what is said of it.

        Files that options name are in ``directory`` then.
        """
        self.directory = directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "openapi.json").write_text(json.dumps(document))
        (directory / "schemathesis.toml").write_text(CONFIGURATION)
        run = subprocess.run(
            [
                *(pathlib.Path(sys.executable).with_name("schemathesis"), "--no-color", "run"),
                *("openapi.json", "--url", self.kongming.url),
                *("--header", f"OpenStack-API-Version: resource_pin {MAX_VERSION}"),
                *("--header", f"X-Auth-Token: {token}", "--continue-on-failure"),
                *("--max-response-time", str(SECONDS), "--request-timeout", str(2 * SECONDS)),
                *("--suppress-health-check", "all", "--warnings", "off"),
                *options,
            ],
            cwd=directory,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "kongming.tests.fuzz.checks"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        begin = max(0, run.stdout.find("= FAILURES ="))
        self.assertEqual(0, run.returncode, run.stdout[begin:][:20000])
        self.assertNotIn("Traceback", self.kongming.log.output)
        return run.stdout

    def insist(self, cases: int, share: float, what: str) -> None:
        """Insist on the share of what was asked for."""
        print(f"{cases} cases, {what}")
        self.assertGreaterEqual(cases, share * fuzz.CASES)


def _cases(text: str) -> int:
    found = re.search(r"(\d+) generated", text)
    assert found is not None, text
    return int(found[1])


def _followed(events: pathlib.Path) -> Iterator[Link]:
    """Yield each link by which one request took from an answer what it was then answered by."""
    for line in events.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for key, case in recorder.get("cases", {}).items():
            answer = recorder["interactions"].get(key, {}).get("response")
            if case["is_transition_applied"] and answer and answer["status_code"] < 300:
                source, _, target = case["transition"]["id"].split(" -> ")
                yield source, target


class SingleTest(ApiTestCase):
    """Requests on their own: at the bounds of each field, and at random."""

    def single(self, token: str, share: float) -> None:
        examples = max(1, math.ceil((share * fuzz.CASES - AT_BOUNDS) / PER_EXAMPLE))
        said = self.fuzz(
            token,
            description.document(),
            *("--phases", "coverage,fuzzing", "--max-examples", str(examples)),
            "--generation-deterministic",
        )
        self.insist(_cases(said), share, f"single ones as {token}")

    def test_who_may_do_everything(self) -> None:
        self.single("admin", 0.3)

    def test_who_is_not_to_see_places(self) -> None:
        self.single("telco member", 0.25)


class SequencesTest(ApiTestCase):
    """Requests that take their ids from the answers to those before.

    What is tried again with the same bytes is another sequence by then, since the API has changed;
    a run that notices that ends, so there are several, from one seed after the other.
    """

    def sequences(self, token: str, share: float) -> None:
        cases, runs, links = 0, 0, set[Link]()
        document = description.of_sequences()
        wanted = {
            operation
            for path, methods in document["paths"].items()
            for operation in (f"{method.upper()} {path}" for method in methods)
            if "{" in path and not SELDOM.search(operation)
        }

        def is_done() -> bool:
            followed = len(links) >= LINKS and wanted <= {target for _, target in links}
            # what chance has left out so far it may bring yet
            return cases >= (share if followed else 3 * share) * fuzz.CASES

        while not is_done():
            runs += 1
            options = ("--phases", "stateful", "--seed", str(runs))
            said = self.fuzz(token, document, *options, "--report-ndjson-path", "events")
            cases += _cases(said)
            links |= set(_followed(self.directory / "events"))
        self.insist(cases, share, f"sequences as {token}: {runs} runs, {len(links)} links followed")
        self.assertGreaterEqual(len(links), LINKS)
        self.assertEqual(set(), wanted - {target for _, target in links})

    def test_who_may_do_everything(self) -> None:
        self.sequences("admin", 0.25)

    def test_orchestrator(self) -> None:
        self.sequences("telco", 0.2)
