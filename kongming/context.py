# SPDX-License-Identifier: Apache-2.0
"""Who asks: the security context of a request, carried from the API over RPC."""

from oslo_context import context


class RequestContext(context.RequestContext):
    """A user's (or KongMing's own) identity, roles and request id."""


def service_context() -> RequestContext:
    """Return the context in which KongMing acts on its own behalf."""
    return RequestContext(is_admin=True)
