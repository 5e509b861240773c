# SPDX-License-Identifier: Apache-2.0

from kongming import exception
from kongming.tests import base


class SeveralProblemsTest(base.BareTestCase):
    def test_they_have_an_end(self) -> None:
        problems = [("resource_pin.places_forbidden", f"vcpus.{n}: no") for n in range(8192)]
        error = exception.PlacesForbidden(problems=problems)
        self.assertEqual(problems[:99], error.errors[:99])
        self.assertEqual([(problems[0][0], "vcpus.99: no; and 8092 more")], error.errors[99:])
        # as it comes out of RPC
        again = exception.PlacesForbidden(error.message, **error.kwargs)
        self.assertEqual((error.message, error.errors), (again.message, again.errors))
        few = exception.PlacesForbidden(problems=problems[:100])
        self.assertEqual(problems[:100], few.errors)
