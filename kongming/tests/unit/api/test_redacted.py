# SPDX-License-Identifier: Apache-2.0

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from wsme import types as wtypes

from kongming import exception, topology
from kongming.api import errors, redacted
from kongming.api.microversion import VERSIONS
from kongming.api.root import Root
from kongming.context import RequestContext
from kongming.tests import base

PLAIN = RequestContext(project_id="telco", roles=["member", "reader"])
PLACER = RequestContext(project_id="telco", roles=["member", "reader", "resource_pin"])
ADMIN = RequestContext(project_id="operators", roles=["admin"])
OTHERS = "22222222-2222-4222-8222-222222222222"


class KnownTest(base.BareTestCase):
    """Nothing new is shown to everybody because nobody thought of it."""

    def test_every_code_is_judged(self) -> None:
        codes = {error.code for error in _subclasses(exception.KongMingError)}
        codes |= set(errors.CODES.values())
        found = {code.removeprefix("resource_pin.") for code in codes}
        for path in pathlib.Path(topology.__file__).parent.glob("*.py"):
            text = path.read_text()
            found |= set(re.findall(r'Reason\(\s*[^,]+,\s*"([a-z_]+)"', text))
            found |= set(re.findall(r'code = "([a-z_]+)"', text))
        http = {code.removeprefix("resource_pin.") for code in errors.CODES.values()}
        judged = redacted.HARMLESS | set(redacted._INSTEAD) | http
        self.assertEqual(set(), found - judged)
        self.assertEqual(set(), redacted.HARMLESS & set(redacted._INSTEAD))

    def test_every_field_for_places_is_hidden(self) -> None:
        """What is called so in an answer tells a place, whatever type it is in."""
        suspects = {"host", "placement", "observed", "cpu_mappings", "receipt", "threads"}
        # who asks for these must see places
        closed = {"Host", "OldHost", "Found", "Rejected", "Resident", "Cpus", "Core", "NumaNode"}
        for datatype in _types():
            for attribute in wtypes.list_attributes(datatype):
                if attribute.name in suspects and datatype.__name__ not in closed:
                    self.assertIn(attribute.name, datatype._places, datatype)

    def test_every_sentence_is_judged(self) -> None:
        for datatype in _types():
            names = {attribute.name for attribute in wtypes.list_attributes(datatype)}
            for name in names & {"reason", "detail"}:
                if datatype.__name__ != "ErrorEntry":
                    self.assertIn(name, datatype._words, datatype)


class WordsTest(base.TestCase):
    def words(self, context: RequestContext, text: str, about: str) -> str:
        return redacted.Sight(context).words(text, about)

    def test_members_are_told_what_they_can_do_something_about(self) -> None:
        for text, about in (
            ("vcpus.9: the instance has no vCPU 9", "resource_pin.vcpu_unknown"),
            ("the instance is shutoff", "waiting"),
            ("quota: project telco may have 1 pins", "failed"),
        ):
            self.assertEqual(text, self.words(PLAIN, text, about))

    def test_members_are_told_no_places(self) -> None:
        for text, about in (
            ("pCPU 4 of host one is held", "resource_pin.cpu_already_claimed"),
            ("the instance left host one", "waiting"),
            ("vCPU 0 is on 5 instead of 4", "drifted"),
            ("libvirt: pCPU 17 on one", "failed"),
            ("numa_nodes.0.memory: NUMA node 1 of one has 5 MiB", "resource_pin.memory_short"),
            ("NUMA node 1 of one", "a word of tomorrow"),
        ):
            told = self.words(PLAIN, text, about)
            self.assertNotRegex(told, "one|[0-9](?!\\.memory)")
        self.assertTrue(told)

    def test_field_stays(self) -> None:
        text = "memory.nodes: NUMA node 1 has 5 of the 6 MiB needed"
        told = self.words(PLAIN, text, "resource_pin.memory_short")
        self.assertTrue(told.startswith("memory.nodes: too little"), told)

    def test_admins_are_told_all(self) -> None:
        text = f"pCPU 4 of host one is held by the pin of instance {OTHERS}"
        self.assertEqual(text, self.words(ADMIN, text, "failed"))


def _subclasses(cls: Any) -> Iterator[Any]:
    yield cls
    for child in cls.__subclasses__():
        yield from _subclasses(child)


def _types() -> set[Any]:
    """Return all complex types of answers."""
    found: set[Any] = set()
    root = Root()
    for version, _ in VERSIONS:
        for operation in root.operations(version):
            _add(operation.function.description.answers, found)  # type: ignore[attr-defined]
    return found


def _add(datatype: Any, found: set[Any]) -> None:
    if wtypes.isarray(datatype):
        _add(datatype.item_type, found)
    elif wtypes.isdict(datatype):
        _add(datatype.value_type, found)
    elif wtypes.iscomplex(datatype) and datatype not in found:
        found.add(datatype)
        for attribute in wtypes.list_attributes(datatype):
            _add(attribute.datatype, found)
