# SPDX-License-Identifier: Apache-2.0
from typing import Any

from kongming.tests import base
from kongming.topology import template
from kongming.topology.template import Reference
from kongming.topology.wish import Wish, WishError

ID = "11111111-1111-4111-8111-111111111111"
ROLES = {"roles": {"control": {"emulator": "1"}, "media": {"cpu_policy": "dedicated"}}}


class ReferenceTest(base.BareTestCase):
    def test_forms(self) -> None:
        for text, name, role, template_id in (
            ("gold", "gold", None, None),
            ("ims-4.2_x/media", "ims-4.2_x", "media", None),
            (ID, ID, None, ID),
            (f"{ID.upper()}/media", ID.upper(), "media", ID),
        ):
            found = Reference.parse(text)
            self.assertEqual((name, role, template_id), (*found, found.id), text)

    def test_refused(self) -> None:
        too_long, newline = "a" * 65, "a\n"
        texts: tuple[Any, ...] = ("", "/", "gold/", "/media", "a/b/c", "a b", "-a", 1, [])
        for text in (*texts, too_long, newline):
            error = self.assertRaises(WishError, Reference.parse, text)
            self.assertEqual("template", error.field, str(text))


class NameTest(base.BareTestCase):
    def test_refused(self) -> None:
        for text in ("", "a/b", "a b", ".a", "a" * 65, "ä", "a\n", ID):
            error = self.assertRaises(WishError, template.name, "roles.x", text)
            self.assertEqual("roles.x", error.field, text)

    def test_longest(self) -> None:
        self.assertEqual("a" * 64, template.name("name", "a" * 64))


class WishTest(base.BareTestCase):
    def test_own_fields_take_the_place_of_the_templates(self) -> None:
        content = {"wish": {"vcpus": {"0": "4", "1": "5"}, "emulator": "1", "enforce": False}}
        self.assertEqual(Wish.from_dict(content["wish"]), template.wish(content, None, {}))
        self.assertEqual(
            Wish(every_vcpu=4, emulator=2),
            template.wish(content, None, {"vcpus": {"*": "2"}, "enforce": True}),
        )

    def test_role(self) -> None:
        self.assertEqual(Wish(emulator=2), template.wish(ROLES, "control", {}))
        self.assertEqual(Wish("dedicated", emulator=4), template.wish(ROLES, "media", EMULATOR))

    def test_role_is_wrong(self) -> None:
        for content, role, words in (
            (ROLES, None, "a role must be named; there are control, media"),
            (ROLES, "data", "has no role data; there are control, media"),
            ({"wish": {}}, "media", "has no roles, so none can be media"),
        ):
            error = self.assertRaises(WishError, template.wish, content, role, {})
            self.assertEqual(("template", words), (error.field, error.reason))

    def test_what_contradicts_the_template(self) -> None:
        content = {"wish": {"cpu_policy": "dedicated", "thread_policy": "isolate"}}
        shared = {"cpu_policy": "shared"}
        error = self.assertRaises(WishError, template.wish, content, None, shared)
        self.assertEqual("thread_policy", error.field)


EMULATOR = {"emulator": "2"}
