# SPDX-License-Identifier: Apache-2.0
"""What every answer tells a browser: that it is no page, and nobody's but the caller's."""

from collections.abc import Iterator
from typing import Any

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
#: Seconds for which a browser that was here by TLS does not come without.
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}


def missing(present: list[tuple[str, str]], secure: bool) -> Iterator[tuple[str, str]]:
    """Yield the headers that an answer lacks; those it has stand, for a page knows better.

    :param secure: it goes by TLS
    """
    names = {name.lower() for name, _ in present}
    for name, value in (_ALWAYS | (_HSTS if secure else {})).items():
        if name.lower() not in names:
            yield name, value


class SecurityHeaders:
    """WSGI middleware: adds them to every answer."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            secure = environ.get("wsgi.url_scheme") == "https"
            return start_response(status, [*headers, *missing(headers, secure)], *more)

        return self._application(environ, start)
