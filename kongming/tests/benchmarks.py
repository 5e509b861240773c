# SPDX-License-Identifier: Apache-2.0
"""Run a script of ``benchmarks/`` for a moment: its figures mean nothing then, but it works."""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]


def run(name: str, *arguments: str) -> dict[str, Any]:
    """Return the figures of a script, which must succeed."""
    with tempfile.TemporaryDirectory() as directory:
        figures = pathlib.Path(directory) / "figures.json"
        command = [sys.executable, str(_ROOT / "benchmarks" / name), *arguments]
        done = subprocess.run(
            [*command, "--json", str(figures)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        found: dict[str, Any] = json.loads(figures.read_text())
        return found
