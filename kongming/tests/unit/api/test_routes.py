# SPDX-License-Identifier: Apache-2.0

from typing import Any

from webob import exc

from kongming import exception
from kongming.api import routes
from kongming.tests import base


class Leaf(routes.Document):
    def show(self, key: str) -> None: ...


class Things(routes.Collection):
    children = {"leaf": Leaf()}

    def get_all(self) -> None: ...

    def post(self) -> None: ...

    def get_one(self, key: str) -> None: ...

    def patch(self, key: str) -> None: ...


class ReadOnly(routes.Collection):
    def get_all(self) -> None: ...


class Root(routes.Document):
    children = {"things": Things(), "facts": ReadOnly(), "empty": routes.Collection()}

    def show(self) -> None: ...


class RoutesTest(base.BareTestCase):
    def route(self, method: str, path: str) -> tuple[str, list[str]]:
        """Return the name of the function that answers, and its arguments."""
        request = routes.Request.blank(path, method=method)
        function, arguments = Root()._route(request.path_info.split("/")[1:], request)
        return function.__qualname__, arguments

    def test_routes(self) -> None:
        for method, path, name, arguments in (
            ("GET", "/", "Root.show", []),
            ("GET", "/things", "Things.get_all", []),
            ("GET", "/things/", "Things.get_all", []),
            ("GET", "/things?limit=1", "Things.get_all", []),
            ("POST", "/things", "Things.post", []),
            ("GET", "/things/a", "Things.get_one", ["a"]),
            ("GET", "/things/a/", "Things.get_one", ["a"]),
            ("GET", "/things/get_all", "Things.get_one", ["get_all"]),
            ("GET", "/things/leaf", "Things.get_one", ["leaf"]),
            ("PATCH", "/things/a", "Things.patch", ["a"]),
            ("GET", "/things/a/leaf", "Leaf.show", ["a"]),
            ("GET", "/things/a/leaf/", "Leaf.show", ["a"]),
            ("GET", "/facts", "ReadOnly.get_all", []),
        ):
            self.assertEqual((name, arguments), self.route(method, path))

    def test_not_found(self) -> None:
        for path in ("/nothing", "/things//", "//", "//things", "/things//leaf", "/things/a//",
                     "/things/a/nothing", "/things/a/leaf/b", "/things/a/__class__", "/show",
                     "/children", "/facts/a", "/empty", "/empty/a"):  # fmt: skip
            for method in ("GET", "POST", "DELETE"):
                self.assertRaises(exc.HTTPNotFound, self.route, method, path)

    def test_not_allowed(self) -> None:
        for method, path, allowed in (
            ("POST", "/", "GET"),
            ("HEAD", "/", "GET"),
            ("DELETE", "/things", "GET, POST"),
            ("PUT", "/things/", "GET, POST"),
            ("PUT", "/things/a", "GET, PATCH"),
            ("GET_ALL", "/things", "GET, POST"),
            ("POST", "/things/a/leaf", "GET"),
            ("POST", "/facts", "GET"),
        ):
            error = self.assertRaises(exc.HTTPMethodNotAllowed, self.route, method, path)
            self.assertEqual(allowed, error.headers["Allow"])

    def test_parameters_are_for_lists(self) -> None:
        for method, path in (
            ("GET", "/?a=1"),
            ("POST", "/things?a=1"),
            ("GET", "/things/b?a"),
            ("PATCH", "/things/b?a=1"),
            ("GET", "/things/b/leaf?a=1"),
        ):
            error = self.assertRaises(exception.BadRequest, self.route, method, path)
            self.assertEqual("a: unknown query parameter", error.message)


class RequestTest(base.BareTestCase):
    def test_pecan_gets_no_arguments(self) -> None:
        request: Any = routes.Request.blank("/?a=1", POST={"b": "2"})
        self.assertEqual({}, dict(request.params))
        self.assertEqual({"a": "1"}, dict(request.GET))
        request = routes.Request.blank("/", method="POST", body=b'{"a": 1}')
        with self.assertRaises(ValueError):
            request.json  # noqa: B018
