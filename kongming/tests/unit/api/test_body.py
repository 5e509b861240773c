# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

import hypothesis
import webob
from hypothesis import strategies
from webob import exc
from wsme import types as wtypes

from kongming import exception
from kongming.api import body
from kongming.tests import base


class Inner(wtypes.Base):
    nodes = wtypes.wsattr(wtypes.text, mandatory=True)


class Outer(wtypes.Base):
    text = wtypes.text
    number = int
    flag = bool
    word = wtypes.Enum(str, "one", "two")
    texts = wtypes.DictType(wtypes.text, wtypes.text)
    inner = Inner
    owner = body.Identifier()
    renamed = wtypes.wsattr(wtypes.text, name="re-named")
    fixed = wtypes.wsattr(wtypes.text, readonly=True)


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda children: (
        strategies.lists(children, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


class ReadTest(base.BareTestCase):
    def read(self, content: bytes, content_type: str = "application/json") -> Any:
        request = webob.Request.blank("/", method="POST", body=content, content_type=content_type)
        return body.read(request, Outer)

    def refused(self, content: bytes) -> str:
        """Return the message of the refusal."""
        return self.assertRaises(exception.BadRequest, self.read, content).message

    def test_fields(self) -> None:
        found = self.read(
            b'{"text": "a", "number": -1, "flag": false, "word": "two", "texts": {"b": "c"},'
            b' "inner": {"nodes": "0"}, "owner": "\xc3\xa9", "re-named": "d"}'
        )
        self.assertEqual(
            ("a", -1, False, "two", {"b": "c"}, "0", "\u00e9", "d"),
            (
                found.text,
                found.number,
                found.flag,
                found.word,
                found.texts,
                found.inner.nodes,
                found.owner,
                found.renamed,
            ),
        )

    def test_absent_fields(self) -> None:
        found = self.read(b" {} ")
        for attribute in wtypes.list_attributes(Outer):
            self.assertIs(wtypes.Unset, getattr(found, attribute.key))

    def test_content_types(self) -> None:
        for content_type in (
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
        ):
            self.read(b"{}", content_type)
        for content_type in ("", "text/plain", "application/json5", "application/x-json", ";"):
            self.assertRaises(exc.HTTPUnsupportedMediaType, self.read, b"{}", content_type)

    def test_refusals(self) -> None:
        for content, message in (
            (b"[]", "body: must be an object"),
            (b'{"text": 1}', "text: must be a string"),
            (b'{"number": "1"}', "number: must be an integer"),
            (b'{"number": true}', "number: must be an integer"),
            (b'{"number": 1.0}', "number: must be an integer"),
            (b'{"flag": 1}', "flag: must be true or false"),
            (b'{"word": "three"}', "word: must be one of one, two"),
            (b'{"word": []}', "word: must be one of one, two"),
            (b'{"texts": []}', "texts: must be an object"),
            (b'{"texts": {"b": 1}}', "texts.b: must be a string"),
            (b'{"inner": {}}', "inner.nodes: is missing"),
            (b'{"inner": {"nodes": 1}}', "inner.nodes: must be a string"),
            (b'{"inner": {"nodes": "1", "x": 1}}', "inner.x: unknown field"),
            (b'{"owner": ""}', "owner: must be 1 to 255 printable characters"),
            (b'{"owner": "\\n"}', "owner: must be 1 to 255 printable characters"),
            (b'{"renamed": "x"}', "renamed: unknown field"),
            (b'{"fixed": "x"}', "fixed: is read-only"),
            (b'{"text": null}', "text: must be a string"),
        ):
            self.assertEqual(message, self.refused(content))

    @hypothesis.given(JSON)
    def test_any_json(self, data: Any) -> None:
        """Is taken or refused; nothing else."""
        for document in (
            data,
            {"text": data},
            {"texts": data},
            {"texts": {"a": data}},
            {"inner": data},
            {"word": data},
            {"owner": data},
            {"number": data},
        ):
            try:
                self.read(json.dumps(document).encode())
            except exception.BadRequest as error:
                self.assertTrue(error.message)

    @hypothesis.given(strategies.binary(max_size=64))
    def test_any_bytes(self, content: bytes) -> None:
        """Are taken or refused; nothing else."""
        try:
            self.read(content)
        except exception.BadRequest as error:
            self.assertTrue(error.message)
