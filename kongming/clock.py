# SPDX-License-Identifier: Apache-2.0
"""What time it is, in one place, so that tests can say it."""

import datetime


def now() -> datetime.datetime:
    """Return the present time, aware and in UTC."""
    return datetime.datetime.now(datetime.UTC)
