# SPDX-License-Identifier: Apache-2.0
"""The one interface between the agent and whatever runs the instances of its host."""

import abc
import dataclasses
import enum
from collections.abc import Callable, Iterator

from kongming import objects
from kongming.topology.counted import Sample
from kongming.topology.host import Host
from kongming.topology.placement import Placement
from kongming.topology.residency import Progress, Residency


class HypervisorError(Exception):
    """The hypervisor refused or failed; the message is its own reason."""


class InstanceGone(HypervisorError):
    """The instance is not on this host, or has stopped running."""


class NotNow(HypervisorError):
    """The instance is busy, or nobody answers: the same may be granted in a moment."""


class Scope(enum.Enum):
    """What a placement is read from and written to."""

    LIVE = "live"  # the running threads, as the kernel has them
    PERSISTENT = "persistent"  # the definition from which the next start is made


class Move(Iterator[Progress]):
    """Memory on its way to other NUMA nodes: each ``next`` moves some and tells the progress.

    It may be left at any point; what has moved stays there until `undo`. Once done, and only
    then, all of it may be there for good: see `Driver.write`. A step raises HypervisorError
    when there is no room, or too much of the memory is held by something.
    """

    #: What may undo the move later, in words.
    warnings: list[str]

    @abc.abstractmethod
    def undo(self) -> None:
        """Bring what has moved back, each page to the node from where it came.

        :raises HypervisorError: not all could; the next call tries again
        """


class Event(enum.Enum):
    """What happened to an instance."""

    STARTED = "started"
    ARRIVED = "arrived"  # by a migration
    STOPPED = "stopped"  # or left, or was removed
    TUNED = "tuned"  # by anybody, this agent included
    FREED = "freed"  # a migration, a dump or the like has ended, well or badly
    CHANGED = "changed"  # its state, its definition or its metadata
    MISSED = "missed"  # nobody knows: look at everything


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What helps to tell why parts of a running instance are elsewhere than before.

    ``told`` is where the hypervisor believes its parts to be, ``online`` the bitmask of pCPUs.
    """

    told: Placement
    online: int


#: Takes the uuid of an instance (empty with `Event.MISSED`) and what happened to it.
Callback = Callable[[str, Event], None]


class Driver(abc.ABC):
    """One hypervisor on one host. All methods may block and may be called by any thread."""

    @abc.abstractmethod
    def host(self) -> Host:
        """Return the host's topology with its present free pages."""

    @abc.abstractmethod
    def instances(self) -> list[objects.Instance]:
        """Return every instance on the host.

        ``observed`` and ``started_ms`` are set for those with threads, and None for others.
        ``holds`` are the pCPUs that its definition gives to single vCPUs; ``updated_at`` is
        left unset: two equal reports of an instance compare as equal.
        """

    @abc.abstractmethod
    def sample(self) -> Sample:
        """Return what has been counted of the host and of each instance that has threads.

        It is asked for once in each interval, by one thread.
        """

    @abc.abstractmethod
    def scopes(self, uuid: str) -> list[Scope]:
        """Return the scopes that the running instance has (a transient one lacks PERSISTENT).

        :raises InstanceGone: it is not running here
        """

    @abc.abstractmethod
    def read(self, uuid: str, scope: Scope) -> Placement:
        """Return where the parts of a running instance are.

        LIVE tells every part, from the kernel, but for numbers of QoS at their default;
        PERSISTENT just the parts for which the definition has an entry of its own.
        """

    @abc.abstractmethod
    def unpinned(self, uuid: str) -> Placement:
        """Return what every part of a running instance may use when nobody pins it.

        A number of QoS that is absent is then at its default.
        """

    @abc.abstractmethod
    def memory(self, uuid: str) -> Residency:
        """Return where the memory of a running instance is; the kernel walks all its pages."""

    @abc.abstractmethod
    def move(self, uuid: str, mask: int) -> Move:
        """Begin to move the memory of a running instance to the NUMA nodes in ``mask``.

        :raises HypervisorError: something is in the way, which is named; nothing has moved
        """

    @abc.abstractmethod
    def process(self, uuid: str) -> str:
        """Return what tells this run of an instance from all others before and after.

        :raises InstanceGone: it is not running here
        """

    @abc.abstractmethod
    def circumstances(self, uuid: str) -> Circumstances:
        """Return what may explain why parts of a running instance were moved."""

    @abc.abstractmethod
    def write(self, uuid: str, scope: Scope, changes: Placement) -> None:
        """Place parts of a running instance, one after the other in the order given.

        Live memory that is elsewhere moves there, without progress.

        :raises HypervisorError: one was refused, which the message names: those before it are
            placed, it and the others are as they were
        :raises NotNow: likewise, but to ask again soon is worth it
        """

    @abc.abstractmethod
    def listen(self, callback: Callback) -> None:
        """Call ``callback`` whenever something happens to an instance.

        It runs in the driver's own thread and must only take note. `Event.MISSED` also tells that
        pCPUs of the host came or went.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the hypervisor; no callback runs after this returns."""
