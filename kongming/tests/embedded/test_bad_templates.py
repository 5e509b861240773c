# SPDX-License-Identifier: Apache-2.0
"""Bad input about templates and rollouts: each row is a test, and none leaves a trace."""

import dataclasses
from typing import Any

import requests

from kongming.tests import base as tests_base
from kongming.tests.embedded import base
from kongming.tests.embedded.base import OFF, OTHER, UNKNOWN, VNF
from kongming.tests.embedded.test_bad_input import Row, RowsTestCase, rows_are_tests

TEMPLATES, ROLLOUTS, PINS = "/v1/templates", "/v1/rollouts", "/v1/pins"
#: In paths for the id of the template that VNF and OTHER follow, and of its rollout that is over.
GOLD, ROLLOUT = f"{TEMPLATES}/GOLD", f"{ROLLOUTS}/OVER"
WISH = {"vcpus": {"*": "4-5"}}


def post(*words: str, code: str = "invalid_field", **fields: Any) -> Row:
    """POST a template, called silver and with an empty wish unless fields say otherwise."""
    body = {"name": "silver", **({} if "roles" in fields else {"wish": {}}), **fields}
    return Row("POST", TEMPLATES, 400, code, words, body)


def put(*words: str, status: int = 400, code: str = "invalid_field", **fields: Any) -> Row:
    """PUT the template that is followed."""
    return Row("PUT", GOLD, status, code, words, fields)


def pin(*words: str, **fields: Any) -> Row:
    """POST a pin for OFF that is to follow a template."""
    return Row("POST", PINS, 400, "invalid_field", words, {"instance_uuid": OFF, **fields})


def roll(*words: str, **fields: Any) -> Row:
    """POST a rollout."""
    return Row("POST", ROLLOUTS, 400, "invalid_field", words, fields)


def ask(*words: str, **wish: Any) -> Row:
    """Ask for candidates."""
    body = {"wish": wish, "size": {"vcpus": 1, "memory_mib": 64}}
    return Row("POST", "/v1/candidates", 400, "invalid_field", words, body)


