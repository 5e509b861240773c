# SPDX-License-Identifier: Apache-2.0
"""What answers tell browsers, what pages of other sites may, and how fast clients may be."""

from typing import Any, ClassVar

import requests
from oslo_config import cfg
from oslo_middleware import cors, http_proxy_to_wsgi

from kongming.tests.embedded import base, test_auth

EXPECTED = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
ORIGIN = "https://map.example.org"


class HeadersTest(test_auth.AuthTestCase):
    def assert_safe(self, headers: Any) -> None:
        for name, value in EXPECTED.items():
            self.assertEqual(value, headers.get(name), name)
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertNotIn("Strict-Transport-Security", headers)
        self.assertNotIn("Access-Control-Allow-Origin", headers)

    def test_every_answer(self) -> None:
        for token, method, path in (
            (None, "GET", "/"),
            (None, "GET", "/v1/openapi.json"),
            (None, "GET", "/v1/pins"),
            ("wrong", "GET", "/v1/pins"),
            ("telco", "GET", "/v1/pins"),
            ("telco", "GET", "/v1/colours"),
            ("telco", "BREW", "/v1/pins"),
            ("telco member", "GET", "/v1/hosts"),
        ):
            answer = self.ask(token, method, path, headers={"Origin": ORIGIN})
            self.assert_safe(answer.headers)
        # what never reaches the application
        refused = self.raw(b"nonsense\r\n\r\n")
        self.assertEqual(400, refused.status)
        self.assert_safe(refused.headers)

    def test_pages_of_other_sites_are_not_asked_for(self) -> None:
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        answer = requests.options(f"{self.kongming.url}/v1/pins", headers=preflight, timeout=30)
        self.assertEqual(401, answer.status_code)
        self.assert_safe(answer.headers)


class CorsTest(base.EmbeddedTestCase):
    def options(self) -> dict[str, dict[str, Any]]:
        cfg.CONF.register_opts(cors.CORS_OPTS, "cors")
        return {"cors": {"allowed_origin": [ORIGIN]}}

    def test_those_that_are_named_are_let_in(self) -> None:
        preflight = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "X-Auth-Token, OpenStack-API-Version",
        }
        answer = requests.options(f"{self.kongming.url}/v1/pins", headers=preflight, timeout=30)
        self.assertEqual(ORIGIN, answer.headers["Access-Control-Allow-Origin"])
        self.assertIn("X-Auth-Token", answer.headers["Access-Control-Allow-Headers"])
        answer = self.get("/v1/pins", headers={"Origin": ORIGIN})
        self.assertEqual(ORIGIN, answer.headers["Access-Control-Allow-Origin"])
        answer = self.get("/v1/pins", headers={"Origin": "https://example.com"})
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)


class HostTest(base.SharedTestCase):
    def ask(self, host: bytes) -> Any:
        """Ask for a document that is full of links."""
        lines = (b"GET /v1 HTTP/1.1", b"Host: " + host, b"Connection: close", b"", b"")
        return self.raw(b"\r\n".join(lines))

    def test_what_is_none_is_in_no_link(self) -> None:
        for host in (
            b"a b",
            b"a\tb",
            b"a/<b>",
            b"a@b",
            b'"',
            b"a:b",
            b"a:123456",
            b"[a",
            b"a, b",
            b"\xe9",
        ):
            answer = self.ask(host)
            self.assertEqual(400, answer.status, str(host))
            self.assertIn(b"Host: must be", answer.body)

    def test_names_and_addresses(self) -> None:
        for host in (
            b"pins.example.org",
            b"a_b-c:8080",
            b"127.0.0.1:9000",
            b"[::1]:9000",
        ):
            answer = self.ask(host)
            self.assertEqual(200, answer.status, str(host))
            self.assertIn(b"http://" + host, answer.body)
        answer = self.ask(b"pins.example.org:")
        self.assertEqual(200, answer.status)
        self.assertIn(b"http://pins.example.org/v1", answer.body)

    def test_any_will_do_where_links_begin_with_another(self) -> None:
        self.kongming.conf.set_override("public_endpoint", "https://pins.example.org", "api")
        self.addCleanup(self.kongming.conf.clear_override, "public_endpoint", "api")
        for host in (b"a b", b"a, b", b"[fe80::1%25eth0]:9517", b""):
            answer = self.ask(host)
            self.assertEqual(200, answer.status, str(host))
            self.assertIn(b"https://pins.example.org/v1", answer.body)


class ForwardedHostTest(base.EmbeddedTestCase):
    """Behind proxies, each of which adds the host that it was asked for."""

    def options(self) -> dict[str, dict[str, Any]]:
        cfg.CONF.register_opts(http_proxy_to_wsgi.OPTS, "oslo_middleware")
        return {"oslo_middleware": {"enable_proxy_headers_parsing": True}}

    def test_first_of_a_list(self) -> None:
        for hosts in ("pins.example.org", "pins.example.org, 192.0.2.7:8080", "pins.example.org,b"):
            answer = self.get("/v1", headers={"X-Forwarded-Host": hosts})
            self.assertEqual(200, answer.status_code, answer.text)
            self.assertIn('"http://pins.example.org/v1', answer.text)
        answer = self.get("/v1", headers={"X-Forwarded-Host": "a b, pins.example.org"})
        self.assertEqual(400, answer.status_code)


class RateTest(test_auth.AuthTestCase):
    api_options: ClassVar[dict[str, Any]] = {
        "auth_strategy": "keystone",
        "request_rate": 0.001,
        "request_burst": 3,
    }

    def test_each_project_has_its_own(self) -> None:
        statuses = [self.ask("telco", "GET", "/v1/pins").status_code for _ in range(3)]
        self.assertEqual([200] * 3, statuses)
        for token in ("telco", "telco reader"):
            answer = self.ask(token, "GET", "/v1/pins")
            self.assert_error(answer, 429, "too_many_requests")
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(200, self.ask("shop", "GET", "/v1/pins").status_code)
        for _ in range(9):
            self.assertEqual(200, self.ask("nova", "GET", "/v1/pins").status_code)

    def test_flood_of_requests_is_no_flood_of_log_lines(self) -> None:
        statuses = [self.ask("telco", "GET", "/v1/pins").status_code for _ in range(20)]
        self.assertEqual(17, statuses.count(429))
        self.assertEqual(1, self.kongming.log.output.count("Project telco sends requests too fast"))
