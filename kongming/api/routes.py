# SPDX-License-Identifier: Apache-2.0
"""From path and method to the function that answers: nothing else has a say.

This stands in for pecan's own routing, in which attributes of controllers are path
segments, a parameter ``_method`` turns a GET into any method, and query string or body
fill in for a segment that is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pecan
import webob
from webob import exc

from kongming import exception

#: The function that answers, and its arguments.
Route = tuple[Callable[..., Any], list[str]]


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


class Document(Node):
    """What ``show`` shows, ``put`` replaces, ``delete`` ends, and nodes below it by name."""

    children: Mapping[str, Node] = {}

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Go down, or show, replace or delete the document."""
        if not path:
            names = {"GET": "show", "PUT": "put", "DELETE": "delete"}
            return _action(self, names, request), []
        if path[0] not in self.children:
            raise exc.HTTPNotFound
        return self.children[path[0]].route(path[1:], request)


class Collection(Node):
    """``get_all`` and ``post`` for the whole; ``get_one``, ``put``, ``patch``, ``delete`` for
    a member, by its key; other nodes below each member, whose functions get the key too.
    """

    children: Mapping[str, Node] = {}

    def route(self, path: list[str], request: webob.Request) -> Route:
        """Find the method for the collection or for a member."""
        if not path:
            return _action(self, {"GET": "get_all", "POST": "post"}, request), []
        if not path[0]:
            raise exc.HTTPNotFound
        if len(path) == 1:
            members = {"GET": "get_one", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}
            return _action(self, members, request), path
        if path[1] not in self.children:
            raise exc.HTTPNotFound
        function, arguments = self.children[path[1]].route(path[2:], request)
        return function, [path[0], *arguments]


def _action(node: Node, names: Mapping[str, str], request: webob.Request) -> Callable[..., Any]:
    allowed = {method: name for method, name in names.items() if hasattr(node, name)}
    if not allowed:
        raise exc.HTTPNotFound
    if request.method not in allowed:
        raise exc.HTTPMethodNotAllowed(
            f"{request.method[:32]} is not allowed here", headers={"Allow": ", ".join(allowed)}
        )
    name = allowed[request.method]
    if name != "get_all":
        # lists judge theirs themselves
        for parameter in request.GET:
            raise exception.BadRequest.field(parameter[:64], "unknown query parameter")
    function: Callable[..., Any] = getattr(node, name)
    return function
