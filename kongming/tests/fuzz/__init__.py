# SPDX-License-Identifier: Apache-2.0
"""Hostile input, made up by programs.

``KONGMING_TEST_CASES`` says how many requests the API gets, ``KONGMING_TEST_INPUTS`` what the rest.
"""

import importlib.util
import os
import unittest

#: How many requests the API gets at least.
CASES = int(os.environ.get("KONGMING_TEST_CASES", "20000"))
#: How many inputs each parser gets, which are fast; wishes as a fifth of that.
INPUTS = int(os.environ.get("KONGMING_TEST_INPUTS", "10000"))

for name in ("atheris", "schemathesis"):
    if importlib.util.find_spec(name) is None:
        raise unittest.SkipTest(f"{name} is not there; tox -e fuzz has it")
