# SPDX-License-Identifier: Apache-2.0

from kongming.tests import base
from kongming.topology import markup

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "entities of entities": f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]><a>&a9;</a>',
    "a long entity": f'<!DOCTYPE a [<!ENTITY b "{"x" * 50_000}">]><a>{"&b;" * 50_000}</a>',
    "a file": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "attributes by default": '<!DOCTYPE a [<!ATTLIST a id CDATA "1">]><a/>',
    "an empty type": "<!DOCTYPE a><a/>",
}


class MarkupTest(base.BareTestCase):
    def test_document_types(self) -> None:
        for name, document in BOMBS.items():
            error = self.assertRaises(markup.MarkupError, markup.root, document)
            self.assertIn("document type", str(error), name)

    def test_no_markup(self) -> None:
        for document in ("", "<a>", "<a/><b/>", "<a>&b;</a>", "<a b='1' b='2'/>", "<a>\0</a>"):
            self.assertRaises(markup.MarkupError, markup.root, document)

    def test_text_is_text(self) -> None:
        root = markup.root("<a b='&lt;!DOCTYPE&gt;'>&lt;!DOCTYPE&gt;</a>")
        self.assertEqual(("<!DOCTYPE>", "<!DOCTYPE>"), (root.text, root.get("b")))
