# SPDX-License-Identifier: Apache-2.0
"""What the host and its instances are used for, looked at once in each interval."""

import dataclasses
import datetime

from oslo_log import log as logging

from kongming.hypervisor.driver import Driver, HypervisorError
from kongming.topology.counted import Sample
from kongming.topology.host import Host
from kongming.topology.telling import told
from kongming.topology.usage import Usage

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a host: its topology with free pages, what was counted, and what that tells."""

    host: Host
    sample: Sample
    usage: Usage


class Observer:
    """Takes looks, by one thread; ``last``, for any thread, is None until there was one."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.last: Look | None = None

    def look(self, host: Host) -> Usage | None:
        """Return the usage of the host, whose topology is given; None if it cannot be told now.

        Nothing that matters to pins depends on it, so that no error leaves this.
        """
        try:
            sample = self._driver.sample()
            before = self.last.sample if self.last else None
            usage = told(host, before, sample, datetime.datetime.now(datetime.UTC))
        except HypervisorError as error:
            LOG.warning("The usage of this host is not known: %s", error)
            return None
        except Exception:
            LOG.exception("The usage of this host is not known")
            return None
        self.last = Look(host, sample, usage)
        return usage
