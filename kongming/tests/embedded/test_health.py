# SPDX-License-Identifier: Apache-2.0
"""``/healthcheck``, as load balancers ask it."""

import fixtures
import requests
import sqlalchemy as sa

from kongming.api import health
from kongming.db import engine
from kongming.tests.embedded import base


class HealthTest(base.EmbeddedTestCase):
    def setUp(self) -> None:
        super().setUp()
        # each question is answered anew, however long a conductor takes
        self.useFixture(fixtures.MonkeyPatch("kongming.api.health._KEEP_SECONDS", -1))
        self.useFixture(fixtures.MonkeyPatch("kongming.api.health._PING_SECONDS", 20))

    def health(self, method: str = "GET", **headers: str) -> requests.Response:
        """Ask, without a token."""
        url = f"{self.kongming.url}/healthcheck"
        return requests.request(method, url, headers=headers, timeout=30)

    def test_healthy(self) -> None:
        answer = self.health()
        self.assertEqual((200, "OK\nOK"), (answer.status_code, answer.text))
        self.assertIn("X-OpenStack-Request-Id", answer.headers)
        answer = self.health(Accept="application/json")
        self.assertEqual({"detailed": False, "reasons": ["OK", "OK"]}, answer.json())
        answer = self.health("HEAD")
        self.assertEqual((204, ""), (answer.status_code, answer.text))

    def test_only_that_path_and_these_methods(self) -> None:
        self.assertEqual(404, self.health("POST").status_code)
        self.assertEqual(404, self.get("/healthcheck/").status_code)
        self.assertEqual(404, self.get("/v1/healthcheck").status_code)

    def test_no_conductor(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.health._PING_SECONDS", 0.2))
        parts = self.kongming.parts
        assert parts is not None
        parts._conductor._server.stop()
        answer = self.health()
        self.assertEqual(503, answer.status_code)
        self.assertEqual("OK\nNo conductor answers.", answer.text)
        self.assertEqual(503, self.health("HEAD").status_code)
        self.assertIn("of no use: No conductor answers.", self.kongming.log.output)
        # what can be read still is
        self.assertEqual(200, self.get("/v1/hosts").status_code)

    def test_no_database(self) -> None:
        with engine.writer() as session:
            session.execute(sa.text("ALTER TABLE hosts RENAME TO gone"))
        answer = self.health()
        self.assertEqual(503, answer.status_code)
        self.assertEqual("The database cannot be read.\nOK", answer.text)


class BoundedTest(base.SharedTestCase):
    def test_a_finding_is_kept(self) -> None:
        self.useFixture(fixtures.MonkeyPatch("kongming.api.health._KEEP_SECONDS", 600))
        looks: list[int] = []

        def look(check: health.Database) -> str | None:
            looks.append(1)
            return None

        self.useFixture(fixtures.MonkeyPatch("kongming.api.health.Database.look", look))
        for _ in range(5):
            answer = requests.get(f"{self.kongming.url}/healthcheck", timeout=30)
            self.assertEqual(200, answer.status_code)
        self.assertEqual([1], looks)
