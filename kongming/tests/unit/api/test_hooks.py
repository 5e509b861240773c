# SPDX-License-Identifier: Apache-2.0

import types
from typing import Any

from oslo_context import context as oslo_context

from kongming import context, rpc
from kongming.api import hooks, routes
from kongming.tests import base


class RequestIdTest(base.BareTestCase):
    """What is logged bears the id of the request that it is about, though threads are reused."""

    def setUp(self) -> None:
        super().setUp()
        # what this thread remembers from other tests
        self.addCleanup(context.RequestContext)
        context.RequestContext(request_id="req-of-somebody-else")

    def logged(self) -> str:
        """Return the id that a line of the log would bear now."""
        found: Any = oslo_context.get_current()
        request_id: str = found.request_id
        return request_id

    def test_api(self) -> None:
        hook = hooks.RequestHook(conductor=None, nova=None)  # type: ignore[arg-type]
        for number in (1, 2):
            environ = {"openstack.request_id": f"req-{number}", "HTTP_X_ROLES": "member"}
            state = types.SimpleNamespace(request=routes.Request.blank("/v1", environ=environ))
            hook.on_route(state)
            self.assertEqual(f"req-{number}", state.request.context.request_id)
            self.assertEqual(f"req-{number}", self.logged())

    def test_rpc(self) -> None:
        serializer = rpc._ContextSerializer()
        for number in (1, 2):
            sent = serializer.serialize_context(
                context.RequestContext(request_id=f"req-{number}", auth_token="secret")
            )
            context.RequestContext()
            received = serializer.deserialize_context(sent)
            self.assertEqual((f"req-{number}", None), (received.request_id, received.auth_token))
            self.assertEqual(f"req-{number}", self.logged())

    def test_own_behalf(self) -> None:
        first, second = context.service_context(), context.service_context()
        self.assertNotEqual(first.request_id, second.request_id)
        self.assertEqual(second.request_id, self.logged())
