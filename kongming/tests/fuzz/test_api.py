# SPDX-License-Identifier: Apache-2.0
"""Requests made up from the description of the API, one by one and as sequences."""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import fixtures

from kongming.api import openapi
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.tests import fuzz
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF
from kongming.tests.embedded.test_auth import AuthTestCase

#: What there is in the simulated fleet, so that not every request is about nothing.
KNOWN = {
    **dict.fromkeys(("instance_uuid", "uuid", "near"), [VNF, OTHER, OFF, UNKNOWN]),
    **dict.fromkeys(("host_name", "host"), ["one", "two", "nowhere"]),
    "project_id": ["telco", "shop"],
}
#: What is tried in any case, at the bounds of each field, and what each further example per
#: operation comes to, as a single request and in sequences.
AT_LEAST, PER_EXAMPLE = 1450, 23
#: The one thing that is no refusal: what fits the schema may still contradict itself.
NOT_CHECKED = "positive_data_acceptance"
SECONDS = 20
#: With what nonsense may be refused: a body that is made up may be too large as well.
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415]
"""


class ApiTest(AuthTestCase):
    def test_documented_answers_only(self) -> None:
        self.fuzz("admin", max(1, (fuzz.CASES - AT_LEAST) // PER_EXAMPLE), fuzz.CASES * 0.8)

    def test_who_is_not_to_see_places_gets_documented_answers_too(self) -> None:
        # the bounds of fields were tried as an admin
        phases = ("--phases", "fuzzing,stateful")
        self.fuzz("telco member", max(1, fuzz.CASES // 10 // PER_EXAMPLE), 0, *phases)

    def fuzz(self, token: str, examples: int, least: float, *options: str) -> None:
        """Send what is made up, at least so much, with a token."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "openapi.json").write_text(json.dumps(document()))
        (directory / "schemathesis.toml").write_text(CONFIGURATION)
        run = subprocess.run(
            [
                *(pathlib.Path(sys.executable).with_name("schemathesis"), "--no-color", "run"),
                *("openapi.json", "--url", self.kongming.url),
                *("--header", f"OpenStack-API-Version: resource_pin {MAX_VERSION}"),
                *("--header", f"X-Auth-Token: {token}"),
                *("--checks", "all", "--exclude-checks", NOT_CHECKED, "--continue-on-failure"),
                *("--max-response-time", str(SECONDS), "--request-timeout", str(2 * SECONDS)),
                *("--max-examples", str(examples)),
                "--generation-deterministic",
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
        self.assertEqual(0, run.returncode, run.stdout[-20000:])
        generated = re.search(r"(\d+) generated", run.stdout)
        assert generated is not None, run.stdout
        print(f"{generated[1]} cases as {token}")
        self.assertGreater(int(generated[1]), least)
        self.assertNotIn("Traceback", self.kongming.log.output)


def document() -> dict[str, Any]:
    """Return the description as it is to one who knows the fleet and always names the version."""
    told: dict[str, Any] = json.loads(json.dumps(openapi.document(Root(), MAX_VERSION)))
    for methods in told["paths"].values():
        for operation in methods.values():
            parameters = [p for p in operation["parameters"] if p["in"] != "header"]
            for parameter in parameters:
                _suggest(parameter, "schema", parameter["name"])
            operation["parameters"] = parameters
    for name, schema in told["components"]["schemas"].items():
        if name.endswith(".body"):
            for field in schema["properties"]:
                _suggest(schema["properties"], field, field)
    return told


def _suggest(where: dict[str, Any], key: str, name: str) -> None:
    if name in KNOWN:
        where[key] = {"anyOf": [{"enum": KNOWN[name]}, where[key]]}
