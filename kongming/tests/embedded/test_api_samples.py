# SPDX-License-Identifier: Apache-2.0
"""The samples in ``doc/api_samples``, which the API reference shows, are what really happens.

Each file holds one request and its answer. Here the requests are sent again, in order; the
answers must have the keys and types that the files show. Values may differ: samples were
recorded from ``kongming-standalone``, whose fleet, when it is given none, is used here too.
"""

import datetime
import json
import pathlib
from typing import Any

import fixtures
import requests

import kongming
from kongming.hypervisor import fleet
from kongming.tests.embedded import base

SAMPLES = pathlib.Path(kongming.__file__).parents[1] / "doc" / "api_samples"

#: That the memory of the pin is on its way.
MOVING = "moving"
#: Every sample, and for what the next one waits: the last event in the history of the pin, or
#: `MOVING`.
STORY = (
    ("versions/root", None),
    ("versions/v1", None),
    ("hosts/list", None),
    ("hosts/show", None),
    ("candidates/ask", None),
    ("candidates/pci-device", None),
    ("pins/create", "applied"),
    ("pins/show", None),
    ("pins/list", None),
    ("instances/list", None),
    ("instances/show", None),
    ("errors/claimed", None),
    ("errors/several", None),
    ("errors/version", None),
    ("pins/change", "applied"),
    ("errors/stale", None),
    ("pins/delete", "released"),
    ("pins/history", None),
    ("pins/plan", None),
    ("pins/reserve", None),
    ("pins/reservation", None),
    ("pins/cancel", None),
    ("contract_2018/mapping-create", "applied"),
    ("contract_2018/mapping-show", None),
    ("contract_2018/mapping-list", None),
    ("contract_2018/host-show", None),
    ("contract_2018/host-list", None),
    ("contract_2018/instance-show", None),
    ("contract_2018/instance-list", None),
    ("contract_2018/mapping-change", "applied"),
    ("contract_2018/mapping-delete", "released"),
    ("contract_2018/mapping-missing", None),
    ("pins/qos", "applied"),
    ("pins/relocate", MOVING),
    ("pins/move", None),
    ("pins/cancel-move", "failed"),
    ("templates/create", None),
    ("templates/roles", None),
    ("templates/list", None),
    ("pins/follow", "applied"),
    ("templates/show", None),
    ("templates/change", MOVING),
    ("rollouts/show", None),
    ("rollouts/create", None),
    ("rollouts/list", None),
    ("rollouts/cancel", None),
    ("templates/versions", None),
    ("templates/version", None),
    ("templates/delete", None),
    ("errors/rollout", None),
    ("calendars/create", None),
    ("calendars/list", None),
    ("calendars/show", None),
    ("calendars/preview", None),
    ("pins/schedule", None),
    ("calendars/change", None),
    ("calendars/delete", None),
    ("quotas/set", None),
    ("quotas/list", None),
    ("quotas/show", None),
    ("quotas/reset", None),
)


def load(name: str) -> dict[str, Any]:
    """Return a sample: ``{"request": …, "answer": …}``."""
    sample: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return sample


def shape(value: Any) -> Any:
    """Return a JSON value with the name of its type in place of each scalar."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


class SamplesTest(base.EmbeddedTestCase):
    interval = 1
    fleet_text = pathlib.Path(fleet.__file__).with_name("default_fleet.yaml").read_text()

    def setUp(self) -> None:
        # no calendar of the samples has a window at noon
        noon = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
        self.useFixture(fixtures.MonkeyPatch("kongming.clock.now", lambda: noon))
        super().setUp()

    def test_answers_have_the_keys_and_types_of_the_samples(self) -> None:
        uuid = load("pins/create")["request"]["body"]["instance_uuid"]
        self.eventually(self._is_looked_at)
        ids: dict[str, str] = {}
        for name, event in STORY:
            sample = load(name)
            self.assertEqual(["request", "answer"], list(sample))
            # what was made has another id than when the samples were recorded
            request = sample["request"]
            for recorded, present in ids.items():
                request["path"] = request["path"].replace(recorded, present)
            answer = self._send(**request)
            self._compare(name, sample["answer"], answer)
            for key in {"id", "rollout_id"} & set(sample["answer"].get("body", ())):
                ids[str(sample["answer"]["body"][key])] = str(answer.json()[key])
            if event is not None:
                self.eventually(lambda event=event: self._is(uuid, event))  # type: ignore[misc]

    def test_every_sample_is_told(self) -> None:
        files = {str(path.relative_to(SAMPLES).with_suffix("")) for path in SAMPLES.rglob("*.*")}
        self.assertEqual(sorted(name for name, _ in STORY), sorted(files))

    def _is(self, uuid: str, event: str) -> bool:
        if event == MOVING:
            return bool((self.get(f"/v1/pins/{uuid}").json()["move"] or {}).get("moved_mib"))
        return bool(self.history(uuid)[-1]["event"] == event)

    def _is_looked_at(self) -> bool:
        """Whether all that there is has shares of an interval, which take two looks."""
        hosts = self.get("/v1/hosts").json()["hosts"]
        instances = self.get("/v1/instances").json()["instances"]
        shares = [
            vcpu["run_percent"]
            for instance in instances
            if instance["state"] == "running"
            for vcpu in instance["usage"]["vcpus"].values()
        ]
        return all(host["usage"]["cpus"] for host in hosts) and None not in shares

    def _send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> requests.Response:
        return requests.request(
            method, self.kongming.url + path, headers=headers, json=body, timeout=30
        )

    def _compare(self, name: str, expected: dict[str, Any], answer: requests.Response) -> None:
        self.assertEqual(expected["status"], answer.status_code, f"{name}: {answer.text}")
        for header in expected["headers"]:
            self.assertIn(header, answer.headers, name)
        if "body" in expected:
            self.assertEqual(shape(expected["body"]), shape(answer.json()), name)
        else:
            self.assertEqual(b"", answer.content, name)
