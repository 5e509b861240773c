# SPDX-License-Identifier: Apache-2.0
"""Who may do what, as data in ``rbac.yaml``, and what runs it wherever there is an API."""

import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests
import yaml

from kongming.tests.base import eventually

#: The states of a rollout that is over.
OVER = ("completed", "returned", "failed")
LINES = ("own", "others", "absent", "any")


@dataclasses.dataclass(frozen=True)
class Line:
    """One call about one kind of thing, and what each persona gets: status and, if told, code."""

    method: str
    path: str
    about: str
    kind: str
    version: str
    pinned: bool
    body: Any
    expected: Mapping[str, str]

    def __str__(self) -> str:
        about = f", {self.about}" if self.about else ""
        return f"{self.method} {self.path} {self.version} ({self.kind}{about})"


@functools.cache
def lines() -> Sequence[Line]:
    """Return all lines of the matrix."""
    data = yaml.safe_load(pathlib.Path(__file__).with_suffix(".yaml").read_text())
    found = []
    for row in data["calls"]:
        method, path = row["call"].split(" ")
        for kind in LINES:
            if kind in row:
                expected = dict(zip(data["personas"], map(str, row[kind]), strict=True))
                found.append(
                    Line(
                        method,
                        path,
                        row.get("about", ""),
                        kind,
                        row.get("version", "latest"),
                        row.get("pinned", True),
                        row.get("body"),
                        expected,
                    )
                )
    return found


def each_line(make: Callable[[Line], Callable[[Any], None]]) -> Callable[[type], type]:
    """Give a class of tests one for each line."""

    def give(tests: type) -> type:
        for number, line in enumerate(lines()):
            words = re.sub(r"\W+", "_", f"{line.method} {line.path} {line.kind} {line.version}")
            setattr(tests, f"test_{number:03}_{words.strip('_').lower()}", make(line))
        return tests

    return give


@dataclasses.dataclass
class World:
    """An API with an instance of each of two projects.

    :param ask: sends persona, method, path, body and version
    :param uuids: the instance of each kind
    :param projects: the project of each kind
    :param hosts: two hosts that are there
    """

    ask: Callable[[str, str, str, Any, str], requests.Response]
    uuids: Mapping[str, str]
    projects: Mapping[str, str]
    hosts: Sequence[str]
    _changed: set[str] = dataclasses.field(default_factory=set)
    _made: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def wrong(self, line: Line) -> Iterator[str]:
        """Send the call of a line as each persona; yield what is not as expected."""
        uuid = self.uuids.get(line.kind, self.uuids["own"])
        words = {
            "uuid": uuid,
            "instance_uuid": uuid,
            "other": self.uuids["others"],
            "host": self.hosts[0],
            "host2": self.hosts[1],
            "host_name": self.hosts[0] if line.kind != "absent" else "nowhere",
            "project": self.projects["own"],
            "project_id": self.projects.get(line.kind, self.projects["own"]),
        }
        for persona, expected in line.expected.items():
            if line.kind in ("own", "others"):
                self._have(uuid, line.pinned)
            words |= {"unique": str(next(self._made)), **self._template(line)}
            words["calendar_id"] = self._calendar(line)
            path, body = line.path.format(**words), _filled(line.body, words)
            answer = self.ask(persona, line.method, path, body, line.version)
            if answer.status_code < 300 and line.method != "GET":
                self._changed.add(uuid)
            status, _, code = expected.partition(" ")
            got = str(answer.status_code)
            codes = [e["code"] for e in answer.json()["errors"]] if got >= "400" else []
            if got != status or (code and f"resource_pin.{code}" not in codes):
                yield f"{line} as {persona}: {expected} expected, {got} {answer.text}"

    def _template(self, line: Line) -> dict[str, str]:
        """Return a template of the kind of a line, and a rollout of it that is over, if need be."""
        found = {"template_id": self.uuids["absent"], "rollout_id": self.uuids["absent"]}
        found["version"] = "1"
        if line.kind not in self.projects or not re.search("template|rollout", line.path):
            return found
        name, project_id = f"rbac-{next(self._made)}", self.projects[line.kind]
        body = {"name": name, "project_id": project_id, "wish": {}}
        template = self.ask("admin", "POST", "/v1/templates", body, "latest").json()
        found["template_id"] = template["id"]
        if "rollout_id" in line.path:
            asked = {"template": template["id"], "version": 1}
            rollout = self.ask("admin", "POST", "/v1/rollouts", asked, "latest").json()
            found["rollout_id"] = rollout["id"]
            path = f"/v1/rollouts/{rollout['id']}"
            eventually(functools.partial(self._is_over, path))
        return found

    def _calendar(self, line: Line) -> str:
        """Return a calendar of the kind of a line, if need be."""
        if line.kind not in self.projects or "{calendar_id}" not in line.path:
            return self.uuids["absent"]
        body = {
            "name": f"rbac-{next(self._made)}",
            "cron": "0 0 29 2 *",
            "timezone": "UTC",
            "duration_s": 60,
            "qos": {"cpu_shares": 512},
            "pins": [self.uuids[line.kind]],
        }
        owner = {"own": "orchestrator", "others": "other"}[line.kind]
        calendar: str = self.ask(owner, "POST", "/v1/calendars", body, "latest").json()["id"]
        return calendar

    def _is_over(self, path: str) -> bool:
        return self.ask("admin", "GET", path, None, "latest").json()["state"] in OVER

    def _have(self, uuid: str, pinned: bool) -> None:
        """Have an instance with a plain pin, or without, whatever was before."""
        path = f"/v1/pins/{uuid}"
        there = self.ask("admin", "GET", path, None, "latest").status_code == 200
        if there and (not pinned or uuid in self._changed):
            assert self.ask("admin", "DELETE", path, None, "latest").status_code == 204
            there = False
        if pinned and not there:
            body = {"instance_uuid": uuid}
            assert self.ask("admin", "POST", "/v1/pins", body, "latest").status_code == 201
        self._changed.discard(uuid)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**words)
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    return value
