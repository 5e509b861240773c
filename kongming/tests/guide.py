# SPDX-License-Identifier: Apache-2.0
"""What the documentation says that readers shall type, and what they then see."""

import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from kongming.tests import base

DOCUMENTS = pathlib.Path(base.__file__).parents[2] / "doc/source"


class Step(NamedTuple):
    """A command, and the lines that it prints; ``…`` stands for anything, alone for any lines."""

    command: str
    output: list[str]

    def matches(self, printed: str) -> bool:
        """Whether a command has printed that."""
        pattern = ".*".join(map(re.escape, "\n".join(self.output).split("…")))
        return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Block(NamedTuple):
    """A block of code: its language, its name if it has one, and its lines."""

    language: str
    name: str
    text: str

    def steps(self) -> Iterator[Step]:
        """Yield the commands of a block that shows a terminal; ``#`` is the prompt of root."""
        for part in re.split(r"(?m)^[$#] ", self.text)[1:]:
            command, _, output = part.replace("\\\n", "").partition("\n")
            yield Step(command, output.splitlines())


def text(document: str) -> str:
    """Return a document, given by its path."""
    return (DOCUMENTS / document).read_text()


def blocks(document: str) -> list[Block]:
    """Return the blocks of a document in their order."""
    form = r"\.\. code-block:: (\w+)\n(?:   :name: (.*)\n)?\n((?:   .*\n|\n)+)"
    found = re.findall(form, text(document))
    return [
        Block(language, name, re.sub("^   ", "", lines, flags=re.MULTILINE).strip() + "\n")
        for language, name, lines in found
    ]
