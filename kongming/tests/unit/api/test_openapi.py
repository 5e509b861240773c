# SPDX-License-Identifier: Apache-2.0
"""The description of the API is about all that is routed, read and told, and nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pecan
from webob import exc
from wsme import types as wtypes

from kongming import policies
from kongming.api import described, microversion, openapi, routes, schema
from kongming.api.microversion import MAX_VERSION, Version, Versioned
from kongming.api.root import Root
from kongming.api.v1 import (
    calendar_body,
    calendars,
    candidates,
    contract_2018,
    history,
    hosts,
    instances,
    pins,
    reservations,
    rollouts,
    schedules,
    templates,
    wishes,
)
from kongming.tests import base
from kongming.topology import grammar

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
VERSIONS = [version for version, _ in microversion.VERSIONS]


def nodes(node: routes.Node, path: str, version: Version) -> Iterator[str]:
    """Yield the paths of the tree, with ``x`` for each key."""
    if isinstance(node, Versioned):
        for controller in node.controllers:
            if controller.versions[0] <= version <= controller.versions[1]:
                yield from nodes(controller, path, version)
        return
    yield path
    if isinstance(node, routes.Collection):
        path += "/x"
        yield path
    for name, child in node.children.items():  # type: ignore[attr-defined]
        yield from nodes(child, f"{path}/{name}", version)


def allowed(root: routes.Node, path: str, version: Version) -> set[str]:
    """Return the methods with which a path is answered."""
    found = set()
    for method in METHODS:
        request = routes.Request.blank(path, method=method)
        request.version = version
        try:
            root._route(request.path_info.split("/")[1:], request)
        except (exc.HTTPNotFound, exc.HTTPMethodNotAllowed):
            continue
        found.add(method)
    return found


def references(document: dict[str, Any]) -> set[str]:
    """Return all that the document refers to."""
    return set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))


#: Those with the types of bodies and answers.
MODULES = (
    *(candidates, contract_2018, history, hosts, instances, pins, reservations),
    *(rollouts, templates, wishes, calendars, calendar_body, schedules),
)


class DocumentTest(base.BareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = Root()

    def document(self, version: Version = MAX_VERSION) -> dict[str, Any]:
        """Return the document."""
        return openapi.document(self.root, version)

    def test_all_that_is_routed_and_nothing_else(self) -> None:
        for version in VERSIONS:
            described = {
                re.sub(r"\{\w+\}", "x", path): {method.upper() for method in methods}
                for path, methods in self.document(version)["paths"].items()
            }
            routed = {
                path or "/": methods
                for path in nodes(self.root, "", version)
                if (methods := allowed(self.root, path or "/", version))
            }
            self.assertEqual(routed, described)

    def test_keys_in_paths_are_parameters(self) -> None:
        for path, methods in self.document()["paths"].items():
            for told in methods.values():
                keys = [p["name"] for p in told["parameters"] if p["in"] == "path"]
                self.assertEqual(re.findall(r"\{(\w+)\}", path), keys)

    def test_versions_differ_as_the_api_does(self) -> None:
        first, newest = self.document(Version(1, 0)), self.document()
        reservation = "/v1/pins/{instance_uuid}/reservation"
        self.assertNotIn(reservation, first["paths"])
        self.assertIn(reservation, newest["paths"])
        self.assertNotIn("limit", json.dumps(first["paths"]["/v1/hosts"]))
        self.assertIn("limit", json.dumps(newest["paths"]["/v1/hosts"]))
        for document, version, required in ((first, "1.0", False), (newest, MAX_VERSION, True)):
            (header,) = document["paths"]["/"]["get"]["parameters"]
            self.assertEqual(f"resource_pin {version}", header["schema"]["const"])
            self.assertEqual(required, header["required"])

    def test_bodies(self) -> None:
        for version, names in (
            (Version(1, 0), {"pins.NewPin", "candidates.Question"}),
            (Version(1, 1), {"pins.NewPin", "candidates.Question"}),
            (Version(1, 2), {"pins.PlannedPin", "candidates.InstanceQuestion"}),
            (
                MAX_VERSION,
                {
                    *("pins.PlannedPin", "candidates.InstanceQuestion"),
                    *("templates.NewTemplate", "rollouts.NewRollout"),
                    "calendar_body.NewCalendar",
                },
            ),
        ):
            posts = [
                methods["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                for path, methods in self.document(version)["paths"].items()
                if "post" in methods and "mapping" not in path
            ]
            self.assertEqual(
                names, {post.rpartition("/")[2].removesuffix(".body") for post in posts}
            )

    def test_fields_are_those_of_the_types(self) -> None:
        known = {
            f"{module.__name__.rpartition('.')[2]}.{name}": datatype
            for module in MODULES
            for name, datatype in vars(module).items()
            if isinstance(datatype, type)
            and issubclass(datatype, wtypes.Base)
            and datatype.__module__ == module.__name__
        }
        seen = set()
        for version in VERSIONS:
            for name, told in self.document(version)["components"]["schemas"].items():
                datatype = known.get(name.removesuffix(".body"))
                if datatype is None:
                    continue
                seen.add(name.removesuffix(".body"))
                fields = {a.name: a for a in wtypes.list_attributes(datatype)}
                since = getattr(datatype, "_since", {}) if name.endswith(".body") else {}
                fields = {n: a for n, a in fields.items() if since.get(n, version) <= version}
                self.assertEqual(set(fields), set(told["properties"]), name)
                required = {n for n, a in fields.items() if a.mandatory}
                self.assertEqual(required, set(told.get("required", ())), name)
                self.assertFalse(told["additionalProperties"])
        self.assertEqual(set(), set(known) - seen)

    def test_fields_of_a_wish_come_with_their_versions(self) -> None:
        for name, since in wishes.FollowingBody._since.items():
            for version in VERSIONS:
                schemas = self.document(version)["components"]["schemas"]
                fields = schemas["pins.ChangedPin.body"]["properties"]
                self.assertEqual(version >= since, name in fields, f"{name} at {version}")

    def test_grammar_is_about_fields(self) -> None:
        fields = {attribute.name for attribute in wtypes.list_attributes(wishes.WishBody)}
        self.assertEqual(set(), set(grammar.WISH) - fields)

    def test_references_lead_somewhere(self) -> None:
        for version in VERSIONS:
            document = self.document(version)
            self.assertEqual(set(document["components"]["schemas"]), references(document))

    def test_operations_have_names_of_their_own(self) -> None:
        operations = [t for m in self.document()["paths"].values() for t in m.values()]
        names = [told["operationId"] for told in operations]
        self.assertEqual(len(names), len(set(names)))
        linked = [
            link
            for told in operations
            for answer in told["responses"].values()
            for link in answer.get("links", {})
        ]
        self.assertIn("delete_v1_pins_instance_uuid", linked)
        self.assertEqual(set(), set(linked) - set(names))

    def test_rules_are_about_operations(self) -> None:
        paths = [self.document(version)["paths"] for version in VERSIONS]
        for rule in policies.list_rules():
            for operation in getattr(rule, "operations", ()):
                method = operation["method"].lower()
                told = [p[operation["path"]][method] for p in paths if operation["path"] in p]
                self.assertTrue(told, operation)
                for each in told:
                    self.assertEqual(rule.description, each["x-policies"][rule.name])


class Bare(routes.Document):
    @pecan.expose("json")
    def show(self) -> None: ...


class GenerationTest(base.BareTestCase):
    def test_what_is_not_described_is_an_error(self) -> None:
        error = self.assertRaises(TypeError, openapi.document, Bare(), MAX_VERSION)
        self.assertIn("Bare.show", str(error))

    def test_two_types_of_one_name_are_an_error(self) -> None:
        def make() -> type:
            class Twin(wtypes.Base):
                field = wtypes.text

            return Twin

        schemas = schema.Schemas(MAX_VERSION)
        twin = make()
        self.assertEqual(schemas.of(twin, body=True), schemas.of(twin, body=True))
        self.assertRaises(ValueError, schemas.of, make(), body=True)

    def test_null_is_for_answers(self) -> None:
        class Part(wtypes.Base):
            number = wtypes.wsattr(int, mandatory=True)
            words = wtypes.ArrayType(wtypes.text)
            flags = wtypes.DictType(wtypes.text, bool)

        schemas = schema.Schemas(MAX_VERSION)
        words = {"type": "array", "items": {"type": "string"}}
        flags = {"type": "object", "additionalProperties": {"type": "boolean"}}
        for body, expected in ((True, words), (False, {"anyOf": [words, {"type": "null"}]})):
            name = schemas.of(Part, body)["$ref"].rpartition("/")[2]
            told = schemas.named[name]
            self.assertEqual(expected, told["properties"]["words"])
            self.assertEqual({"type": "integer"}, told["properties"]["number"])
            self.assertEqual(["number"], told["required"])
            self.assertEqual(body, flags == told["properties"]["flags"])

    def test_description_travels_with_the_function(self) -> None:
        @described.operation(status=204)
        def function() -> None: ...

        self.assertEqual(204, function.description.status)  # type: ignore[attr-defined]
