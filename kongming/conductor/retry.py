# SPDX-License-Identifier: Apache-2.0
"""Do a transaction again when another one got in its way."""

from oslo_db import api
from oslo_db import exception as db_exception


class Moved(Exception):
    """What was read before the lock was taken no longer holds."""


#: Decorates a function that is one whole transaction. Deadlocks, lost races for a unique
#: key and instances that moved between look-up and lock are nobody's mistake: the
#: function runs again (up to 20 times within seconds) and meets the winner's result.
retried = api.wrap_db_retry(
    max_retries=20,
    retry_interval=0.02,
    inc_retry_interval=True,
    max_retry_interval=1,
    jitter=True,
    retry_on_deadlock=True,
    retry_on_disconnect=True,
    exception_checker=lambda error: isinstance(error, Moved | db_exception.DBDuplicateEntry),
)
