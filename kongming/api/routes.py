# SPDX-License-Identifier: Apache-2.0
"""From path and method to the function that answers: nothing else has a say.

This stands in for pecan's own routing, in which attributes of controllers are path
segments, a parameter ``_method`` turns a GET into any method, and query string or body
fill in for a segment that is missing.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pecan
import webob
from webob import exc

from kongming import exception

#: The function that answers, and its arguments.
Route = tuple[Callable[..., Any], list[str]]


class Operation(NamedTuple):
    """A method of a path, such as GET of ``/v1/pins/{instance_uuid}``, and who answers it."""

    method: str
    path: str
    function: Callable[..., Any]


class Request(webob.Request):
    """A request of whose body and query string pecan makes no arguments."""

    @property
    def params(self) -> webob.multidict.MultiDict:
        """Nothing."""
        return webob.multidict.MultiDict()

    @property
    def json(self) -> Any:
        """Nothing: see `kongming.api.body`."""
        raise ValueError("bodies are read by kongming.api.body alone")


class Node:
    """Something in the tree of paths."""

    @pecan.expose()
    def _route(self, path: Sequence[str], request: webob.Request) -> Route:
        # with or without a slash at the end: it is the same
        return self.route(list(path[:-1] if path and not path[-1] else path), request)

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Return what answers a request whose path goes on with these segments.

        :raises HTTPNotFound: there is no such path
        :raises HTTPMethodNotAllowed: there is, but not for the method
        """
        raise NotImplementedError

    def operations(self, version: Any, path: str = "") -> Iterator[Operation]:
        """Yield all that there is at and below this node at a version of the API.

        :param path: where the node is, with ``{}`` for each key
        """
        raise NotImplementedError


class Document(Node):
    """What ``show`` shows, ``put`` replaces, ``delete`` ends, and nodes below it by name."""

    children: Mapping[str, Node] = {}
    _actions = {"GET": "show", "PUT": "put", "DELETE": "delete"}

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Go down, or show, replace or delete the document."""
        if not path:
            return _action(self, self._actions, request), []
        if path[0] not in self.children:
            raise exc.HTTPNotFound
        return self.children[path[0]].route(path[1:], request)

    def operations(self, version: Any, path: str = "") -> Iterator[Operation]:
        """Yield those of the document, then those of the nodes below it."""
        yield from _operations(self, self._actions, path or "/")
        for name, child in self.children.items():
            yield from child.operations(version, f"{path}/{name}")


class Collection(Node):
    """``get_all`` and ``post`` for the whole; ``get_one``, ``put``, ``patch``, ``delete`` for
    a member, by its key; other nodes below each member, whose functions get the key too.
    """

    children: Mapping[str, Node] = {}
    _actions = {"GET": "get_all", "POST": "post"}
    _members = {"GET": "get_one", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Find the method for the collection or for a member."""
        if not path:
            return _action(self, self._actions, request), []
        if not path[0]:
            raise exc.HTTPNotFound
        if len(path) == 1:
            return _action(self, self._members, request), path
        if path[1] not in self.children:
            raise exc.HTTPNotFound
        function, arguments = self.children[path[1]].route(path[2:], request)
        return function, [path[0], *arguments]

    def operations(self, version: Any, path: str = "") -> Iterator[Operation]:
        """Yield those of the collection, of a member, and of the nodes below each member."""
        yield from _operations(self, self._actions, path)
        yield from _operations(self, self._members, f"{path}/{{}}")
        for name, child in self.children.items():
            yield from child.operations(version, f"{path}/{{}}/{name}")


def _operations(node: Node, names: Mapping[str, str], path: str) -> Iterator[Operation]:
    for method, name in names.items():
        if hasattr(node, name):
            function = getattr(node, name)
            # the functions take the keys in the path, in its order
            keys = [f"{{{key}}}" for key in inspect.signature(function).parameters]
            yield Operation(method, path.format(*keys), function)


def _action(node: Node, names: Mapping[str, str], request: webob.Request) -> Callable[..., Any]:
    allowed = {method: name for method, name in names.items() if hasattr(node, name)}
    if not allowed:
        raise exc.HTTPNotFound
    if request.method not in allowed:
        raise exc.HTTPMethodNotAllowed(
            f"{request.method[:32]} is not allowed here", headers={"Allow": ", ".join(allowed)}
        )
    name = allowed[request.method]
    function: Callable[..., Any] = getattr(node, name)
    if name != "get_all":
        # lists judge theirs themselves
        known = getattr(getattr(function, "description", None), "query", {})
        for parameter in request.GET:
            if parameter not in known:
                raise exception.BadRequest.field(parameter[:64], "unknown query parameter")
    return function
