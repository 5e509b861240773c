# SPDX-License-Identifier: Apache-2.0
"""What a function of a controller takes and gives, for `kongming.api.openapi` to tell.

What it gives is told as far as the caller may read it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import pecan

from kongming import exception
from kongming.api import redacted

Function = TypeVar("Function", bound=Callable[..., Any])


class Description(NamedTuple):
    """What an operation takes and gives, all as WSME types.

    :param answers: the body of the answer; None for an answer without
    :param takes: the body of the request, by the version of the API from which on it is that
    :param status: the status of the answer
    :param refuses: what it may be refused with, beside what any request may be
    :param filters: the fields by which a list in pages can be filtered; None if it has no pages
    :param sort_keys: the fields by which such a list can be sorted
    :param query: the schema of each parameter in the query string of what is no list
    """

    answers: type | None = None
    takes: Mapping[str, type] | None = None
    status: int = 200
    refuses: tuple[type[exception.KongMingError], ...] = ()
    filters: tuple[str, ...] | None = None
    sort_keys: tuple[str, ...] = ()
    query: Mapping[str, Any] = {}


def operation(*arguments: Any, **keywords: Any) -> Callable[[Function], Function]:
    """Describe a function; the arguments are those of `Description`."""
    description = Description(*arguments, **keywords)

    def mark(function: Function) -> Function:
        @functools.wraps(function)
        def told(self: Any, *keys: str) -> Any:
            answer = function(self, *keys)
            if not redacted.concerns(description.answers):
                return answer
            return redacted.Sight(pecan.request.context).of(description.answers, answer)

        told.description = description  # type: ignore[attr-defined]
        return told  # type: ignore[return-value]

    return mark
