# SPDX-License-Identifier: Apache-2.0
"""When to stop putting an instance back that somebody else moves again and again."""

import dataclasses

from oslo_config import cfg

#: Seconds in which repairs are counted, without a drift until a fight is over, and of the first
#: pause; each pause that follows is twice as long.
WINDOW = 60.0


@dataclasses.dataclass(frozen=True)
class Rules:
    """``threshold`` repairs in a minute make a fight; no pause is longer than ``longest`` s."""

    threshold: int
    longest: float

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> "Rules":
        """Return what ``[agent]`` says."""
        return cls(conf.agent.fight_threshold, conf.agent.fight_backoff)


class Fight:
    """The drifts of one instance; times are those of any clock that counts seconds."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._repairs: list[float] = []
        self._pause = 0.0
        self._until = 0.0
        #: What to say of the pause that goes on.
        self.reason = ""

    def left_alone(self, now: float, drift: str) -> float:
        """Take note of a drift; return for how many seconds to leave it alone, 0 to repair it.

        :param drift: what differs, in words
        """
        if now < self._until:
            return self._until - now
        if self._pause and now - max([self._until, *self._repairs]) > WINDOW:
            self._pause = 0.0
        self._repairs = [then for then in self._repairs if now - then <= WINDOW]
        # who goes on after a pause is known: one repair is enough to see it
        if len(self._repairs) < (1 if self._pause else self._rules.threshold):
            self._repairs.append(now)
            return 0.0
        self._pause = min(2 * self._pause or WINDOW, self._rules.longest)
        self._until = now + self._pause
        self.reason = (
            f"{drift}; put back {len(self._repairs)} times in {now - self._repairs[0]:.0f} s;"
            f" tried again in {self._pause:.0f} s"
        )
        self._repairs = []
        return self._pause
