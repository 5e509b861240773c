# SPDX-License-Identifier: Apache-2.0
"""What the documentation names is there: options, commands, paths, codes of errors."""

import importlib.metadata
import pathlib
import re
import shlex
from collections.abc import Iterator

import kongming
from kongming.api import errors, redacted
from kongming.api.microversion import MAX_VERSION
from kongming.api.root import Root
from kongming.tests import base

TOP = pathlib.Path(kongming.__file__).parents[1]
PLACES = ("*.rst", "devstack/*.rst", "doc/source/**/*.rst", "api-ref/source/*.rst")
#: Those of Nova, of Keystone, and of setup.cfg.
OF_OTHERS: dict[str, set[str]] = {
    "compute": {"cpu_shared_set", "cpu_dedicated_set"},
    "token": {"allow_expired_window"},
    "entry_points": set(),
}
#: The noun of the page on how to add one.
OF_NOBODY = "/v1/things"
#: What is more precise is sent instead; the rest are no codes, but states of pins and events.
NEVER_SENT = {
    *("conflict", "does_not_fit"),
    *("applied", "drifted", "expired", "failed", "pending", "refused", "reserved", "waiting"),
}


def documents() -> Iterator[tuple[str, str]]:
    """Yield name and text of each document."""
    for place in PLACES:
        for path in sorted(TOP.glob(place)):
            yield str(path.relative_to(TOP)), path.read_text()


class DocumentationTest(base.BareTestCase):
    def test_options(self) -> None:
        known = _options()
        named = 0
        for name, text in documents():
            for group, option in re.findall(r"``[^`]*(?<!\w)\[(\w+)\](?: (\w+))?[^`]*``", text):
                named += 1
                self.assertIn(group, known, name)
                if option:
                    self.assertIn(option, known[group], f"{name}: [{group}]")
        self.assertGreater(named, 100)

    def test_commands(self) -> None:
        entries = importlib.metadata.entry_points(group="openstack.resource_pin.v1")
        known = {entry.name.replace("_", " "): entry for entry in entries}
        named = set()
        for name, text in documents():
            for words in re.findall(r"^ +\$ openstack (resource pin .*)", text, re.MULTILINE):
                found = [command for command in known if f"{words} ".startswith(f"{command} ")]
                self.assertTrue(found, f"{name}: openstack {words}")
                command = max(found, key=len)
                named.add(command)
                parser = known[command].load()(None, None).get_parser("x")
                for word in shlex.split(words):
                    if word.startswith("--"):
                        option = word.partition("=")[0]
                        self.assertIn(option, parser._option_string_actions, f"{name}: {words}")
        self.assertGreater(len(named), 10)

    def test_paths(self) -> None:
        found = {operation.path for operation in Root().operations(MAX_VERSION)} | {"/v1"}
        known = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", path) for path in found))
        for name, text in documents():
            for path in re.findall(r"(?:``|GET |POST |PUT |DELETE |\d)(/v1[\w{}/.-]*)", text):
                if not path.endswith(".py") and path != OF_NOBODY:
                    self.assertTrue(known.fullmatch(path.rstrip("/.")), f"{name}: {path}")

    def test_codes(self) -> None:
        known = {code.removeprefix("resource_pin.") for code in errors.CODES.values()} | {"error"}
        known |= redacted.HARMLESS | set(redacted._INSTEAD)
        told = set(re.findall(r"resource_pin\.(\w+)``", "".join(text for _, text in documents())))
        self.assertEqual(set(), told - known | told & NEVER_SENT)
        page = (TOP / "api-ref/source/errors.rst").read_text()
        listed = "".join(re.findall(r"^   \* - (``\w.*)$", page, re.MULTILINE))
        self.assertEqual(set(), set(re.findall(r"``(\w+)``", listed)) - known)
        self.assertEqual(NEVER_SENT, known - set(re.findall(r"``(\w+)``", page)))


def _options() -> dict[str, set[str]]:
    """Return the options that the samples have, by group."""
    samples = "".join(path.read_text() for path in TOP.glob("etc/kongming/*-config-generator.conf"))
    namespaces = set(re.findall("^namespace = (.+)$", samples, re.MULTILINE))
    known = {group: set(names) for group, names in OF_OTHERS.items()}
    for entry in importlib.metadata.entry_points(group="oslo.config.opts"):
        if entry.name in namespaces:
            for group, options in entry.load()():
                known.setdefault(str(group or "DEFAULT"), set()).update(o.dest for o in options)
    return known