ROWS: dict[str, Row] = {
    # what is not there
    "get_unknown": Row("GET", f"{TEMPLATES}/{UNKNOWN}", 404, "template_not_found", (UNKNOWN,)),
    "get_by_name": Row("GET", f"{TEMPLATES}/gold", 404, "template_not_found", ("gold",)),
    "put_unknown": Row("PUT", f"{TEMPLATES}/{UNKNOWN}", 404, "template_not_found", (), {}),
    "delete_unknown": Row("DELETE", f"{TEMPLATES}/{UNKNOWN}", 404, "template_not_found"),
    "versions_of_unknown": Row("GET", f"{TEMPLATES}/{UNKNOWN}/versions", 404, "template_not_found"),
    "version_unknown": Row("GET", f"{GOLD}/versions/9", 404, "template_version_not_found", ("9",)),
    "version_zero": Row("GET", f"{GOLD}/versions/0", 404, "template_version_not_found"),
    "version_no_number": Row("GET", f"{GOLD}/versions/x", 404, "template_version_not_found"),
    "version_huge": Row("GET", f"{GOLD}/versions/{'9' * 500}", 404, "template_version_not_found"),
    "get_unknown_rollout": Row("GET", f"{ROLLOUTS}/{UNKNOWN}", 404, "rollout_not_found"),
    "cancel_unknown_rollout": Row("DELETE", f"{ROLLOUTS}/{UNKNOWN}", 404, "rollout_not_found"),
    "cancel_rollout_that_is_over": Row("DELETE", ROLLOUT, 409, "rollout_is_over", ("completed",)),
    # names
    "name_missing": Row("POST", TEMPLATES, 400, "invalid_field", ("name: is missing",), {}),
    "name_taken": Row(
        "POST", TEMPLATES, 409, "template_exists", ("gold",), {"name": "gold", "wish": {}}
    ),
    "name_empty": post("name: must be", name=""),
    "name_too_long": post("name: must be", name="a" * 65),
    "name_with_a_slash": post("name: must be", name="a/b"),
    "name_with_a_blank": post("name: must be", name="a b"),
    "name_with_an_umlaut": post("name: must be", name="ä"),
    "name_lone_surrogate": post("name: must be", name="\ud800"),
    "name_nul": post("name: must be", name="a\0"),
    "name_newline": post("name: must be", name="a\n"),
    "name_uuid": post("name: must not be a UUID", name=VNF),
    "name_number": post("name: must be a string", name=4),
    "name_in_put": put("name: unknown field", name="silver", wish={}),
    "role_name_empty": post("roles.: must be", roles={"": {}}),
    "role_name_with_a_slash": post("roles.a/b: must be", roles={"a/b": {}}),
    "role_name_too_long": post("roles.aaa", roles={"a" * 65: {}}),
    # content
    "nothing": Row(
        "POST", TEMPLATES, 400, "invalid_field", ("either wish or roles",), {"name": "silver"}
    ),
    "wish_and_roles": put("either wish or roles", wish={}, roles={"a": {}}),
    "no_roles": post("roles: must be 1 to 64", roles={}),
    "too_many_roles": post("roles: must be 1 to 64", roles={f"r{n}": {} for n in range(65)}),
    "roles_list": post("roles: must be an object", roles=[]),
    "role_null": post("roles.a: must be an object", roles={"a": None}),
    "unknown_field": post("gold: unknown field", gold=True),
    "unknown_field_of_a_wish": post("wish.template: unknown field", wish={"template": "gold"}),
    "unknown_field_of_a_role": post("roles.a.host: unknown field", roles={"a": {"host": "one"}}),
    "wish_malformed": post("wish.vcpus.*: ", wish={"vcpus": {"*": "5-3"}}),
    "role_malformed": post("roles.a.emulator: ", roles={"a": {"emulator": "x"}}),
    "wish_contradicts_itself": post("wish.thread_policy: ", wish={"thread_policy": "isolate"}),
    "shared_text": post("shared: must be true or false", shared="yes"),
    "project_empty": post("project_id: must be", project_id=""),
    # changes
    "stale_version": put(
        *("version: 1 is stale", "version 2"),
        status=409,
        code="stale_template",
        wish={},
        version=1,
    ),
    "version_text": put("version: must be an integer", wish={}, version="2"),
    "batch_zero": put("batch_size: must be", wish={}, batch_size=0),
    "batch_negative": put("batch_size: must be", wish={}, batch_size=-1),
    "batch_too_large": put("batch_size: must be", wish={}, batch_size=1001),
    "batch_true": put("batch_size: must be", wish={}, batch_size=True),
    "fits_no_host": put(
        f"instance {VNF}: vcpus.*: the host has no pCPU 99",
        f"instance {OTHER}: vcpus.*: the host has no pCPU 99",
        code="pcpu_unknown",
        wish={"vcpus": {"*": "99"}},
    ),
    "fits_one_only": put(
        f"instance {VNF}: pCPU 4-5 of host one is used by the pin of instance {OTHER}",
        status=409,
        code="cpu_already_claimed",
        wish={"cpu_policy": "dedicated", "vcpus": {"*": "4-5"}},
    ),
    "role_of_a_follower_missing": put(
        f"instance {VNF}: template: a role must be named; there are media",
        roles={"media": {}},
    ),
    "contradicts_an_override": put(
        f"instance {OTHER}: thread_policy: is for cpu_policy dedicated alone",
        wish={"cpu_policy": "dedicated", "thread_policy": "isolate"},
    ),
    "unshared_in_use": put(
        "followed by pins of other projects",
        status=409,
        code="template_in_use",
        wish=WISH,
        shared=False,
    ),
    "deleted_in_use": Row("DELETE", GOLD, 409, "template_in_use", ("gold",)),
    # pins that are to follow
    "follow_unknown": pin("template: there is no template silver", template="silver"),
    "follow_unknown_id": pin(f"template: there is no template {UNKNOWN}", template=UNKNOWN),
    "follow_role_that_is_not_there": pin("template: has no role data", template="ims/data"),
    "follow_without_role": pin("template: a role must be named", template="ims"),
    "follow_role_of_one_without": pin("template: has no roles", template="gold/media"),
    "follow_empty": pin("template: must read NAME or NAME/ROLE", template=""),
    "follow_two_roles": pin("template: must read", template="ims/media/control"),
    "follow_nul": pin("template: must read", template="gold\0"),
    "follow_number": pin("template: must be a string", template=1),
    "follow_null": pin("template: must be a string", template=None),
    "follow_and_contradict": pin("thread_policy: ", template="gold", thread_policy="isolate"),
    "overrides_are_for_answers": pin("overrides: unknown field", template="gold", overrides={}),
    "put_follow_unknown": Row(
        "PUT", f"{PINS}/{VNF}", 400, "invalid_field", ("no template x",), {"template": "x"}
    ),
    "candidates_unknown": ask("wish.template: there is no template silver", template="silver"),
    "candidates_role_missing": ask("wish.template: a role must be named", template="ims"),
    # rollouts
    "roll_nothing": roll("template: is missing", version=1),
    "roll_unknown": roll("template: there is no such template", template="silver", version=1),
    "roll_unknown_id": roll("template: there is no such template", template=UNKNOWN, version=1),
    "roll_role": roll("template: must not name a role", template="ims/media", version=1),
    "roll_version_missing": roll("version: is missing", template="gold"),
    "roll_version_unknown": roll("version: the template has 1 to 2", template="gold", version=3),
    "roll_version_zero": roll("version: the template has 1 to 2", template="gold", version=0),
    "roll_version_huge": roll("version: the template", template="gold", version=10**30),
    "roll_batch_zero": roll("batch_size: must be", template="gold", version=1, batch_size=0),
    "roll_unknown_field": roll("force: unknown field", template="gold", version=1, force=True),
    # lists and methods
    "list_unknown_filter": Row("GET", f"{TEMPLATES}?shared=1", 400, "invalid_field", ("shared",)),
    "list_marker_unknown": Row("GET", f"{ROLLOUTS}?marker=x", 400, "invalid_field", ("marker",)),
    "list_sort_unknown": Row("GET", f"{ROLLOUTS}?sort=touched", 400, "invalid_field", ("sort",)),
    "versions_in_pages": Row("GET", f"{GOLD}/versions?limit=1", 400, "invalid_field", ("limit",)),
    "put_rollout": Row("PUT", ROLLOUT, 405, "method_not_allowed", ("PUT",)),
    "put_version": Row("PUT", f"{GOLD}/versions/1", 405, "method_not_allowed", ("PUT",)),
}


@rows_are_tests(ROWS)
class BadTemplatesTest(RowsTestCase):
    ids: dict[str, str]

    @classmethod
    def prepare(cls) -> None:
        """Make templates, of which one is followed and has been rolled out, by way of the API."""

        def send(method: str, path: str, **body: Any) -> dict[str, Any]:
            answer = requests.request(
                method, cls.kongming.url + path, json=body, headers=base.LATEST, timeout=30
            )
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

        gold = send("POST", TEMPLATES, name="gold", shared=True, wish={})["id"]
        send("POST", TEMPLATES, name="ims", shared=True, roles={"media": {}, "control": {}})
        send("POST", PINS, instance_uuid=VNF, template="gold")
        send("POST", PINS, instance_uuid=OTHER, template="gold", cpu_policy="shared")
        rollout = send("PUT", f"{TEMPLATES}/{gold}", wish=WISH, batch_size=2)["rollout_id"]
        cls.ids = {"GOLD": gold, "OVER": rollout}
        tests_base.eventually(lambda: base.rows("rollouts")[0]["state"] == "completed")

    def check(self, row: Row) -> None:
        path = row.path
        for word, found in self.ids.items():
            path = path.replace(word, found)
        super().check(dataclasses.replace(row, path=path))
