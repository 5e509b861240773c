# SPDX-License-Identifier: Apache-2.0
"""``/v1/openapi.json``: the API described by OpenAPI 3.1, from its tree of paths.

Paths and methods are those that are routed, schemas those of the types by which bodies are read
and answers are told, rules those of the policies. Nothing is written down a second time.
"""

import functools
import http
import re
from collections.abc import Mapping
from typing import Any

import pecan
from wsme import types as wtypes

from kongming import exception, policies
from kongming.api import described, errors, leads, microversion, query
from kongming.api.described import Description
from kongming.api.microversion import MAX_VERSION, SERVICE_TYPE, Version
from kongming.api.routes import Document, Node, Operation
from kongming.api.schema import Schemas

#: Where it is; readable without a token.
PATH = "/v1/openapi.json"
#: What any request may be refused with; one that needs a token; one with a body.
_ALWAYS, _TOKEN, _BODY = (400, 406), (401, 500, 503), (413, 415)
_PUBLIC = ("/", "/v1", PATH)
_ABOUT = (
    "Places the threads and the memory of instances on the pCPUs and NUMA nodes of their host."
    " What is not well-formed HTTP, or not complete in time, is refused in the same form with 400,"
    " 408, 413, 414, 501 or 505, what is not a path or a method here with 404 or 405, what comes"
    " faster than the operator allows with 429."
)


class ErrorEntry(wtypes.Base):
    """One thing that is wrong; ``code`` stays the same, ``detail`` is for people."""

    status = wtypes.wsattr(int, mandatory=True)
    code = wtypes.wsattr(wtypes.text, mandatory=True)
    title = wtypes.wsattr(wtypes.text, mandatory=True)
    detail = wtypes.wsattr(wtypes.text, mandatory=True)
    request_id = wtypes.wsattr(wtypes.text, mandatory=True)
    min_version = wtypes.text
    max_version = wtypes.text


class Error(wtypes.Base):
    """Every answer with a status of 400 or above."""

    message = wtypes.wsattr(wtypes.text, mandatory=True)
    errors = wtypes.wsattr(wtypes.ArrayType(ErrorEntry), mandatory=True)


class OpenAPIController(Document):
    """``/v1/openapi.json``"""

    def __init__(self, root: Node) -> None:
        self._root = root

    @pecan.expose("json")
    @described.operation(dict)
    def show(self) -> dict[str, Any]:
        """Describe the API, at its newest version unless the request names one."""
        request = pecan.request
        if not microversion.is_named(request.headers):
            request.version = MAX_VERSION
        servers = [{"url": query.base_url(request)}]
        return document(self._root, request.version) | {"servers": servers}


@functools.cache
def document(root: Node, version: Version) -> dict[str, Any]:
    """Return the document for one version of the API, without the address of a server."""
    schemas = Schemas(version)
    paths: dict[str, dict[str, Any]] = {}
    operations = list(root.operations(version))
    for operation in operations:
        told = _operation(operation, version, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = told
    leads.add(paths, schemas.named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "KongMing",
            "version": str(version),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
    }


def _operation(operation: Operation, version: Version, schemas: Schemas) -> dict[str, Any]:
    method, path, function = operation
    description: Description | None = getattr(function, "description", None)
    if description is None:
        raise TypeError(f"{function.__qualname__} has no kongming.api.described.operation")
    segments = [part for part in path.split("/")[2:] if part]
    told: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
        "tags": segments[:1] or ["versions"],
        "summary": " ".join((function.__doc__ or "").split()),
        "parameters": [*_keys(path), _version(version), *_page(description)],
        "responses": _responses(operation, description, schemas),
    }
    if path in _PUBLIC:
        told["security"] = []
    if rules := _rules(operation):
        told["x-policies"] = rules
    if description.takes:
        body = _at(description.takes, version)
        content = {"application/json": {"schema": schemas.of(body, body=True)}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _at(types: Any, version: Version) -> type:
    """Return the last of the types by version that is there at a version."""
    by_version = {microversion.parse(text): datatype for text, datatype in types.items()}
    newest = max(since for since in by_version if since <= version)
    datatype: type = by_version[newest]
    return datatype


def _keys(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": part.strip("{}"),
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for part in path.split("/")
        if part.startswith("{")
    ]


def _version(version: Version) -> dict[str, Any]:
    return {
        "name": microversion.HEADER,
        "in": "header",
        # a request without it gets the lowest
        "required": version != microversion.MIN_VERSION,
        "schema": {"type": "string", "const": f"{SERVICE_TYPE} {version}"},
    }


def _page(description: Description) -> list[dict[str, Any]]:
    if description.filters is None:
        return _query(description.query)
    word = "|".join(description.sort_keys)
    item = f"(?:{word})(?::(?:asc|desc)?)?"
    text = {"type": "string", "description": "printable characters", "maxLength": 255}
    shapes = {
        # a larger one gets as many as [api] max_limit allows
        "limit": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
        "marker": text,
        "sort": {"type": "string", "pattern": f"^{item}(?:,{item})*$", "maxLength": 255},
        **dict.fromkeys(description.filters, text),
    }
    return _query(shapes)


def _query(shapes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": shape} for name, shape in shapes.items()]


def _rules(operation: Operation) -> dict[str, str]:
    here = {"method": operation.method, "path": operation.path}
    return {
        rule.name: rule.description or ""
        for rule in policies.list_rules()
        if here in getattr(rule, "operations", ())
    }


def _responses(operation: Operation, description: Description, schemas: Schemas) -> dict[str, Any]:
    public = operation.path in _PUBLIC
    refused: dict[int, set[str]] = {
        status: set()
        for status in (
            *_ALWAYS,
            *(() if public else _TOKEN),
            *(_BODY if description.takes else ()),
        )
    }
    for error in description.refuses:
        refused.setdefault(error.status, set()).add(error.code)
    answer: dict[str, Any] = {"description": http.HTTPStatus(description.status).phrase}
    if description.answers is not None:
        answer["content"] = _json(schemas.of(description.answers, body=False))
    if description.status == 201:
        answer["headers"] = {"Location": {"required": True, "schema": {"type": "string"}}}
    told = {str(description.status): answer}
    for status, codes in sorted(refused.items()):
        words = [*sorted(codes), errors.CODES.get(status, exception.KongMingError.code)]
        told[str(status)] = {
            "description": ", ".join(codes and words[:-1] or words[-1:]),
            "content": _json(schemas.of(Error, body=False)),
        }
    return told


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
