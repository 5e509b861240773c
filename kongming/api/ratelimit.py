# SPDX-License-Identifier: Apache-2.0
"""How many requests a project may send: a bucket of tokens for each, in each worker process."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import webob.dec
from oslo_config import cfg
from oslo_context import context
from oslo_log import log as logging
from webob import exc

LOG = logging.getLogger(__name__)

#: Buckets that are kept at most; full ones are forgotten when there are more.
_MOST = 10_000
#: Seconds of refusals that make one line of the log for each project.
_PERIOD = 60.0


class Buckets:
    """One bucket for each key; ``rate`` tokens come in each second, ``burst`` are there at most."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        # tokens, and when they were counted
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take a token; return 0, or in how many seconds there is one if there is none."""
        with self._lock:
            now = self._clock()
            tokens = self._tokens(key, now)
            if tokens < 1:
                return (1 - tokens) / self._rate
            self._buckets[key] = (tokens - 1, now)
            if len(self._buckets) > _MOST:
                self._buckets = {
                    each: bucket
                    for each, bucket in self._buckets.items()
                    if self._tokens(each, now) < self._burst
                }
            return 0.0

    def _tokens(self, key: str, now: float) -> float:
        tokens, counted = self._buckets.get(key, (float(self._burst), now))
        return min(self._burst, tokens + (now - counted) * self._rate)


class Refusals:
    """What to log of refusals: the first of each key, and after ``period`` s how many followed."""

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        # until when those of a key are counted, and how many there were; the earliest end first
        self._counted: dict[str, tuple[float, int]] = {}

    def add(self, key: str) -> bool:
        """Count a refusal; return whether it is the first of a period."""
        with self._lock:
            until, count = self._counted.get(key, (self._clock() + self._period, -1))
            self._counted[key] = (until, count + 1)
            return count < 0

    def over(self) -> dict[str, int]:
        """Forget the periods that are over; return how many refusals followed the first, by key."""
        found: dict[str, int] = {}
        with self._lock:
            now = self._clock()
            while self._counted:
                key, (until, count) = next(iter(self._counted.items()))
                if until > now:
                    break
                del self._counted[key]
                if count:
                    found[key] = count
        return found


class RateLimit:
    """WSGI middleware, below that of the token: refuses with 429 what comes too fast.

    Services of the cloud are not counted: they speak for all projects.
    """

    def __init__(self, application: Any, conf: cfg.ConfigOpts) -> None:
        self._application = application
        self._buckets = Buckets(conf.api.request_rate, conf.api.request_burst)
        self._refusals = Refusals(_PERIOD)

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer a request; with the next one after a minute, log what was refused in it."""
        for project, count in self._refusals.over().items():
            LOG.warning("Project %s sent requests too fast: %d more were refused", project, count)
        who = context.RequestContext.from_environ(request.environ)
        if "service" not in who.roles:
            key = who.project_id or who.user_id or request.remote_addr or ""
            if seconds := self._buckets.take(key):
                if self._refusals.add(key):
                    LOG.warning(
                        "Project %s sends requests too fast: one was refused; more are counted"
                        " for %d s",
                        *(key, _PERIOD),
                    )
                raise exc.HTTPTooManyRequests(headers={"Retry-After": str(math.ceil(seconds))})
        return request.get_response(self._application)
