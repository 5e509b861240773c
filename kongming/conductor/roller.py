# SPDX-License-Identifier: Apache-2.0
"""Rollouts go on."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from oslo_db import exception as db_exception
from oslo_log import log as logging

from kongming.conductor import steps
from kongming.context import RequestContext, service_context
from kongming.db import engine
from kongming.db import rollouts as db_rollouts

LOG = logging.getLogger(__name__)

#: Seconds between looks at what other conductors have heard of. Every conductor looks; whoever
#: locks the rollout first takes the step.
_INTERVAL = 2.0


class Roller:
    """A thread that does what rollouts have to do next.

    :param tell: is called with a context and the name of a host whose agent must hear of it
    """

    def __init__(self, tell: Callable[[RequestContext, str | None], None]) -> None:
        self._tell = tell
        self._stopping = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step under way."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def wake(self) -> None:
        """Look now: something was asked for, or a pin has come to its end."""
        self._wanted.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait(_INTERVAL)
            self._wanted.clear()
            with _tried_again("Rollouts"):
                for rollout_id in self._first_of_each_template():
                    # what is wrong with one must not hold up those of other templates
                    with _tried_again(f"Rollout {rollout_id}"):
                        if self._roll(rollout_id):
                            # another one of the same template may have its turn now
                            self.wake()

    def _first_of_each_template(self) -> Iterator[str]:
        with engine.reader() as session:
            rows = db_rollouts.unfinished(session)
            # those of a template are in their order: the first stays
            first = {row.template_id: row.id for row in reversed(rows)}
        yield from first.values()

    def _roll(self, rollout_id: str) -> bool:
        """Take steps until there is something to wait for; return whether there was one."""
        context, step, taken = service_context(), steps.Step(again=True), -1
        while step.again and not self._stopping:
            step = steps.advance(context, rollout_id)
            taken += 1
            for host in sorted(step.hosts):
                self._tell(context, host)
        return taken > 0


@contextlib.contextmanager
def _tried_again(what: str) -> Iterator[None]:
    """Log what goes wrong; the next look meets it again."""
    try:
        yield
    except db_exception.DBError as error:
        LOG.warning("%s could not go on, tried again: %s", what, error)
    except Exception:
        LOG.exception("%s could not go on, tried again", what)
