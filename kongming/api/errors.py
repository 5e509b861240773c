# SPDX-License-Identifier: Apache-2.0
"""Every error in one form, wherever in the stack it arises."""

import json
from collections.abc import Mapping
from typing import Any

import webob.dec
from oslo_log import log as logging
from pecan import hooks
from webob import exc

from kongming import exception
from kongming.api import redacted
from kongming.context import RequestContext

LOG = logging.getLogger(__name__)

CODES = {
    400: "resource_pin.bad_request",
    401: "resource_pin.unauthorized",
    403: "resource_pin.forbidden",
    404: "resource_pin.not_found",
    405: "resource_pin.method_not_allowed",
    406: "resource_pin.not_acceptable",
    408: "resource_pin.request_timeout",
    413: "resource_pin.body_too_large",
    414: "resource_pin.uri_too_long",
    415: "resource_pin.unsupported_media_type",
    429: "resource_pin.too_many_requests",
    503: "resource_pin.unavailable",
}


TOO_LARGE = "The body is larger than it may be here"

#: What middleware means that says it in a form of its own.
_SENTENCES = {
    401: "The request requires a valid token of the identity service",
    413: TOO_LARGE,
    429: "The project sends requests too fast",
    503: "The identity service cannot be reached",
}

#: In the environment of a request whose error has its form.
_DONE = "kongming.error_has_form"


def document(
    status: int,
    errors: list[tuple[str, str]],
    request_id: str,
    details: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the body for an HTTP status and its errors (stable code, sentence).

    :param details: more fields of each error
    """
    title = webob.util.status_reasons.get(status, "Error")
    return {
        "message": "; ".join(detail for _, detail in errors),
        "errors": [
            {
                "status": status,
                "code": code,
                "title": title,
                "detail": detail,
                "request_id": request_id,
                **(details or {}),
            }
            for code, detail in errors
        ],
    }


def response(
    status: int,
    errors: list[tuple[str, str]],
    request_id: str,
    details: Mapping[str, str] | None = None,
) -> webob.Response:
    """Return the error as a response; the arguments are those of `document`."""
    body = document(status, errors, request_id, details)
    return webob.Response(
        status=status, json_body=body, content_type="application/json", charset="utf-8"
    )


class ErrorHook(hooks.PecanHook):
    """Turns what controllers raise into answers; never shows a trace."""

    def on_error(self, state: Any, error: Exception) -> webob.Response:
        """Return the answer for an exception."""
        request_id = state.request.environ.get("openstack.request_id", "")
        state.request.environ[_DONE] = True
        if isinstance(error, UnicodeDecodeError) and state.controller is None:
            error = exception.BadRequest.field("URL", "path or query string is not UTF-8")
        if isinstance(error, exception.KongMingError) and error.status < 500:
            return response(error.status, _readable(state, error), request_id, error.details)
        if isinstance(error, exception.Unavailable):
            LOG.error("%s: %s", request_id, error.message)
            return response(error.status, error.errors, request_id)
        if isinstance(error, exc.HTTPException):
            detail = error.detail or error.explanation or error.title
            code = CODES.get(error.status_int, "resource_pin.error")
            answer = response(error.status_int, [(code, detail)], request_id)
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
            return answer
        LOG.error("%s: the request failed", request_id, exc_info=error)
        unexpected = exception.KongMingError()
        return response(unexpected.status, unexpected.errors, request_id)


def _readable(state: Any, error: exception.KongMingError) -> list[tuple[str, str]]:
    """Return the errors as far as the caller may read them."""
    context = state.request.context
    if not isinstance(context, RequestContext):
        # nothing was looked at yet
        return error.errors
    sight = redacted.Sight(context)
    return [(code, sight.words(text, code)) for code, text in error.errors]


class ErrorForm:
    """WSGI middleware: gives the errors of the middleware below the form of all others."""

    def __init__(self, application: Any) -> None:
        self._application = application

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer a request."""
        request_id = request.environ.get("openstack.request_id", "")
        try:
            answer = request.get_response(self._application)
        except Exception:
            LOG.exception("%s: the request failed", request_id)
            unexpected = exception.KongMingError()
            answer = response(unexpected.status, unexpected.errors, request_id)
            request.environ[_DONE] = True
        answer.headers["OpenStack-Request-Id"] = request_id
        status = answer.status_int
        if status >= 400 and not request.environ.get(_DONE):
            code = CODES.get(status, "resource_pin.error")
            detail = _SENTENCES.get(status) or f"{status} {webob.util.status_reasons[status]}"
            answer.content_type = "application/json"
            answer.charset = "utf-8"
            answer.body = json.dumps(document(status, [(code, detail)], request_id)).encode()
        return answer
