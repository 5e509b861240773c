# SPDX-License-Identifier: Apache-2.0
"""Hostile input, made up by programs; ``KONGMING_TEST_CASES`` says how much of it."""

import importlib.util
import os
import unittest

#: About how many requests the API gets; each parser gets five times as many inputs.
CASES = int(os.environ.get("KONGMING_TEST_CASES", "2000"))

for name in ("atheris", "schemathesis"):
    if importlib.util.find_spec(name) is None:
        raise unittest.SkipTest(f"{name} is not there; tox -e fuzz has it")
