# SPDX-License-Identifier: Apache-2.0
"""Write requirements with each lower bound as the only version: lower_bounds.py TO FROM...

FROM is a file of requirements, or setup.cfg:EXTRA.
"""

import configparser
import pathlib
import re
import sys

_LINE = re.compile(r"([A-Za-z0-9._-]+(?:\[[a-z,]+\])?)>=([^\s,#]+)")


def pinned(text: str) -> list[str]:
    """Return a requirement for each line of a file of requirements that has one.

    :raises ValueError: a line has no lower bound
    """
    found = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"no lower bound: {line}")
        found.append("==".join(match.groups()))
    return found


def read(name: str) -> str:
    """Return the requirements that a name, see above, stands for."""
    path, _, extra = name.partition(":")
    text = pathlib.Path(path).read_text()
    if not extra:
        return text
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(text)
    return config["extras"][extra]


if __name__ == "__main__":
    lines = [line for name in sys.argv[2:] for line in pinned(read(name))]
    pathlib.Path(sys.argv[1]).write_text("\n".join([*lines, ""]))
