# SPDX-License-Identifier: Apache-2.0
"""An answer leads where somebody who got it goes on, by what is in it."""

from typing import Any

from kongming.api import leads, openapi
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.tests import base


class LeadsTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.document = openapi.document(Root(), MAX_VERSION)
        self.schemas = self.document["components"]["schemas"]

    def links(self, method: str, path: str) -> dict[str, Any]:
        told = self.document["paths"][path][method]
        answer = next(iter(told["responses"].values()))
        return {name: link["parameters"] for name, link in answer.get("links", {}).items()}

    def test_where_answers_lead(self) -> None:
        for method, path, then, parameters in (
            (*("post", "/v1/pins"), "get_v1_pins_instance_uuid_history", "#/instance_uuid"),
            (*("get", "/v1/pins"), "delete_v1_pins_instance_uuid", "#/pins/0/instance_uuid"),
            (*("post", "/v1/templates"), "get_v1_templates_template_id_versions", "#/id"),
            (*("put", "/v1/templates/{template_id}"), "get_v1_rollouts_rollout_id", "#/rollout_id"),
            (*("post", "/v1/rollouts"), "delete_v1_rollouts_rollout_id", "#/id"),
            (*("post", "/v1/calendars"), "get_v1_calendars_calendar_id_preview", "#/id"),
            (*("get", "/v1/hosts"), "get_v1_hosts_host_name", "#/hosts/0/name"),
            (*("get", "/v1/instances"), "put_v1_pins_instance_uuid", "#/instances/0/uuid"),
            (*("post", "/v1/candidates"), "get_v1_hosts_host_name", "#/candidates/0/host"),
            (*("post", "/v1/pins"), "get_v1_instances_uuid", "#/instance_uuid"),
            (*("post", "/v1/pins"), "get_v1_templates_template_id", "#/template/id"),
        ):
            (found,) = self.links(method, path)[then].values()
            self.assertEqual(f"$response.body{parameters}", found, f"{method} {path}: {then}")

    def test_what_was_in_the_path_leads_on(self) -> None:
        path = "/v1/pins/{instance_uuid}"
        found = self.links("delete", path)["get_v1_pins_instance_uuid_history"]
        self.assertEqual({"instance_uuid": "$request.path.instance_uuid"}, found)
        found = self.links("get", "/v1/templates/{template_id}/versions")
        self.assertEqual(
            {
                "template_id": "$request.path.template_id",
                "version": "$response.body#/versions/0/version",
            },
            found["get_v1_templates_template_id_versions_version"],
        )

    def test_one_key_of_two_leads_nowhere(self) -> None:
        # it tells a version, but not of a template
        self.assertEqual({}, self.links("get", "/v1"))

    def test_pointers_are_to_what_is_there(self) -> None:
        for methods in self.document["paths"].values():
            for told in methods.values():
                answer = next(iter(told["responses"].values()))
                for name, link in answer.get("links", {}).items():
                    for expression in link["parameters"].values():
                        where, _, pointer = expression.partition("#/")
                        if where == "$response.body":
                            schema = answer["content"]["application/json"]["schema"]
                            self.resolve(schema, pointer.split("/"), name)

    def resolve(self, schema: dict[str, Any], parts: list[str], name: str) -> None:
        for part in parts:
            schema = schema.get("anyOf", [schema])[0]
            schema = self.schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
            self.assertTrue("items" in schema or part in schema["properties"], f"{name}: {part}")
            schema = schema["items"] if "items" in schema else schema["properties"][part]


class NearestTest(base.BareTestCase):
    def test_own_id_is_nearer_than_that_of_a_part(self) -> None:
        key = {"name": "template_id", "in": "path"}
        reference = {"$ref": "#/components/schemas/x.Template"}
        content = {"application/json": {"schema": reference}}
        paths: dict[str, Any] = {
            "/templates/{template_id}": {
                "get": {
                    "operationId": "get",
                    "parameters": [key],
                    "responses": {"200": {"content": content}},
                }
            }
        }
        named: dict[str, Any] = {
            "x.Template": {"properties": {"template": reference, "id": {"type": "string"}}}
        }
        leads.add(paths, named)
        told = paths["/templates/{template_id}"]["get"]["responses"]["200"]
        self.assertEqual({"template_id": "$response.body#/id"}, told["links"]["get"]["parameters"])
