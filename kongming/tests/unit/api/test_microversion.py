# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from typing import Any

from kongming import exception
from kongming.api import microversion, root, routes
from kongming.api.microversion import VERSIONS, Version, Versioned, serves
from kongming.tests import base


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every node of the tree of paths."""
    yield path, node
    if isinstance(node, Versioned):
        for controller in node.controllers:
            yield from nodes(controller, path)
        return
    for name, child in node.children.items():
        yield from nodes(child, f"{path}/{name}")


class VersionsTest(base.BareTestCase):
    def test_in_order_without_gaps(self) -> None:
        versions = [version for version, _ in VERSIONS]
        self.assertEqual([Version(1, minor) for minor in range(len(versions))], versions)
        self.assertEqual(versions[0], microversion.MIN_VERSION)
        self.assertEqual(versions[-1], microversion.MAX_VERSION)

    def test_each_says_what_it_brought(self) -> None:
        self.assertNotIn("", [text for _, text in VERSIONS])

    def test_every_version_has_one_controller(self) -> None:
        versioned = {path: node for path, node in nodes(root.Root()) if isinstance(node, Versioned)}
        first = {"/v1/hosts": 0, "/v1/instances": 0, "/v1/pins/reservation": 2, "/v1/pins/move": 9}
        first |= {"/v1/templates": 10, "/v1/rollouts": 10, "/v1/quotas": 12}
        first |= {"/v1/calendars": 11, "/v1/pins/schedule": 11}
        self.assertEqual(set(first), set(versioned))
        for path, node in versioned.items():
            for version, _ in VERSIONS[first[path] :]:
                serving = [
                    controller
                    for controller in node.controllers
                    if controller.versions[0] <= version <= controller.versions[1]
                ]
                self.assertEqual(1, len(serving), f"{path} at {version}: {serving}")
            for controller in node.controllers:
                self.assertIn(controller.versions[0], dict(VERSIONS))
                self.assertIn(controller.versions[1], dict(VERSIONS))

    def test_no_range_is_forgotten(self) -> None:
        """A controller with a range is worth nothing outside of a Versioned."""
        tree = list(nodes(root.Root()))
        inside = [
            id(controller)
            for _, node in tree
            if isinstance(node, Versioned)
            for controller in node.controllers
        ]
        for path, node in tree:
            if hasattr(node, "versions"):
                self.assertIn(id(node), inside, path)


class NegotiateTest(base.BareTestCase):
    def negotiate(self, value: str) -> Version:
        return microversion.negotiate({"OpenStack-API-Version": value})

    def test_absent(self) -> None:
        self.assertEqual(Version(1, 0), microversion.negotiate({}))
        self.assertEqual(Version(1, 0), self.negotiate("compute 2.1"))

    def test_present(self) -> None:
        for version, _ in VERSIONS:
            for service_type in ("resource_pin", "resource-pin", "Resource_Pin"):
                self.assertEqual(version, self.negotiate(f"{service_type} {version}"))
        self.assertEqual(microversion.MAX_VERSION, self.negotiate("resource_pin latest"))

    def test_malformed(self) -> None:
        for text in (
            "1",
            "1.",
            ".1",
            "a.b",
            "1.1.1",
            "1.1 x",
            "01.1",
            "1.01",
            "+1.1",
            "1.-1",
            "1_0.1",
            "1.1_0",
            "1.\u0661",
            "LATEST!",
            "1.1\0",
            "0x1.1",
            "1." + "1" * 99,
        ):
            self.assertRaises(exception.BadRequest, self.negotiate, f"resource_pin {text}")

    def test_not_there(self) -> None:
        for text in ("1.99", "2.0", "9.999999999", "1.123456789"):
            error = self.assertRaises(
                microversion.NotAcceptable, self.negotiate, f"resource_pin {text}"
            )
            self.assertIn(text, error.message)


class ServesTest(base.BareTestCase):
    def test_range(self) -> None:
        @serves("1.0", "1.0")
        class Old(routes.Collection):
            pass

        @serves("1.1")
        class New(routes.Collection):
            pass

        self.assertEqual((Version(1, 0), Version(1, 0)), Old.versions)  # type: ignore[attr-defined]
        self.assertEqual(
            (Version(1, 1), microversion.MAX_VERSION),
            New.versions,  # type: ignore[attr-defined]
        )
