#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a subunit stream; prints how many tests passed, failed, were skipped, and which failed."""

import sys
from collections.abc import Mapping

import subunit
import testtools

PASSED = ("success", "xfail")
SKIPPED = ("skip",)


def main() -> None:
    """Count what comes in on standard input."""
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    failed = []

    def count(test: Mapping[str, object]) -> None:
        # Whatever is neither passed nor skipped failed: also a test that never ended.
        if test["status"] in PASSED:
            totals["passed"] += 1
        elif test["status"] in SKIPPED:
            totals["skipped"] += 1
        elif test["status"] != "exists":
            totals["failed"] += 1
            failed.append(test["id"])

    result = testtools.StreamToDict(count)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="output").run(result)
    result.stopTestRun()
    print(totals["passed"], totals["failed"], totals["skipped"])
    for name in failed:
        print(name)


if __name__ == "__main__":
    main()
