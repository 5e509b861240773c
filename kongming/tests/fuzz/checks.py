# SPDX-License-Identifier: Apache-2.0
"""What schemathesis shall check beside what it knows itself; it loads this module by its name."""

import schemathesis


@schemathesis.check
def no_trace(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Insist that an answer says nothing about the code."""
    for word in ("Traceback", 'File "', "sqlalchemy", "kongming/"):
        assert word not in response.text, f"the answer has {word!r}"
